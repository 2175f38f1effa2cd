/* One run of kind interrupt: each DuckDB at hand, each query, each offset, by the engine; recorded.
 * It computes no figure (interrupt_data.h). */
#pragma once

#include "lab/interrupt_plan.h"

/* The errors of gt_session_run() of lab/session.h. DuckDBs: that of gilotine-duckdb and
 * of each gilotine-duckdb-VERSION beside it, as far as the plan takes them. In every case nothing
 * of ours runs afterwards. */
gboolean gt_interrupt_session_run (const GtInterruptPlan *plan, const char *out_dir,
                                   gboolean show_progress, GError **error);
