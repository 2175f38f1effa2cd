/* One run of an experiment: starts each subject, sends its task, watches it, records, and tears
 * everything down. It computes no figure: those come from the raw samples (tally.h). */
#pragma once

#include "lab/place.h"

typedef struct {
  const char *out_dir;
  gint64 rows;            /* 0 = calibrated to query-seconds */
  gboolean keep;          /* the private folder stays */
  gboolean show_progress; /* on standard error */
} GtSessionOptions;

/* FALSE with `error` when the run could not be done or not be recorded; GT_LAB_ERROR_INTERRUPTED
 * after SIGINT, SIGTERM or SIGHUP (what was recorded until then is whole and can be tallied);
 * GT_LAB_ERROR_LEFTOVER when a process remained. In every case nothing of ours runs afterwards.
 * `place` is opened and closed, not freed.
 * Blocks those three signals in this thread for its whole time. */
gboolean gt_session_run (const GtExperiment *experiment, GtPlace *place,
                         const GtSessionOptions *options, GError **error);
