/* What came out: a verdict for each subject, who is to blame, and the one change that flips it.
 * Computed from the tallies of a run. Pure. */
#pragma once

#include "lab/tally.h"

/* X (ID, name, text). From the best to the worst. */
#define GT_VERDICTS(X)                                                                             \
  X (HELD, "held", "told and dead within the tolerance, every time; nothing of the work left")     \
  X (LATE, "late", "told, or dead, later than that")                                               \
  X (LEAKED, "leaked", "told, but the work went on")                                               \
  X (REFUSED, "refused", "the way of keeping the limit does not work there; no work was done")     \
  X (BROKEN, "broken", "neither a result nor a timeout, or a limit that never came into play")     \
  X (UNFINISHED, "unfinished", "the run ended before it did")                                      \
  X (SKIPPED, "skipped", "something it needs is not on this machine")

typedef enum {
#define X(id, name, text) GT_VERDICT_##id,
  GT_VERDICTS (X)
#undef X
      GT_N_VERDICTS,
} GtVerdict;

const char *gt_verdict_name (GtVerdict verdict);
const char *gt_verdict_text (GtVerdict verdict);

typedef struct {
  GtTally *tally; /* owned */
  GtVerdict verdict;
  const char *party; /* interpreter, decorator, Celery, start method, DuckDB ...; NULL = nobody */
  char *reason;      /* one sentence; NULL = none */
  char *flip; /* "start=forkserver -> held (gil-process-forkserver-capi)"; NULL = none known */
  char *note; /* "race: 2 of 5 in time"; NULL = none */
} GtFinding;

/* The findings of a run, in its order. Free with g_ptr_array_unref(); the run must outlive them. */
GPtrArray *gt_findings_new (const GtRun *run);

/* The answers to the questions of the experiment, one sentence each (char *), derived from pairs of
 * subjects that differ in one factor. Free with g_ptr_array_unref(). */
GPtrArray *gt_findings_answers (const GPtrArray *findings);
