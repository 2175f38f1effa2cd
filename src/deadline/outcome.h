/* Every way a job can end, and the record of one end. Pure. */
#pragma once

#include <glib.h>

/* May the same job be sent again?
 *   NO          it would end the same way, or its answer is here
 *   SAFE        nothing of it was done
 *   IDEMPOTENT  it may have been done, wholly or in part: only if doing it twice does no harm */
#define GT_RETRIES(X) X (NO, "no") X (SAFE, "safe") X (IDEMPOTENT, "idempotent")

typedef enum {
#define X(id, name) GT_RETRY_##id,
  GT_RETRIES (X)
#undef X
} GtRetry;

/* id, name, exit code of the command line, Celery's exception, Python exception, retry, text.
 * NULL: nothing is raised by the engine (a value), or the job's own exception is. The codes are
 * different from each other, so that a script can tell; 124 and 137 are as timeout(1) has them. */
#define GT_OUTCOMES(X)                                                                             \
  X (VALUE, "value", 0, NULL, NULL, NO, "the job answered with a value")                           \
  X (ERROR, "error", 1, NULL, "gilotine.JobError", NO, "the job answered with an error")           \
  X (SOFT_TIMEOUT, "soft-timeout", 124, "billiard.exceptions.SoftTimeLimitExceeded",               \
     "gilotine.SoftTimeout", IDEMPOTENT, "the job stopped at its soft limit")                      \
  X (HARD_TIMEOUT, "hard-timeout", 137, "billiard.exceptions.TimeLimitExceeded",                   \
     "gilotine.HardTimeout", IDEMPOTENT, "the job was killed at its hard limit")                   \
  X (DIED, "died", 112, "billiard.exceptions.WorkerLostError", "gilotine.Died", IDEMPOTENT,        \
     "the process that ran the job ended without an answer")                                       \
  X (OUT_OF_MEMORY, "out-of-memory", 113, "builtins.MemoryError", "gilotine.OutOfMemory",          \
     IDEMPOTENT, "the job needed more memory than its limit")                                      \
  X (OVER_LIMIT, "over-limit", 114, "billiard.exceptions.TimeLimitExceeded", "gilotine.OverLimit", \
     IDEMPOTENT, "the job was killed at its limit of CPU time or processes")                       \
  X (UNSENDABLE, "unsendable", 115, "kombu.exceptions.EncodeError", "gilotine.Unsendable",         \
     IDEMPOTENT, "the job ended, but its answer cannot be sent: too large or unreadable")          \
  X (UNDEAD, "undead", 116, "billiard.exceptions.TimeLimitExceeded", "gilotine.Undead",            \
     IDEMPOTENT, "the job was killed but is not dead yet: the kernel holds it")                    \
  X (LATE_VALUE, "late-value", 117, NULL, NULL, NO,                                                \
     "the job was interrupted at its soft limit and answered with a value all the same")           \
  X (COMMITTED, "committed", 118, "billiard.exceptions.SoftTimeLimitExceeded",                     \
     "gilotine.CommittedLate", NO,                                                                 \
     "the job was interrupted, yet its work was or may be committed")                              \
  X (CANCELLED, "cancelled", 130, "celery.exceptions.TaskRevokedError", "gilotine.Cancelled",      \
     IDEMPOTENT, "the job was cancelled")                                                          \
  X (LOST, "lost", 119, "billiard.exceptions.WorkerLostError", "gilotine.Lost", SAFE,              \
     "the job was not begun: no process could be started for it")                                  \
  X (REFUSED, "refused", 125, "builtins.ValueError", "gilotine.Refused", NO,                       \
     "the job was not begun: a limit cannot be enforced or something asked for cannot be done")

typedef enum {
#define X(id, name, code, celery, python, retry, text) GT_OUTCOME_##id,
  GT_OUTCOMES (X)
#undef X
      GT_OUTCOME_COUNT
} GtOutcome;

typedef struct {
  const char *name;
  int exit_code;
  const char *celery_exception; /* "module.Class" as it stands in a result message; or NULL */
  const char *python_exception; /* or NULL */
  GtRetry retry;
  const char *text; /* lower case, no full stop: to be put behind "gilotine: " */
} GtOutcomeInfo;

const GtOutcomeInfo *gt_outcome_info (GtOutcome outcome);
gboolean gt_outcome_by_name (const char *name, GtOutcome *outcome);
const char *gt_retry_name (GtRetry retry);

/* What made it end: an outcome says what the caller has, a reason why. */
#define GT_REASONS(X)                                                                              \
  X (ANSWER, "answer", "it ended by itself")                                                       \
  X (DEADLINE_SOFT, "deadline-soft", "its soft limit")                                             \
  X (DEADLINE_HARD, "deadline-hard", "its hard limit")                                             \
  X (MEMORY, "memory", "its limit of memory")                                                      \
  X (CPU, "cpu", "its limit of CPU time")                                                          \
  X (PROCESSES, "processes", "its limit of processes")                                             \
  X (RESULT, "result", "its limit of bytes in the answer")                                         \
  X (SIGNAL, "signal", "a signal that was not ours ended its process")                             \
  X (EXIT, "exit", "its process exited")                                                           \
  X (PROTOCOL, "protocol", "its process wrote what is no answer")                                  \
  X (CANCELLED, "cancelled", "whoever asked for it cancelled it")                                  \
  X (STOP, "stop", "the engine was stopped")                                                       \
  X (START, "start", "no process could be started for it")                                         \
  X (REFUSED, "refused", "it was refused before it began")

typedef enum {
#define X(id, name, text) GT_REASON_##id,
  GT_REASONS (X)
#undef X
      GT_REASON_COUNT
} GtReason;

const char *gt_reason_name (GtReason reason);
const char *gt_reason_text (GtReason reason);

/* The outcome record. Kinds: NS an instant of CLOCK_MONOTONIC or a duration in ns, -1 = not known
 * or did not happen (null in JSON); INT a number, -1 = not known; BOOL; TEXT a string owned by the
 * record, NULL = null; NAME a static string, NULL = null. */
#define GT_OUTCOME_RECORD_FIELDS(X)                                                                \
  X (INT, exit_code)      /* of the command or executor, when it exited */                         \
  X (INT, signal)         /* that ended it, ours included */                                       \
  X (NS, queued_ns)       /* handed in */                                                          \
  X (NS, started_ns)      /* given to a process; not known: never begun */                         \
  X (NS, soft_ns)         /* the soft limit */                                                     \
  X (NS, interrupted_ns)  /* the interrupt was sent */                                             \
  X (NS, acknowledged_ns) /* ... and read by the executor */                                       \
  X (NAME, acknowledged)  /* what it said it does about it: calling, committing, unable, stale */  \
  X (NS, asked_ns)        /* the hard limit */                                                     \
  X (NS, killed_ns)       /* the kill was sent */                                                  \
  X (NS, answered_ns)     /* the answer's last byte was read */                                    \
  X (NS, told_ns)         /* the caller was told */                                                \
  X (NS, dead_ns)         /* the command's end was seen */                                         \
  X (NS, reaped_ns)       /* nothing of it is left, all of it reaped */                            \
  X (NS, overshoot_ns)    /* from the limit that ended it until told; not known: no limit did */   \
  X (NS, wall_ns)         /* from started until answered or dead */                                \
  X (NS, cpu_ns)          /* user and system, the whole family */                                  \
  X (INT, peak_memory_bytes)                                                                       \
  X (NAME, peak_memory_by)    /* who measured it: a GtMeter's name */                              \
  X (INT, oom_count)          /* members the kernel killed for memory */                           \
  X (INT, leftovers)          /* processes it had left behind when it ended */                     \
  X (INT, descendants_killed) /* members beside the command that the kill ended */                 \
  X (BOOL, was_stopped)       /* it was found stopped (SIGSTOP) */                                 \
  X (NAME, domain)            /* what held the family */                                           \
  X (NAME, committed)         /* no, yes, maybe; not known: it does not say */                     \
  X (TEXT, message)           /* for people */

#define GT_RECORD_NS   gint64
#define GT_RECORD_INT  gint64
#define GT_RECORD_BOOL gboolean
#define GT_RECORD_TEXT char *
#define GT_RECORD_NAME const char *

typedef struct {
  GtOutcome outcome;
  GtReason reason;
#define X(kind, name) GT_RECORD_##kind name;
  GT_OUTCOME_RECORD_FIELDS (X)
#undef X
} GtOutcomeRecord;

/* Everything not known; outcome VALUE, reason ANSWER. */
void gt_outcome_record_init (GtOutcomeRecord *record);
void gt_outcome_record_clear (GtOutcomeRecord *record);

/* Sets wall_ns, and overshoot_ns from the limit that the reason names until the latest of told,
 * dead and reaped that is known. Call it last. */
void gt_outcome_record_finish (GtOutcomeRecord *record);

/* One JSON object in one line, without a newline; every field is there, null when not known.
 * `outcome` and `reason` are names; `text` is the outcome's. Free with g_free(). */
char *gt_outcome_record_json (const GtOutcomeRecord *record);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtOutcomeRecord, gt_outcome_record_clear)
