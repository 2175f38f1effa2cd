/* The engine without threads, clocks, sockets and processes: jobs that wait, slots, and what
 * happens when. The world is a table of functions, so that a test can be one.
 *
 * One thread. Functions of the world must not call back into the pool; what they cause comes as an
 * event later. */
#pragma once

#include "deadline/engine.h"
#include "deadline/ladder.h"
#include "executor/wire_head.h"

typedef struct _GtPool GtPool;
typedef struct _GtSlot GtSlot;
typedef struct _GtJob GtJob;

struct _GtJob {
  guint64 id;
  char *kind;
  GBytes *body; /* NULL = empty */
  GtLimits limits;
  gint64 threads;
  gsize answer_bytes; /* 0 = any */
  GtJobDone done;
  GtJobProgress progress;
  GtJobTakePart part;
  gpointer data;
  GtJobResult *result; /* what has come so far; its record grows with the job */
  GtInstant hard;      /* in force: a cancel brings it forward */
  gboolean cancelled;
  gboolean settled;      /* the outcome stands: the answer is complete */
  gsize answer_so_far;   /* bytes of bodies and memory files */
  gsize overhead_so_far; /* bytes of heads and of what holds the parts */
  guint files_so_far;
  gint64 cpu_before_ns; /* the executor's, when the job began */
  GtSlot *slot;         /* NULL while it waits */
  GList *link;          /* in the queue while it waits */
};

/* Takes a copy of everything; the record says when it was handed in. */
GtJob *gt_job_new (guint64 id, const GtJobSpec *spec, GtInstant now, gsize answer_bytes);
void gt_job_free (GtJob *job);

/* What is seen of an executor's family from outside; -1 = not known. */
typedef struct {
  gint64 cpu_ns;       /* of all members */
  gint64 memory_bytes; /* resident, of all members */
  gint64 peak_bytes;   /* the executor's own, in its whole life */
  gint64 processes;    /* beside the keeper; 1 is as it should be */
  gint64 threads;      /* of the executor */
  gint64 fds;          /* the executor has open */
  gboolean stopped;    /* the executor */
} GtUsage;

#define GT_USAGE_UNKNOWN                                                                           \
  {                                                                                                \
    -1, -1, -1, -1, -1, -1, FALSE                                                                  \
  }

/* How a family ended. */
typedef struct {
  GtFamilyReport report;
  int wait_status; /* of the executor; -1 = not known */
} GtEnding;

typedef struct {
  GtInstant (*now) (gpointer world);
  /* Begins a start. Answered by gt_slot_start_failed(), or by gt_slot_warm() and what else happens
   * to a process. */
  void (*start) (gpointer world, GtSlot *slot);
  void (*send_job) (gpointer world, GtSlot *slot, const GtJob *job);
  void (*send_interrupt) (gpointer world, GtSlot *slot, guint64 job);
  void (*send_bye) (gpointer world, GtSlot *slot);
  /* Reads nothing more until it is told otherwise, or kills. */
  void (*hold) (gpointer world, GtSlot *slot);
  /* Everything that reaches the socket from now on is the past. A start that is still under way is
   * killed as soon as there is something to kill. */
  void (*kill) (gpointer world, GtSlot *slot);
  void (*second_line) (gpointer world, GtSlot *slot, GtInstant at);
  gint64 (*cpu_ns) (gpointer world, GtSlot *slot);         /* the executor's alone; cheap */
  gint64 (*resident_bytes) (gpointer world, GtSlot *slot); /* the executor's alone; cheap */
  /* `whole`: all members and their sums. Otherwise what a slot needs to know after a short job:
   * children of keeper and executor, threads, descriptors, the executor's own memory. */
  void (*look) (gpointer world, GtSlot *slot, gboolean whole, GtUsage *usage);
  /* Asks what all members hold, shared pages in parts: gt_slot_weighed(), later. */
  void (*weigh) (gpointer world, GtSlot *slot);
  const char *(*domain) (gpointer world, GtSlot *slot);
  /* After gt_slot_reaped(): the report; the executor's things are the world's to remove. */
  void (*ending) (gpointer world, GtSlot *slot, GtEnding *ending);
  /* Nothing of the slot will be used any more: `slot->io` can go. */
  void (*freed) (gpointer world, GtSlot *slot);
  void (*tell) (gpointer world, GtJob *job); /* takes the job: its result is complete */
} GtPoolWorld;

struct _GtSlot {
  GtPool *pool;
  guint number; /* never used twice */
  GtSlotState state;
  GtInstant since;     /* of the state */
  GtJob *job;          /* NULL when no job waits for this slot */
  gpointer io;         /* the world's */
  GtInstant wanted;    /* EMPTY: not before this */
  GtInstant late;      /* this state may last until then */
  GtInstant watch;     /* the next look at what the job uses */
  GtInstant line;      /* of the second line, as last sent */
  GtInstant warm;      /* when it came into service; GT_NEVER = it did not */
  gint64 threads, fds; /* when it came into service: what to come back to */
  gboolean fds_over;   /* the last job left more */
  guint jobs;          /* it has done */
  GtReason why;        /* of the kill; ANSWER = none was sent */
  GtReason over;       /* of the next OVER event */
  gint64 sum_bytes;    /* of the members that are being weighed */
  gint64 shared_bytes; /* counted more than once in such a sum */
  GtInstant weighed;   /* so long an answer to a weighing is waited for; GT_NEVER = none is due */
  char *problem;       /* for people: what was wrong with it; NULL */
};

struct _GtPool {
  const GtPoolWorld *world;
  gpointer data;           /* of the world */
  GtEngineOptions options; /* with defaults filled in; its pointers are not used here */
  GPtrArray *slots;        /* of GtSlot, owned */
  GQueue waiting;          /* of GtJob, in order */
  GTree *by_limit;         /* the same jobs by the instant at which waiting is over */
  GHashTable *by_id;       /* every job there is */
  guint next_number;
  guint failures;      /* failed starts in a row */
  GtInstant failed_at; /* the last of them */
  char *last_failure;  /* its text */
  gboolean stopping;
  GtEngineStats stats;
};

GtPool *gt_pool_new (const GtPoolWorld *world, gpointer data, const GtEngineOptions *options);
void gt_pool_free (GtPool *pool); /* every slot must be gone or undead */

/* FALSE and `error` for options that cannot be. Fills in defaults. */
gboolean gt_engine_options_check (GtEngineOptions *options, GError **error);

/* The first slots are wanted at once: call gt_pool_tick() then. */
void gt_pool_submit (GtPool *pool, GtJob *job); /* takes it */
void gt_pool_cancel (GtPool *pool, guint64 id);
void gt_pool_stop (GtPool *pool);
GtSlot *gt_pool_slot_of (const GtPool *pool, guint64 id); /* NULL: it has none */
gboolean gt_pool_stopped (const GtPool *pool);            /* nothing left but what does not die */
GtEngineStats gt_pool_stats (const GtPool *pool);
/* Starts have failed too often and nothing is warm: jobs fail at once. */
gboolean gt_pool_hopeless (const GtPool *pool);

/* Does what is due and says when to come again (GT_NEVER: when something happens). Call it after
 * events too: they may make something due. Frees slots that are done. */
GtInstant gt_pool_tick (GtPool *pool);

/* What happens to a slot. Strings and structs stay the caller's, a part is taken. `job` is the id
 * that the frame named. */
void gt_slot_start_failed (GtSlot *slot, const char *message);
void gt_slot_warm (GtSlot *slot, gint64 threads, gint64 fds);
void gt_slot_part (GtSlot *slot, guint64 job, GtPart *part);
void gt_slot_progress (GtSlot *slot, guint64 job, const GtProgress *progress);
void gt_slot_ack (GtSlot *slot, guint64 job, const GtAck *ack);
/* `failure` NULL: the part is a value. */
void gt_slot_answer (GtSlot *slot, guint64 job, GtPart *part, const GtFailure *failure);
void gt_slot_end (GtSlot *slot, guint64 job, const GtEnd *end);
/* What the job that runs holds; -1 = not known: the sum of its members counts. */
void gt_slot_weighed (GtSlot *slot, gint64 bytes);
void gt_slot_garbage (GtSlot *slot, const char *message);
void gt_slot_closed (GtSlot *slot);
void gt_slot_died (GtSlot *slot); /* the executor's process has ended */
void gt_slot_reaped (GtSlot *slot);

/* What the answer grows by: its body, or its memory file. */
gsize gt_part_bytes (const GtPart *part);
GtPart *gt_part_new (int type, const void *head, gsize head_bytes, const void *body,
                     gsize body_bytes, int fd);

/* A family may have stopped its keeper, or forked while it was killed: the kill is repeated. */
#define GT_SLOT_KILL_AGAIN_NS (60 * GT_NSEC_PER_MSEC)

/* Between pool.c and slot.c. */
void gt_slot_event (GtSlot *slot, GtSlotEvent event);
void gt_slot_tick (GtSlot *slot, GtInstant now);
/* Looks whether the limit of memory of its job is passed, and notes it for the OVER event that is
 * due then. */
gboolean gt_slot_over_memory (GtSlot *slot);
GtInstant gt_slot_due (const GtSlot *slot);
GtSlot *gt_pool_add_slot (GtPool *pool);
void gt_pool_start_failed (GtPool *pool, GtSlot *slot, const char *message);
void gt_pool_tell (GtPool *pool, GtJob *job, GtOutcome outcome, GtReason reason);
