/* One tool put to one case once: runs it, watches it from outside, ends what it left.
 *
 * The tool is the command of a family of ours (subreaper domain, held until we end it), so whatever
 * it loses is found, counted and ended here. */
#pragma once

#include "lab/stop.h"
#include "lab/tools_data.h"

typedef struct {
  const char *program;    /* gilotine-case */
  const char *no_program; /* a file that is there and cannot be executed */
  const char *dir;        /* private: the report FIFO is made here */
  const char *mark;       /* GILOTINE_MARK of everything that is started */
  const double *settings;
  GtToolPlaces places;
  const GtStop *stop;
} GtToolBench;

/* Fills `trial` (its case, n and said too). GT_LAB_ERROR_INTERRUPTED when somebody asked to stop,
 * GT_LAB_ERROR_LEFTOVER when something cannot be ended. */
gboolean gt_tool_trial_run (const GtToolBench *bench, const GtTool *tool, const GtToolCase *tested,
                            GtToolTrial *trial, GError **error);

/* Time from execve() of the tool until it was reaped, around a command that ends at once; with tool
 * NULL that of the bare command. *code: its exit code as a shell has it. *said: the last line of
 * output, NULL = none; free with g_free(); may be NULL. */
gboolean gt_tool_start_time (const GtToolBench *bench, const GtTool *tool, gint64 *ns, int *code,
                             char **said, GError **error);
