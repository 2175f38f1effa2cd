/* JSON parameters for prepared statements. */
#pragma once

#include "executor/duckdb_api.h"
#include "executor/wire_head.h"

#include <jansson.h>

typedef struct {
  json_t *params; /* not owned: NULL, array or object */
  gsize next;     /* of the array: statements take theirs in order */
  GHashTable *used;
} GtBinder;

void gt_binder_init (GtBinder *self, json_t *params);
void gt_binder_clear (GtBinder *self);

/* Binds what `statement` needs. `connection`: for typed values, which DuckDB casts itself. `last`:
 * then nothing may be left over. */
gboolean gt_binder_bind (GtBinder *self, duckdb_connection connection,
                         duckdb_prepared_statement statement, gboolean last, GtFailure *failure);
