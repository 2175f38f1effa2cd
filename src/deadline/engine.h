/* The engine: jobs in, outcomes out, limits that hold in between.
 *
 * One thread of its own, the deadline thread, owns every executor, timer and socket and never
 * blocks; a helper thread starts executors and removes their folders. Executors speak
 * docs/executor-wire.md. Functions here may be called from any thread unless they say otherwise.
 *
 * Every job that gt_engine_submit() accepted gets exactly one result, in every case: when its
 * executor dies, when none can be started, when the engine is freed. */
#pragma once

#include "deadline/limits.h"
#include "deadline/outcome.h"
#include "os/clock.h"
#include "os/domain.h"
#include "os/family.h"

typedef struct _GtEngine GtEngine;

/* Zero: the default in parentheses. Everything is copied. */
typedef struct {
  const char *const *argv; /* of the executor, whose descriptor 3 is the socket; "{temp}" in an
                              argument stands for its own folder, which is laid out as
                              executor/tempdir.h says: "--temp-dir", "{temp}" */
  const char *const *env;  /* NULL = ours. GILOTINE_TEMP and TMPDIR are added */
  guint slots;             /* jobs at a time (1) */
  guint spares;            /* warm executors beyond that (1); G_MAXUINT = none */
  GtDomain domain;         /* GT_DOMAIN_AUTO = the best containment; another is required */
  GtFamilyLimits limits; /* of each executor's family for its whole life: the wall behind a job's */
  const char *temp_root; /* an executor's own folder is made below it (g_get_tmp_dir()) */
  guint recycle_jobs;    /* an executor is replaced after so many jobs (none) */
  gint64 recycle_memory_bytes; /* ... when it holds more after a job (none) */
  gint64 recycle_age_ns;       /* ... when it is so old and idle (none) */
  gint64 start_limit_ns;       /* from start to ready (30 s) */
  guint start_tries;           /* so many failed starts in a row fail the jobs that wait (5) */
  gint64 cancel_grace_ns;      /* from the interrupt of a cancel to its kill (100 ms) */
  guint max_undead; /* with more executors that do not die new jobs are refused (4 x slots) */
  gint64 slice_ns;  /* EEVDF slice of the deadline thread (100 us); -1 = the system's */
  gboolean quiet;   /* executors have no standard error; else it is ours */
  gsize
      answer_bytes; /* most bytes of one answer, all its parts, when the job sets none (256 MiB) */
} GtEngineOptions;

#define GT_ENGINE_OPTIONS_INIT                                                                     \
  {                                                                                                \
    .domain = GT_DOMAIN_AUTO                                                                       \
  }

/* Starts both threads and, in the background, all executors. NULL with `error` for options that
 * cannot be; a program that cannot be started shows in gt_engine_wait_warm() and in results. */
GtEngine *gt_engine_new (const GtEngineOptions *options, GError **error);

/* Kills everything, answers the jobs there are (CANCELLED, reason STOP), waits for both threads.
 * Executors that do not die are waited for as long as an undead one is given (250 ms + 100 ms per
 * GiB), then left to their keeper. Not from a callback. NULL is allowed. */
void gt_engine_free (GtEngine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtEngine, gt_engine_free)

/* Waits until `executors` are warm and idle (0: all of them). FALSE and `error` when not until
 * then, or at once when starts have failed too often: with the last failure's text. */
gboolean gt_engine_wait_warm (GtEngine *engine, guint executors, GtInstant until, GError **error);

/* One frame of an answer (docs/executor-wire.md): chunk, memfd, and last result, error or refused.
 */
typedef struct {
  int type;     /* GtWireType */
  GBytes *head; /* JSON, or NULL */
  GBytes *body; /* or NULL */
  int fd;       /* memfd's, owned by the part; -1 = none */
} GtPart;

typedef struct {
  guint64 job;
  GtOutcomeRecord record;
  GPtrArray *parts;     /* of GtPart, in order; the answer is the last one. Empty without one.
                           Without the end frame's word nothing of an answer is here. */
  const GtPart *answer; /* in parts; NULL = none */
  char *error_class;    /* of an error or a refusal: "syntax", "locked", ...; NULL = none */
  gint64 holder_pid;    /* class locked: who has the file; 0 = not known */
} GtJobResult;

void gt_job_result_free (GtJobResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtJobResult, gt_job_result_free)

/* The result belongs to the callback. Runs on the deadline thread: hand over and return within
 * microseconds; must not block. It may submit and cancel. */
typedef void (*GtJobDone) (GtJobResult *result, gpointer data);
/* The same rules. percent 0..100 or -1. */
typedef void (*GtJobProgress) (guint64 job, double percent, gint64 rows_done, gint64 rows_total,
                               gpointer data);

/* A chunk or memfd frame as it comes; takes the part. The same rules. FALSE: nothing more is read
 * from this executor until gt_engine_resume(); the job's limits go on, and its kill ends the wait.
 */
typedef gboolean (*GtJobTakePart) (guint64 job, GtPart *part, gpointer data);

void gt_part_free (GtPart *part);

typedef struct {
  const char *kind;   /* one of the executor's kinds */
  GBytes *body;       /* a reference is taken; NULL = empty */
  GtLimits limits;    /* of gt_limits_make(), or GT_LIMITS_NONE */
  gint64 threads;     /* for the executor; 0 = its default */
  gsize answer_bytes; /* 0 = the engine's */
  GtJobDone done;
  GtJobProgress progress; /* NULL = not wanted */
  GtJobTakePart part; /* NULL = parts are kept for the result. Otherwise they are handed over, and
                         answer_bytes 0 is no limit. What was handed over before a kill counts for
                         nothing: the outcome says so. */
  gpointer data;
} GtJobSpec;

/* Queues it and returns at once; jobs are begun in order. The id is never 0 and never used twice by
 * this engine. 0 with `error`: STOPPED once the engine is being freed, TOO_LARGE for a body that no
 * frame can carry (64 MiB). */
guint64 gt_engine_submit (GtEngine *engine, const GtJobSpec *spec, GError **error);

/* Asks for the job's end: one that waits is answered at once, one that runs is interrupted and
 * killed after the grace. A job that is done already is left alone; there is no answer. */
void gt_engine_cancel (GtEngine *engine, guint64 job);

/* Goes on reading after `part` said FALSE. A job that is done already is left alone. */
void gt_engine_resume (GtEngine *engine, guint64 job);

/* Submits and waits for the result; `spec->done` and `data` are not used. Not from a callback. NULL
 * as gt_engine_submit(). */
GtJobResult *gt_engine_run (GtEngine *engine, const GtJobSpec *spec, GError **error);

/* Numbers for people and tests; a snapshot. */
#define GT_ENGINE_STATS(X)                                                                         \
  X (queued)                                                                                       \
  X (running)                                                                                      \
  X (idle)                                                                                         \
  X (starting)                                                                                     \
  X (undead)                                                                                       \
  X (submitted)                                                                                    \
  X (completed) X (killed) X (started) X (failed_starts) X (recycled) X (dropped_frames)

typedef struct {
#define X(name) guint64 name;
  GT_ENGINE_STATS (X)
#undef X
} GtEngineStats;

GtEngineStats gt_engine_stats (GtEngine *engine);

/* The outer pid of each live executor, for tests and a debugger. An array of pid_t. */
GArray *gt_engine_pids (GtEngine *engine);
