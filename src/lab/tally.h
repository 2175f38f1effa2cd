/* Figures of one subject, computed from its time series alone. Pure.
 *
 * Three clocks of an iteration, in ns since it started:
 *   asked   when the limit says that it should have ended
 *   told    when the caller had control back
 *   dead    when its work had really ended: the first sample in which no process that appeared
 * during the iteration (multiprocessing's helpers left out) is alive; for work inside the worker,
 *           when the caller had control back, or later when the worker went on burning */
#pragma once

#include "lab/series.h"

typedef struct {
  guint n;
  char *outcome; /* the subject's word: ok, timeout, error:TYPE */
  gint64 start_ns;
  gint64 asked_ns, told_ns, dead_ns; /* since start_ns */
  gboolean cut_short;                /* it was still alive at dead_ns, when the lab ended it */
  gboolean worked;                   /* its work burned CPU at all */
  gboolean caller_burned;   /* who runs the task was running or runnable from asked to told */
  guint alive_at_end;       /* processes of its work alive when it was over, clean-up included */
  gint64 stall_ns;          /* the machine stood still: neither the observer nor the family ran */
  gint64 cpu_after_ns;      /* burnt after `asked`; a lower bound */
  gint64 children, zombies; /* the subject's own count; -1 = it did not count */
  gint64 seen_children, seen_zombies; /* the observer's at that moment; -1 = no sample there */
  gint64 cleanup[3];                  /* terminated, killed, remaining; -1 = no clean-up */
} GtIteration;

typedef struct {
  const GtSeries *series; /* borrowed */
  GArray *iterations;     /* GtIteration */
  GPtrArray *conflicts;   /* char *: where the subject, its log and the observer disagree */
  guint burning_after;    /* processes of the work burning after the last iteration */
  gint64 cpu_after_ns;    /* of all iterations */
  char survivor_sigterm;  /* of work that outlived its iteration; 0 = none did */
  char *first_error;      /* outcome of the first iteration that ended in error:TYPE, else NULL */
  char *gil;              /* "on (build)", "off", "on (import: hiredis)"; NULL = not told */
} GtTally;

GtTally *gt_tally_new (const GtSeries *series);
void gt_tally_free (GtTally *tally);

/* In seconds: how late an iteration told, and how late its work was dead; 0 when in time. What the
 * machine stood still is not held against it. */
double gt_iteration_told_late (const GtIteration *iteration);
double gt_iteration_dead_late (const GtIteration *iteration);
