/* A world for a pool: a clock that moves when it is told to, and executors that do what their job's
 * kind says. It checks what a world can check by itself: nothing is sent to what is not warm or was
 * killed, one job at a time, and it keeps its own naive account of what each job should have
 * become.
 */
#pragma once

#include "deadline/pool.h"

#define MS GT_NSEC_PER_MSEC
#define S  GT_NSEC_PER_SEC

/* What a start does. */
#define FAKE_STARTS(X) X (READY) X (FAIL) X (DUMB) X (EXIT) X (GARBAGE) X (EARLY_DEATH)

typedef enum {
#define X(id) START_##id,
  FAKE_STARTS (X)
#undef X
      START_COUNT
} FakeStart;

/* What a job's kind makes the executor do; after `threads` nanoseconds. */
/* clang-format off: it packs these differently each time it runs. */
#define FAKE_JOBS(X)                                                                               \
  X (VALUE, "value")                                                                               \
  X (ERROR, "error")                                                                               \
  X (REFUSE, "refuse")                                                                             \
  X (HANG, "hang")                                                                                 \
  X (OBEY, "obey")                                                                                 \
  X (LATE, "late")                                                                                 \
  X (COMMIT, "commit")                                                                             \
  X (UNABLE, "unable")                                                                             \
  X (DIE, "die")                                                                                   \
  X (CLOSE, "close")                                                                               \
  X (GARBAGE, "garbage")                                                                           \
  X (WRONG_JOB, "wrong-job")                                                                       \
  X (TWICE, "twice")                                                                               \
  X (END_FIRST, "end-first")                                                                       \
  X (FLOOD, "flood")                                                                               \
  X (LEAVE, "leave")                                                                               \
  X (BUSY, "busy")                                                                                 \
  X (BUSY_FOREVER, "busy-forever")                                                                 \
  X (VALUE_DIE, "value-die")                                                                       \
  X (NO_END, "no-end")                                                                             \
  X (READY_AGAIN, "ready-again")                                                                   \
  X (EAT, "eat")                                                                                   \
  X (SPIN, "spin")                                                                                 \
  X (FORK, "fork")
/* clang-format on */

typedef enum {
#define X(id, name) JOB_##id,
  FAKE_JOBS (X)
#undef X
      JOB_COUNT
} FakeJob;

extern const char *const fake_job_names[JOB_COUNT];

/* What became of a job, as the world saw it. */
typedef struct {
  GtInstant hard, soft;
  FakeJob kind;
  gboolean complete;      /* answer and end frame were delivered before a kill was sent */
  gboolean value;         /* and it was a value */
  guint told;             /* how often */
  GtOutcomeRecord record; /* without its strings */
  gboolean own_answer;    /* each part named this job */
  guint n_parts;
} FakeTold;

typedef struct _FakeWorld FakeWorld;

struct _FakeWorld {
  GtPool *pool;
  GtInstant now;
  GRand *rand;     /* NULL: what the fields say */
  FakeStart start; /* of the next starts */
  gint64 start_ns; /* until ready */
  gint64 reap_ns;  /* from a kill until reaped */
  gint64 resident_bytes;
  gboolean deaf_kill;   /* kills do nothing until fake_world_let_die() */
  GHashTable *jobs;     /* id -> FakeTold */
  GPtrArray *executors; /* every one there was */
  GSequence *events;
  guint next_event;
  guint64 next_job;
  guint at_work, most_at_work; /* jobs given to executors and not told */
  guint starts, kills, byes, lines;
  gint64 members; /* that a job which eats memory has; 0 = one */
  guint weighings;
  GtSlot *weighed_slot; /* of the last one: the test answers it */
};

FakeWorld *fake_world_new (const GtEngineOptions *options);
void fake_world_free (FakeWorld *world); /* stops the pool, lets everything die, checks the end */

/* Durations from now; 0 = no limit. `after_ns` is when the executor does what `kind` says. */
guint64 fake_world_submit (FakeWorld *world, FakeJob kind, gint64 after_ns, gint64 soft_ns,
                           gint64 hard_ns);
const FakeTold *fake_world_told (FakeWorld *world, guint64 job);

/* Lets time pass, with everything that happens in it. */
void fake_world_run (FakeWorld *world, gint64 for_ns);
void fake_world_let_die (FakeWorld *world);
