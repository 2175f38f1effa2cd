/* The findings for people and for programs. Pure. */
#pragma once

#include "lab/verdict.h"

/* The table: a row for each subject, with three clocks for each of its iterations; who is to blame;
 * what was skipped; the answers. `detail`: a row for each iteration too. `colour`: verdicts in ANSI
 * colours. Free with g_free(). */
char *gt_table_text (const GtRun *run, const GPtrArray *findings, gboolean detail, gboolean colour);

/* The same and all figures as one JSON object (docs/lab.md has its shape). Free with json_decref().
 */
json_t *gt_table_json (const GtRun *run, const GPtrArray *findings);
