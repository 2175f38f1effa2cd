/* One run of run-tools: every tool, every case, recorded. It computes no figure (tools_verdict.h).
 */
#pragma once

#include "lab/tools_plan.h"

/* As gt_session_run() of lab/session.h: the same errors, and in every case nothing of ours runs
 * afterwards. `show_progress`: on standard error. */
gboolean gt_tool_session_run (const GtToolPlan *plan, const char *out_dir, gboolean show_progress,
                              GError **error);
