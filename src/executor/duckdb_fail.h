/* Why a job failed, as the protocol says it; and what DuckDB's messages mean. */
#pragma once

#include "executor/wire_head.h"

/* Fills `failure` (which must be empty) and returns FALSE. */
gboolean gt_failure_set (GtFailure *failure, GtWireClass class_id, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* From DuckDB's own text ("Catalog Error: ..."). NULL counts as an internal error. Returns FALSE.
 */
gboolean gt_failure_from_duckdb (GtFailure *failure, const char *message);
