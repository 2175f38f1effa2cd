/* What a run of run-tools recorded: raw.jsonl of the kind "run-tools" (lab/raw.h has the rules of
 * the file), from which every figure is computed.
 *
 *   run    kind, version, experiment, title, question, cpus, started, settings {}
 *   tool   s, t, command, timed-out, not-found, not-executable, grace_ns (0 = it has none)
 *   skip   s, why
 *   start  s, bare_ns, tool_ns   one pair, one after the other
 *   trial  s, case, n, said, and the fields below
 *   final  t, left, interrupted */
#pragma once

#include "lab/tools_plan.h"

#include <jansson.h>

/* Instants are CLOCK_MONOTONIC ns, 0 = it did not come to that. X (name) */
#define GT_TOOL_TRIAL_FIELDS(X)                                                                    \
  X (limit_ns)  /* asked of the tool; what is not to fire is LONG_LIMIT */                         \
  X (start_ns)  /* execve() of the tool */                                                         \
  X (begin_ns)  /* first instruction of the command */                                             \
  X (ready_ns)  /* what the case sets up was in place */                                           \
  X (signal_ns) /* the lab's signal to the tool */                                                 \
  X (told_ns)   /* the tool had ended */                                                           \
  X (dead_ns)   /* the last process of the command had ended */                                    \
  X (piped_ns)  /* the caller's pipe was at its end */                                             \
  X (over_ns)   /* the lab stopped watching, and ended what was left */                            \
  X (code)      /* exit status as a shell has it (128 + signal); -1 = it never ended */            \
  X (survivors) /* processes alive `settle` after the tool had ended */

typedef struct {
  const GtToolCase *tested;
  int n;
  char *said; /* last line of the tool's and command's output; NULL = none */
#define X(name) gint64 name;
  GT_TOOL_TRIAL_FIELDS (X)
#undef X
} GtToolTrial;

/* One tool in the results. */
typedef struct {
  char *name, *command, *skip_why; /* skip_why NULL = it ran */
  gint64 grace_ns;                 /* 0 = it has none */
  GtToolCodes timed_out, not_found, not_executable;
  GArray *bare_ns, *tool_ns; /* gint64, the same length */
  GPtrArray *trials;         /* GtToolTrial */
} GtToolSeries;

typedef struct {
  char *experiment, *title, *question, *started, *version;
  guint cpus;
  double settings[GT_N_TOOL_SETTINGS];
  gboolean complete, interrupted;
  gint64 left;
  GPtrArray *tools; /* GtToolSeries, in the order of the run */
} GtToolRun;

/* Records of these shapes; to be given to gt_raw_write(). */
json_t *gt_tool_record_run (const GtToolPlan *plan, const char *started);
json_t *gt_tool_record_tool (const GtTool *tool);
json_t *gt_tool_record_trial (const char *tool, const GtToolTrial *trial);

/* Whether DIR holds results of this kind of experiment, or of another: *ours. FALSE and `error`
 * when it holds none. */
gboolean gt_tool_results_probe (const char *dir, gboolean *ours, GError **error);

GtToolRun *gt_tool_run_load (const char *dir, GError **error);
GtToolRun *gt_tool_run_new (void);
/* Takes in one record. */
gboolean gt_tool_run_add (GtToolRun *run, const json_t *record, GError **error);
void gt_tool_run_free (GtToolRun *run);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtToolRun, gt_tool_run_free)
