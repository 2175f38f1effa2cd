/* Which promises a tool kept: computed from the samples of a run. Pure. */
#pragma once

#include "lab/tools_data.h"

/* What a trial can fail by, the worst first. X (ID, letter, name, meaning) */
#define GT_TOOL_FAULTS(X)                                                                          \
  X (HUNG, 'H', "hung", "the tool did not come back; the lab ended it")                            \
  X (PIPE, 'P', "pipe", "the caller's pipe was still held open after the tool had ended")          \
  X (SURVIVED, 'S', "survived", "processes of the command were alive after the tool had ended")    \
  X (HELPER, 'T', "helper", "a process of the tool itself was alive after the tool had ended")     \
  X (LATE, 'L', "late", "the command's last process, or the tool, ended too late")                 \
  X (EARLY, 'E', "early", "it ended before its time was over")                                     \
  X (CODE, 'C', "code", "the exit code is not the one that the manual names")                      \
  X (BROKEN, 'B', "broken", "the command did not do what the case is about")

typedef enum {
#define X(id, letter, name, meaning) GT_TOOL_FAULT_##id,
  GT_TOOL_FAULTS (X)
#undef X
      GT_N_TOOL_FAULTS,
} GtToolFault;

char gt_tool_fault_letter (GtToolFault fault);
const char *gt_tool_fault_name (GtToolFault fault);
const char *gt_tool_fault_meaning (GtToolFault fault);

/* Bits 1 << GtToolFault; 0 = it kept its promise. */
guint gt_tool_judge (const GtToolSeries *tool, const GtToolTrial *trial, const double *settings);

/* The instant by which everything is to be over, 0 = none; a grace counts where the case may need
 * it. */
gint64 gt_tool_due_ns (const GtToolSeries *tool, const GtToolTrial *trial);

/* When the tool had ended and the command was dead, 0 when one of them is not. */
gint64 gt_tool_over_ns (const GtToolTrial *trial);

/* Figures of one tool. Times in ns; G_MININT64 = there are no samples. */
typedef struct {
  const GtToolSeries *tool;
  guint n_trials, n_failed;
  gint64 survivors;
  guint n_late; /* samples of the lateness: limits that fired, nothing survived */
  gint64 late_p50_ns, late_max_ns;
  gint64 start_p50_ns; /* of (tool - bare) */
} GtToolFigures;

void gt_tool_figures (const GtToolRun *run, const GtToolSeries *tool, GtToolFigures *figures);
