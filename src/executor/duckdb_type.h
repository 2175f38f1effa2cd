/* A column's type, looked up once; a value's JSON. The mapping is docs/executor-wire.md's table. */
#pragma once

#include "executor/duckdb_api.h"

#include <glib.h>

typedef struct _GtType GtType;

struct _GtType {
  duckdb_type id;
  char *name; /* as SQL writes it */
  guint8 width, scale;
  duckdb_type internal; /* of decimals and enums */
  idx_t array_size;
  guint n_children; /* list, array: 1; map: key, value; struct, union: the members */
  GtType **children;
  char **names;      /* of members; NULL: they have none */
  char **dictionary; /* of an enum */
};

/* NULL: a type that has no JSON here, with its name in `unsupported` (to be freed). */
GtType *gt_type_new (duckdb_logical_type logical, char **unsupported);
void gt_type_free (GtType *self);

/* Appends the JSON of one value: exact, in one line. */
void gt_type_append (const GtType *self, duckdb_vector vector, idx_t row, GString *out);

void gt_json_append_string (GString *out, const char *text, gsize bytes);
