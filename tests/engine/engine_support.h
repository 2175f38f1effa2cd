/* What tests with real executors stand on. This process is a subreaper: whoever escapes from a
 * family comes to it and is counted. */
#pragma once

#include "deadline/engine.h"

#define MS GT_NSEC_PER_MSEC
#define S  GT_NSEC_PER_SEC

/* How late anything may be on a machine that does other things as well. */
#define LATE (500 * MS)

extern char *temp_root; /* where executors' folders are made */

typedef struct {
  gint done;
  gint outcomes[GT_OUTCOME_COUNT];
} Tally;

GtInstant in (gint64 ns); /* from now */
guint count_entries (const char *path);
GtEngine *engine_in (GtDomain domain, GtEngineOptions options, const char *start);
GtEngine *warm_engine (GtDomain domain);
/* `steps` are the fake executor's. Limits count from this call; 0 = none. */
GtJobSpec job_of (const char *steps, GtLimitsAsked asked);
GtJobResult *run_limited (GtEngine *engine, const char *steps, GtLimitsAsked asked);
GtJobResult *run (GtEngine *engine, const char *steps, gint64 soft_ms, gint64 hard_ms);
void assert_outcome (const GtJobResult *result, GtOutcome outcome, GtReason reason);
/* The next job gets its value. */
void assert_fine (GtEngine *engine);
guint our_children (void); /* zombies included */
/* Soon nothing but so many keepers is there. */
void assert_keepers_only (GtEngine *engine, guint keepers);
/* Frees it: no child and no folder is left. */
void finish (GtEngine *engine);
void tally (GtJobResult *result, gpointer data);
void wait_for (Tally *t, gint n);

/* A freezer of cgroup v1: what is in it, shut, takes no signal, not even SIGKILL, until it is
 * opened. The real thing, where a process in uninterruptible sleep cannot be had. NULL: none here.
 */
char *freezer_new (void);
void freezer_open (const char *freezer);
void freezer_remove (char *freezer); /* once it is empty; frees the path */
