/* One run of kind interrupt: each DuckDB at hand, each query, each offset, by the engine; recorded.
 * It computes no figure (interrupt_data.h). */
#pragma once

#include "lab/interrupt_plan.h"

/* The errors of gt_session_run() of lab/session.h. DuckDBs: the one that gilotine-duckdb is built
 * with, and each other version that lies in the cache. In every case nothing of ours runs
 * afterwards. */
gboolean gt_interrupt_session_run (const GtInterruptPlan *plan, const char *out_dir,
                                   gboolean show_progress, GError **error);
