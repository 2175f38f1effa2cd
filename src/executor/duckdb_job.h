/* What a job of kind "sql" asks for: its head and its body, checked. */
#pragma once

#include "executor/wire_head.h"

#include <jansson.h>

/* body member, format text for memory files */
#define GT_OUTPUTS(X)                                                                              \
  X (ROWS, "rows", "")                                                                             \
  X (PARQUET, "parquet", "FORMAT parquet")                                                         \
  X (CSV, "csv", "FORMAT csv, HEADER true")                                                        \
  X (JSON, "json", "FORMAT json, ARRAY true")                                                      \
  X (NDJSON, "ndjson", "FORMAT json, ARRAY false")                                                 \
  X (ARROW, "arrow", "FORMAT arrow")

typedef enum {
#define X(name, text, options) GT_OUTPUT_##name,
  GT_OUTPUTS (X)
#undef X
} GtOutput;

typedef struct {
  GtJobHead head;
  guint64 id;
  char *database; /* NULL: in memory */
  gboolean read_only, keep_open;
  char *sql;
  json_t *params; /* NULL, an array, or an object */
  GtOutput output;
} GtSqlJob;

/* FALSE: `failure` says which member is wrong. */
gboolean gt_sql_job_parse (GtSqlJob *job, guint64 id, GBytes *head, GBytes *body,
                           GtFailure *failure);
void gt_sql_job_clear (GtSqlJob *job);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtSqlJob, gt_sql_job_clear)

const char *gt_output_name (GtOutput output);
const char *gt_output_options (GtOutput output); /* for COPY */
