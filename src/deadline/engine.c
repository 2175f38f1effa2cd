/* The engine's face: what any thread may call. */
#include "deadline/engine_private.h"

#include "deadline/error.h"
#include "os/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MOST_KIND_BYTES 256

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static void
engine_release (GtEngine *engine)
{
  close_fd (&engine->epoll_fd);
  close_fd (&engine->timer_fd);
  close_fd (&engine->wake_fd);
  g_clear_pointer (&engine->parted, g_ptr_array_unref);
  g_clear_pointer (&engine->pids, g_array_unref);
  g_strfreev ((char **) engine->options.argv);
  g_strfreev ((char **) engine->options.env);
  g_free ((char *) engine->options.temp_root);
  g_queue_clear_full (&engine->inbox, g_free); /* late cancels */
  g_free (engine->hopeless);
  pthread_mutex_destroy (&engine->lock);
  pthread_cond_destroy (&engine->changed);
  pthread_mutex_destroy (&engine->errand_lock);
  pthread_cond_destroy (&engine->errand_came);
  g_free (engine);
}

static gboolean
open_descriptors (GtEngine *engine, GError **error)
{
  engine->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  engine->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  engine->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (engine->epoll_fd < 0 || engine->timer_fd < 0 || engine->wake_fd < 0)
    return gt_os_fail (error, errno, "the deadline thread's descriptors");
  /* Told from links by their address. */
  struct epoll_event timer = { .events = EPOLLIN, .data.ptr = &engine->timer_fd };
  struct epoll_event wake = { .events = EPOLLIN, .data.ptr = &engine->wake_fd };
  if (epoll_ctl (engine->epoll_fd, EPOLL_CTL_ADD, engine->timer_fd, &timer) != 0
      || epoll_ctl (engine->epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &wake) != 0)
    return gt_os_fail (error, errno, "epoll_ctl");
  return TRUE;
}

/* Signals are the host's: our threads take none. */
static gboolean
start_threads (GtEngine *engine, GError **error)
{
  sigset_t all, before;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  engine->helper = g_thread_try_new ("gt-helper", gt_engine_helper_main, engine, error);
  if (engine->helper != NULL)
    engine->deadline = g_thread_try_new ("gt-deadline", gt_engine_deadline_main, engine, error);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return engine->deadline != NULL;
}

static void
init_locks (GtEngine *engine)
{
  pthread_condattr_t monotonic;
  pthread_condattr_init (&monotonic);
  pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init (&engine->lock, NULL);
  pthread_cond_init (&engine->changed, &monotonic);
  pthread_mutex_init (&engine->errand_lock, NULL);
  pthread_cond_init (&engine->errand_came, NULL);
  pthread_condattr_destroy (&monotonic);
  g_queue_init (&engine->inbox);
  g_queue_init (&engine->errands);
}

GtEngine *
gt_engine_new (const GtEngineOptions *options, GError **error)
{
  GtEngineOptions full = *options;
  if (!gt_engine_options_check (&full, error))
    return NULL;
  GtEngine *engine = g_new0 (GtEngine, 1);
  engine->options = full;
  engine->options.argv = (const char *const *) g_strdupv ((char **) full.argv);
  engine->options.env = (const char *const *) (full.env != NULL ? g_strdupv ((char **) full.env)
                                                                : g_get_environ ());
  engine->options.temp_root = g_strdup (full.temp_root != NULL ? full.temp_root : g_get_tmp_dir ());
  engine->epoll_fd = engine->timer_fd = engine->wake_fd = -1;
  engine->armed = GT_NEVER;
  engine->parted = g_ptr_array_new ();
  engine->pids = g_array_new (FALSE, FALSE, sizeof (pid_t));
  init_locks (engine);
  if (open_descriptors (engine, error) && start_threads (engine, error))
    return engine;
  if (engine->helper != NULL) {
    gt_engine_errand (engine, &(GtErrand){ .kind = GT_ERRAND_QUIT });
    g_thread_join (engine->helper);
  }
  engine_release (engine);
  return NULL;
}

void
gt_engine_free (GtEngine *engine)
{
  if (engine == NULL)
    return;
  pthread_mutex_lock (&engine->lock);
  engine->stopping = TRUE;
  pthread_mutex_unlock (&engine->lock);
  gt_engine_order (engine, &(GtOrder){ .kind = GT_ORDER_STOP });
  g_thread_join (engine->deadline);
  gt_engine_errand (engine, &(GtErrand){ .kind = GT_ERRAND_QUIT });
  g_thread_join (engine->helper);
  engine_release (engine);
}

/* Only the first of several needs to wake it: it takes all that is there. */
static void
push_locked (GtEngine *engine, const GtOrder *order, gboolean *wake)
{
  *wake = engine->inbox.length == 0;
  g_queue_push_tail (&engine->inbox, g_memdup2 (order, sizeof *order));
}

static void
wake_up (GtEngine *engine)
{
  const guint64 one = 1;
  (void) !write (engine->wake_fd, &one, sizeof one);
}

void
gt_engine_order (GtEngine *engine, const GtOrder *order)
{
  gboolean wake;
  pthread_mutex_lock (&engine->lock);
  push_locked (engine, order, &wake);
  pthread_mutex_unlock (&engine->lock);
  if (wake)
    wake_up (engine);
}

/* Whatever else the head says, it is short. */
static gboolean
fits_frame (const GtJobSpec *spec, GError **error)
{
  gsize body = spec->body != NULL ? g_bytes_get_size (spec->body) : 0, kind = strlen (spec->kind);
  if (body <= GT_WIRE_BODY_BYTES && kind <= MOST_KIND_BYTES)
    return TRUE;
  g_set_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_TOO_LARGE,
               "a job of %" G_GSIZE_FORMAT " bytes is too large: at most %u, and %d for its kind",
               body + kind, GT_WIRE_BODY_BYTES, MOST_KIND_BYTES);
  return FALSE;
}

guint64
gt_engine_submit (GtEngine *engine, const GtJobSpec *spec, GError **error)
{
  g_return_val_if_fail (spec->kind != NULL && spec->done != NULL, 0);
  GtOrder order = { .kind = GT_ORDER_SUBMIT };
  if (!fits_frame (spec, error))
    return 0;
  gboolean wake = FALSE;
  order.job = gt_job_new (0, spec, gt_instant_now (), engine->options.answer_bytes);
  pthread_mutex_lock (&engine->lock);
  gboolean stopping = engine->stopping;
  guint64 id = 0;
  if (!stopping) {
    id = order.job->id = order.job->result->job = ++engine->next_id;
    push_locked (engine, &order, &wake);
  }
  pthread_mutex_unlock (&engine->lock);
  if (wake)
    wake_up (engine);
  if (!stopping)
    return id;
  gt_job_free (order.job);
  g_set_error_literal (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_STOPPED,
                       "the engine is being stopped: it takes no job any more");
  return 0;
}

void
gt_engine_cancel (GtEngine *engine, guint64 job)
{
  gt_engine_order (engine, &(GtOrder){ .kind = GT_ORDER_CANCEL, .id = job });
}

void
gt_engine_resume (GtEngine *engine, guint64 job)
{
  gt_engine_order (engine, &(GtOrder){ .kind = GT_ORDER_RESUME, .id = job });
}

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t arrived;
  GtJobResult *result;
} Waiter;

static void
on_arrived (GtJobResult *result, gpointer data)
{
  Waiter *waiter = data;
  pthread_mutex_lock (&waiter->lock);
  waiter->result = result;
  pthread_cond_signal (&waiter->arrived);
  pthread_mutex_unlock (&waiter->lock);
}

GtJobResult *
gt_engine_run (GtEngine *engine, const GtJobSpec *spec, GError **error)
{
  Waiter waiter = { .result = NULL };
  GtJobSpec own = *spec;
  own.done = on_arrived;
  own.data = &waiter;
  pthread_mutex_init (&waiter.lock, NULL);
  pthread_cond_init (&waiter.arrived, NULL);
  if (gt_engine_submit (engine, &own, error) != 0) {
    pthread_mutex_lock (&waiter.lock);
    while (waiter.result == NULL)
      pthread_cond_wait (&waiter.arrived, &waiter.lock);
    pthread_mutex_unlock (&waiter.lock);
  }
  pthread_mutex_destroy (&waiter.lock);
  pthread_cond_destroy (&waiter.arrived);
  return waiter.result;
}

gboolean
gt_engine_wait_warm (GtEngine *engine, guint executors, GtInstant until, GError **error)
{
  guint wanted = executors > 0 ? executors : engine->options.slots + engine->options.spares;
  const struct timespec at = { until.ns / GT_NSEC_PER_SEC, until.ns % GT_NSEC_PER_SEC };
  int waited = 0;
  pthread_mutex_lock (&engine->lock);
  engine->n_watchers++;
  while (engine->stats.idle < wanted && engine->hopeless == NULL && waited == 0)
    waited = until.ns == GT_NEVER.ns
                 ? pthread_cond_wait (&engine->changed, &engine->lock)
                 : pthread_cond_timedwait (&engine->changed, &engine->lock, &at);
  engine->n_watchers--;
  gboolean warm = engine->stats.idle >= wanted;
  if (!warm && engine->hopeless != NULL)
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM, "executors cannot be started: %s",
                 engine->hopeless);
  else if (!warm)
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT, "%u of %u executors are warm",
                 (guint) engine->stats.idle, wanted);
  pthread_mutex_unlock (&engine->lock);
  return warm;
}

GtEngineStats
gt_engine_stats (GtEngine *engine)
{
  pthread_mutex_lock (&engine->lock);
  GtEngineStats stats = engine->stats;
  pthread_mutex_unlock (&engine->lock);
  return stats;
}

GArray *
gt_engine_pids (GtEngine *engine)
{
  pthread_mutex_lock (&engine->lock);
  GArray *pids = g_array_copy (engine->pids);
  pthread_mutex_unlock (&engine->lock);
  return pids;
}
