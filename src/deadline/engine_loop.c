/* The deadline thread. It waits in one place only, epoll_wait(), and nothing it calls blocks. */
#include "deadline/engine_private.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SLICE_NS 100000 /* on a full machine: late by 0.1 ms instead of by a tick of 4 ms */
#define EVENTS   64

/* sched_setattr(2)'s first version. glibc 2.36 does not have it, and the kernel's own header
 * collides with glibc's <sched.h>. */
typedef struct {
  guint32 size, policy;
  guint64 flags;
  gint32 nice;
  guint32 priority;
  guint64 runtime, deadline, period;
} SchedAttr;

/* EEVDF takes the slice from sched_runtime of an ordinary thread, without any privilege. A kernel
 * that does not know it ignores it: nothing is promised by it. */
static void
ask_for_short_slice (const GtEngine *engine)
{
  if (engine->options.slice_ns < 0)
    return;
  SchedAttr attr = { .size = sizeof attr, .policy = SCHED_OTHER };
  attr.runtime = engine->options.slice_ns > 0 ? (guint64) engine->options.slice_ns : SLICE_NS;
  (void) syscall (SYS_sched_setattr, 0, &attr, 0);
}

static void
resume (GtEngine *engine, guint64 job)
{
  GtSlot *slot = gt_pool_slot_of (engine->pool, job);
  if (slot != NULL && slot->io != NULL)
    gt_link_resume (slot->io);
}

static void
take_weight (GtEngine *engine, guint64 job, gint64 bytes)
{
  GtSlot *slot = gt_pool_slot_of (engine->pool, job);
  if (slot != NULL)
    gt_slot_weighed (slot, bytes);
}

static void
take_orders (GtEngine *engine)
{
  guint64 ignored;
  (void) !read (engine->wake_fd, &ignored, sizeof ignored);
  pthread_mutex_lock (&engine->lock);
  GQueue orders = engine->inbox;
  g_queue_init (&engine->inbox);
  pthread_mutex_unlock (&engine->lock);
  for (GtOrder *order; (order = g_queue_pop_head (&orders)) != NULL; g_free (order))
    switch (order->kind) {
    case GT_ORDER_SUBMIT:
      gt_pool_submit (engine->pool, order->job);
      break;
    case GT_ORDER_CANCEL:
      gt_pool_cancel (engine->pool, order->id);
      break;
    case GT_ORDER_RESUME:
      resume (engine, order->id);
      break;
    case GT_ORDER_STOP:
      gt_pool_stop (engine->pool);
      break;
    case GT_ORDER_WEIGHED:
      take_weight (engine, order->id, order->bytes);
      break;
    case GT_ORDER_STARTED:
      gt_link_started (order->link);
      break;
    }
}

/* An earlier instant than needed costs one wake-up; arming for every job would cost more. */
static void
arm (GtEngine *engine, GtInstant due)
{
  if (due.ns >= engine->armed.ns)
    return;
  engine->armed = due;
  struct itimerspec at = { .it_value = { due.ns / GT_NSEC_PER_SEC, due.ns % GT_NSEC_PER_SEC } };
  if (at.it_value.tv_sec == 0 && at.it_value.tv_nsec == 0)
    at.it_value.tv_nsec = 1; /* 0 would disarm it */
  timerfd_settime (engine->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Each link has two sources; the low bit of its address says which. */
static void
on_link_event (const struct epoll_event *event)
{
  guintptr source = (guintptr) event->data.ptr;
  GtLink *link = (GtLink *) (source & ~(guintptr) 1); /* NOLINT(performance-no-int-to-ptr) */
  if ((source & 1) != 0)
    gt_link_on_family (link);
  else
    gt_link_on_socket (link, event->events);
}

/* What has arrived is read before any timer is looked at: an answer that came in time wins. */
static void
wait_and_take (GtEngine *engine, gboolean at_once)
{
  struct epoll_event events[EVENTS];
  gboolean woken = FALSE;
  int n = epoll_wait (engine->epoll_fd, events, EVENTS, at_once ? 0 : -1);
  for (int i = 0; i < n; i++)
    if (events[i].data.ptr == &engine->timer_fd) {
      guint64 ignored;
      (void) !read (engine->timer_fd, &ignored, sizeof ignored);
      engine->armed = GT_NEVER;
    } else if (events[i].data.ptr == &engine->wake_fd)
      woken = TRUE;
    else
      on_link_event (&events[i]);
  if (woken)
    take_orders (engine);
}

static void
list_pids (GtEngine *engine)
{
  g_array_set_size (engine->pids, 0);
  for (guint i = 0; i < engine->pool->slots->len; i++) {
    const GtSlot *slot = engine->pool->slots->pdata[i];
    const GtLink *link = slot->io;
    pid_t pid = link != NULL && !link->with_helper && link->family != NULL
                    ? gt_family_command_pid (link->family)
                    : 0;
    if (pid > 0 && !link->told_died)
      g_array_append_val (engine->pids, pid);
  }
}

/* Walking the slots is cheap beside the system calls of a round. */
static void
publish (GtEngine *engine)
{
  GtEngineStats stats = gt_pool_stats (engine->pool);
  gboolean hopeless = gt_pool_hopeless (engine->pool);
  pthread_mutex_lock (&engine->lock);
  engine->stats = stats;
  if (hopeless != (engine->hopeless != NULL)) {
    g_free (engine->hopeless);
    engine->hopeless = hopeless ? g_strdup (engine->pool->last_failure) : NULL;
  }
  list_pids (engine);
  if (engine->n_watchers > 0)
    pthread_cond_broadcast (&engine->changed);
  pthread_mutex_unlock (&engine->lock);
}

static void
hand_over_parted (GtEngine *engine)
{
  for (guint i = 0; i < engine->parted->len; i++)
    gt_engine_errand (engine,
                      &(GtErrand){ .kind = GT_ERRAND_PART, .link = engine->parted->pdata[i] });
  g_ptr_array_set_size (engine->parted, 0);
}

gpointer
gt_engine_deadline_main (gpointer data)
{
  GtEngine *engine = data;
  ask_for_short_slice (engine);
  engine->pool = gt_pool_new (&gt_engine_world, engine, &engine->options);
  GtInstant due = gt_pool_tick (engine->pool);
  while (!gt_pool_stopped (engine->pool)) {
    gboolean overdue = due.ns <= gt_instant_now ().ns;
    if (!overdue)
      arm (engine, due);
    wait_and_take (engine, overdue);
    due = gt_pool_tick (engine->pool);
    hand_over_parted (engine);
    publish (engine);
  }
  take_orders (engine); /* what was handed in while it stopped is answered too */
  gt_pool_free (engine->pool);
  hand_over_parted (engine);
  return NULL;
}
