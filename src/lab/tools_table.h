/* The findings of run-tools for people and for programs. Pure. */
#pragma once

#include "lab/tools_verdict.h"

/* A row for each tool, a column for each case, the figures; what failures mean; what was skipped.
 * `detail`: every failed trial too. Free with g_free(). */
char *gt_tool_table_text (const GtToolRun *run, gboolean detail, gboolean colour);

/* The same and all samples as one JSON object (docs/lab.md has its shape). Free with json_decref().
 */
json_t *gt_tool_table_json (const GtToolRun *run);
