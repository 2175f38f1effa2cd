/* Inside the engine: engine*.c only. Which thread may touch what stands with each struct. */
#pragma once

#include "deadline/pool.h"

#include "executor/wire.h"

#include <pthread.h>

/* One executor that is there, was, or is being started: slot->io. The deadline thread's, but for
 * the time between handing it to the helper and getting it back. */
typedef struct {
  GtEngine *engine;
  GtSlot *slot; /* NULL once the slot needs it no more */
  GtFamily *family;
  char *temp; /* its folder */
  int socket; /* ours, non-blocking; -1 = closed */
  GtWireDecoder *decoder;
  GQueue out;       /* of GBytes, not sent yet */
  gsize out_offset; /* of the first */
  gboolean greeted; /* hello was read */
  gboolean with_helper;
  gboolean kill_wanted; /* while it is with the helper */
  gboolean ready;       /* said so, and the keeper has not yet told its pid */
  gboolean held;        /* nothing is read: neither socket nor family is in the epoll set */
  gboolean told_died, told_reaped;
  gint64 threads, fds;                /* of hello */
  char *problem;                      /* a start that failed: why. NULL = it did not */
  int keeper_folder, executor_folder; /* of /proc, -1 = not opened */
} GtLink;

/* Orders from any thread to the deadline thread, and answers of the helper. */
#define GT_ORDERS(X) X (SUBMIT) X (CANCEL) X (RESUME) X (STOP) X (STARTED) X (WEIGHED)

typedef enum {
#define X(id) GT_ORDER_##id,
  GT_ORDERS (X)
#undef X
} GtOrderKind;

typedef struct {
  GtOrderKind kind;
  GtJob *job;   /* SUBMIT */
  guint64 id;   /* CANCEL, RESUME, WEIGHED: of a job */
  GtLink *link; /* STARTED */
  gint64 bytes; /* WEIGHED; -1 = could not be */
} GtOrder;

struct _GtEngine {
  GtEngineOptions options; /* its strings are the engine's copies; constant */
  GThread *deadline, *helper;
  int epoll_fd, timer_fd, wake_fd;

  /* Errands to the helper. POSIX locks, not GLib's: ThreadSanitizer sees through them. */
  pthread_mutex_t errand_lock;
  pthread_cond_t errand_came;
  GQueue errands; /* of GtErrand */

  /* The deadline thread's. */
  GtPool *pool;
  GtInstant armed;   /* of timer_fd */
  GPtrArray *parted; /* links to hand to the helper after this round's events */

  /* Under the lock. Held for a few instructions only, so that the deadline thread never waits for
   * one that sleeps with it. */
  pthread_mutex_t lock;
  GQueue inbox; /* of GtOrder */
  guint64 next_id;
  gboolean stopping;
  pthread_cond_t changed; /* on CLOCK_MONOTONIC */
  guint n_watchers;       /* who wait for `changed` */
  GtEngineStats stats;
  char *hopeless; /* the last failure's text; NULL = starts do not fail */
  GArray *pids;
};

typedef struct {
  enum { GT_ERRAND_START, GT_ERRAND_WEIGH, GT_ERRAND_PART, GT_ERRAND_QUIT } kind;
  GtLink *link;
  guint64 job; /* WEIGH */
} GtErrand;

/* engine.c */
void gt_engine_order (GtEngine *engine, const GtOrder *order);

/* engine_loop.c */
gpointer gt_engine_deadline_main (gpointer engine);

/* engine_helper.c */
gpointer gt_engine_helper_main (gpointer engine);
void gt_engine_errand (GtEngine *engine, const GtErrand *errand); /* copied */

/* engine_link.c: the deadline thread's side of one executor. */
GtLink *gt_link_new (GtEngine *engine, GtSlot *slot);
void gt_link_started (GtLink *link); /* the helper has given it back */
void gt_link_on_socket (GtLink *link, guint32 events);
void gt_link_on_family (GtLink *link);
void gt_link_send (GtLink *link, GtWireType type, guint64 job, const char *head, GBytes *body);
void gt_link_kill (GtLink *link);
void gt_link_try_warm (GtLink *link);
void gt_link_hold (GtLink *link);
void gt_link_resume (GtLink *link);
void gt_link_part (GtLink *link); /* the slot needs it no more */
void gt_link_free (GtLink *link); /* memory and descriptors only; any thread, once parted */

/* engine_frames.c: one frame of a link's decoder. */
void gt_link_on_frame (GtLink *link, GtFrame *frame);

/* engine_look.c: what /proc says about a link's family. */
void gt_link_look (GtLink *link, gboolean whole, GtUsage *usage);
gint64 gt_link_cpu_ns (GtLink *link);
gint64 gt_link_resident_bytes (GtLink *link);
/* What all members hold, pages that they share in parts: walks their address spaces, so it is the
 * helper's. -1 = not known. */
gint64 gt_link_weigh (const GtLink *link);

/* engine_world.c */
extern const GtPoolWorld gt_engine_world;
