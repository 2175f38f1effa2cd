/* The findings of kind interrupt for people and for programs. Pure. */
#pragma once

#include "lab/interrupt_data.h"

/* A row for each query and DuckDB, a column for each offset. `detail`: every trial too. Free with
 * g_free(). */
char *gt_interrupt_table_text (const GtInterruptRun *run, gboolean detail, gboolean colour);

/* The same and all outcome records as one JSON object. Free with json_decref(). */
json_t *gt_interrupt_table_json (const GtInterruptRun *run);
