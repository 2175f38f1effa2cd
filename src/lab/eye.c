#include "lab/eye.h"

#include "lab/error.h"
#include "os/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

/* Longest trace datagram that is taken whole. */
enum { DATAGRAM_LIMIT = 1 << 16 };

struct GtEye {
  GtRaw *raw;
  GtObserver *observer;
  char *trace_path;
  int trace_fd, timer_fd, epoll_fd;
  /* of the subject at hand */
  const char *subject, *task_id;
  gboolean closing; /* the family was ended: a sample now would show a death of our making */
};

static int
bind_trace_socket (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
                 "%s: too long for a socket; set TMPDIR to a shorter folder", path);
    return -1;
  }
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && bind (fd, (struct sockaddr *) &address, sizeof address) == 0)
    return fd;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s", path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

static gboolean
open_timer (GtEye *eye, GError **error)
{
  eye->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  eye->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  const int fds[] = { eye->trace_fd, eye->timer_fd };
  gboolean ok = eye->timer_fd >= 0 && eye->epoll_fd >= 0;
  for (gsize i = 0; ok && i < G_N_ELEMENTS (fds); i++) {
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fds[i] };
    ok = epoll_ctl (eye->epoll_fd, EPOLL_CTL_ADD, fds[i], &event) == 0;
  }
  if (!ok)
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "timer: %s", g_strerror (errno));
  return ok;
}

GtEye *
gt_eye_new (GtRaw *raw, const char *trace_path, GError **error)
{
  g_autoptr (GtEye) eye = g_new0 (GtEye, 1);
  eye->raw = raw;
  eye->timer_fd = eye->epoll_fd = -1;
  eye->trace_path = g_strdup (trace_path);
  eye->trace_fd = bind_trace_socket (trace_path, error);
  if (eye->trace_fd < 0 || !open_timer (eye, error))
    return NULL;
  eye->observer = gt_observer_new (raw, error);
  return eye->observer != NULL ? g_steal_pointer (&eye) : NULL;
}

void
gt_eye_free (GtEye *eye)
{
  if (eye == NULL)
    return;
  const int fds[] = { eye->trace_fd, eye->timer_fd, eye->epoll_fd };
  if (eye->trace_fd >= 0)
    unlink (eye->trace_path);
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  gt_observer_free (eye->observer);
  g_free (eye->trace_path);
  g_free (eye);
}

static void
set_period (GtEye *eye, guint ms)
{
  const struct timespec period = { ms / 1000, (long) (ms % 1000) * 1000000L };
  const struct itimerspec spec = { period, period };
  if (timerfd_settime (eye->timer_fd, 0, &spec, NULL) < 0)
    g_error ("timerfd_settime: %s", g_strerror (errno));
}

gboolean
gt_eye_begin (GtEye *eye, const char *subject, const char *task_id, pid_t root_pid, guint sample_ms,
              GError **error)
{
  eye->subject = subject;
  eye->task_id = task_id;
  eye->closing = FALSE;
  if (!gt_observer_begin (eye->observer, subject, root_pid, error))
    return FALSE;
  set_period (eye, sample_ms);
  return TRUE;
}

int
gt_eye_fd (const GtEye *eye)
{
  return eye->epoll_fd;
}

static gboolean
take_sample (GtEye *eye, GtWatchState *state, GError **error)
{
  gboolean ok = gt_observer_sample (eye->observer, error);
  state->working = gt_observer_working (eye->observer);
  return ok;
}

static gboolean
on_timer (GtEye *eye, GtWatchState *state, GError **error)
{
  guint64 expirations;
  if (read (eye->timer_fd, &expirations, sizeof expirations) < 0)
    return TRUE;
  return take_sample (eye, state, error);
}

/* FALSE only when it cannot be recorded; what is no event of ours is left out. */
static gboolean
on_event (GtEye *eye, GtWatchState *state, json_t *event, GtInstant now, GError **error)
{
  const json_int_t pid = json_integer_value (json_object_get (event, "pid"));
  if (json_string_value (json_object_get (event, "ev")) == NULL || eye->subject == NULL) {
    json_decref (event);
    return TRUE;
  }
  if (gt_sight_note (state, event, eye->task_id))
    gt_observer_task_started (eye->observer, (pid_t) pid);
  /* A sample at the very moment of each event: the figures are about these moments. */
  gboolean ok = eye->closing || take_sample (eye, state, error);
  return gt_raw_write (eye->raw,
                       json_pack ("{ss ss sI so}", "k", "trace", "s", eye->subject, "t",
                                  (json_int_t) now.ns, "e", event),
                       ok ? error : NULL)
         && ok;
}

static gboolean
on_trace (GtEye *eye, GtWatchState *state, GError **error)
{
  static char datagram[DATAGRAM_LIMIT];
  ssize_t got;
  while ((got = recv (eye->trace_fd, datagram, sizeof datagram, 0)) > 0) {
    GtInstant now = gt_instant_now ();
    json_t *event = json_loadb (datagram, (size_t) got, 0, NULL);
    if (event != NULL && !on_event (eye, state, event, now, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
gt_eye_look (GtEye *eye, GtWatchState *state, GError **error)
{
  return on_trace (eye, state, error) && on_timer (eye, state, error);
}

gboolean
gt_eye_close (GtEye *eye, GtWatchState *state, GError **error)
{
  set_period (eye, 0);
  eye->closing = TRUE;
  gboolean ok = on_trace (eye, state, error);
  eye->subject = eye->task_id = NULL;
  return ok;
}
