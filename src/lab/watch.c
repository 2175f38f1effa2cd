#include "lab/watch.h"

#include "celery/result.h"
#include "lab/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longest trace datagram and log line that are taken whole. */
enum { DATAGRAM_LIMIT = 1 << 16, LINE_LIMIT = 1 << 16 };

struct GtWatch {
  GtRaw *raw;
  GtObserver *observer;
  char *trace_path;
  int trace_fd, timer_fd, signal_fd;
  void (*tick) (gpointer data);
  gpointer tick_data;
  /* of the subject at hand */
  const char *subject;
  const char *task_id;
  GtFamily *family;
  GtBroker *broker;
  int log_fd;
  FILE *log_file;
  GString *log_text;
  GtWatchState state;
  gboolean draining; /* the family was ended: a sample now would show a death of our making */
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

GtWatch *
gt_watch_new (GtRaw *raw, GtObserver *observer, const char *trace_path, int signal_fd,
              GError **error)
{
  GtWatch *watch = g_new0 (GtWatch, 1);
  watch->raw = raw;
  watch->observer = observer;
  watch->trace_path = g_strdup (trace_path);
  watch->signal_fd = signal_fd;
  watch->log_fd = -1;
  watch->log_text = g_string_new (NULL);
  watch->trace_fd = -1;
  watch->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (watch->timer_fd < 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "timerfd: %s", g_strerror (errno));
    gt_watch_free (watch);
    return NULL;
  }
  watch->trace_fd = bind_trace_socket (trace_path, error);
  if (watch->trace_fd >= 0)
    return watch;
  gt_watch_free (watch);
  return NULL;
}

void
gt_watch_free (GtWatch *watch)
{
  if (watch == NULL)
    return;
  if (watch->trace_fd >= 0) {
    close (watch->trace_fd);
    unlink (watch->trace_path);
  }
  if (watch->timer_fd >= 0)
    close (watch->timer_fd);
  g_string_free (watch->log_text, TRUE);
  g_free (watch->trace_path);
  g_free (watch);
}

void
gt_watch_set_tick (GtWatch *watch, void (*tick) (gpointer data), gpointer data)
{
  watch->tick = tick;
  watch->tick_data = data;
}

static void
set_period (GtWatch *watch, guint ms)
{
  const struct timespec period = { ms / 1000, (long) (ms % 1000) * 1000000L };
  const struct itimerspec spec = { period, period };
  if (timerfd_settime (watch->timer_fd, 0, &spec, NULL) < 0)
    g_error ("timerfd_settime: %s", g_strerror (errno));
}

/* --- what comes in --------------------------------------------------------------------------- */

static gboolean
on_timer (GtWatch *watch, GError **error)
{
  guint64 expirations;
  if (read (watch->timer_fd, &expirations, sizeof expirations) < 0)
    return TRUE;
  return gt_observer_sample (watch->observer, error);
}

/* FALSE only when it cannot be recorded; what is no event of ours is left out. */
static gboolean
on_trace_event (GtWatch *watch, json_t *event, GtInstant now, GError **error)
{
  const char *name = json_string_value (json_object_get (event, "ev"));
  const json_int_t pid = json_integer_value (json_object_get (event, "pid"));
  if (name == NULL || watch->subject == NULL) {
    json_decref (event);
    return TRUE;
  }
  const char *task_id = json_string_value (json_object_get (event, "task_id"));
  if (strcmp (name, "task_start") == 0 && g_strcmp0 (task_id, watch->task_id) == 0) {
    watch->state.task_started = TRUE;
    gt_observer_task_started (watch->observer, (pid_t) pid);
  }
  watch->state.task_ended |= strcmp (name, "task_end") == 0;
  watch->state.iterations_told += strcmp (name, "iter_told") == 0;
  /* A sample at the very moment of each event: the figures are about these moments. */
  gboolean ok = watch->draining || gt_observer_sample (watch->observer, error);
  return gt_raw_write (watch->raw,
                       json_pack ("{ss ss sI so}", "k", "trace", "s", watch->subject, "t",
                                  (json_int_t) now.ns, "e", event),
                       ok ? error : NULL)
         && ok;
}

static gboolean
on_trace (GtWatch *watch, GError **error)
{
  static char datagram[DATAGRAM_LIMIT];
  ssize_t got;
  while ((got = recv (watch->trace_fd, datagram, sizeof datagram, 0)) > 0) {
    GtInstant now = gt_instant_now ();
    json_t *event = json_loadb (datagram, (size_t) got, 0, NULL);
    if (event != NULL && !on_trace_event (watch, event, now, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
record_line (GtWatch *watch, const char *line, gssize length, GError **error)
{
  g_autofree char *text = g_utf8_make_valid (line, length);
  if (watch->log_file != NULL)
    fprintf (watch->log_file, "%s\n", text);
  return gt_raw_write (watch->raw,
                       json_pack ("{ss ss sI ss}", "k", "log", "s", watch->subject, "t",
                                  (json_int_t) gt_instant_now ().ns, "line", text),
                       error);
}

static gboolean
on_log (GtWatch *watch, GError **error)
{
  char chunk[4096];
  ssize_t got;
  while ((got = read (watch->log_fd, chunk, sizeof chunk)) > 0) {
    g_string_append_len (watch->log_text, chunk, got);
    const char *text = watch->log_text->str;
    gsize done = 0;
    for (const char *end; (end = memchr (text + done, '\n', watch->log_text->len - done)) != NULL;
         done = (gsize) (end + 1 - text))
      if (!record_line (watch, text + done, end - (text + done), error))
        return FALSE;
    g_string_erase (watch->log_text, 0, (gssize) done);
    if (watch->log_text->len > LINE_LIMIT) {
      if (!record_line (watch, watch->log_text->str, (gssize) watch->log_text->len, error))
        return FALSE;
      g_string_truncate (watch->log_text, 0);
    }
  }
  /* Nobody holds the other end any more: poll would report it for ever. */
  if (got == 0)
    watch->log_fd = -1;
  return TRUE;
}

static json_t *
result_record (const GtWatch *watch, const GtResult *result)
{
  json_t *record = json_pack ("{ss ss sI ss}", "k", "result", "s", watch->subject, "t",
                              (json_int_t) gt_instant_now ().ns, "status", result->status);
  json_object_set (record, "value", result->result);
  if (result->exc_type != NULL)
    json_object_set_new (record, "error", json_string (result->exc_type));
  if (result->exc_message != NULL)
    json_object_set_new (record, "message", json_string (result->exc_message));
  return record;
}

static gboolean
on_reply (GtWatch *watch, const GtDelivery *delivery, GError **error)
{
  gsize length;
  const char *body = g_bytes_get_data (delivery->body, &length);
  g_autoptr (GtResult) result = gt_result_decode (body, length, error);
  if (result == NULL)
    return FALSE;
  if (strcmp (result->task_id, watch->task_id) != 0)
    return TRUE;
  watch->state.result_came |= result->ready;
  return gt_raw_write (watch->raw, result_record (watch, result), error);
}

static gboolean
on_broker (GtWatch *watch, GError **error)
{
  for (;;) {
    g_autoptr (GtDelivery) delivery = NULL;
    if (!gt_broker_try_receive (watch->broker, &delivery, error))
      return FALSE;
    if (delivery == NULL)
      return TRUE;
    if (!on_reply (watch, delivery, error))
      return FALSE;
  }
}

static gboolean
on_family (GtWatch *watch, GError **error)
{
  int status;
  if (watch->state.worker_ended)
    return TRUE;
  GtFamilyState state = gt_family_poll (watch->family);
  if (!gt_family_ended (watch->family, &status)) {
    if (state < GT_FAMILY_ENDED)
      return TRUE;
    status = SIGKILL; /* whoever killed the keeper killed the worker with it */
  }
  watch->state.worker_ended = TRUE;
  g_autofree char *how = WIFEXITED (status) ? g_strdup_printf ("exit code %d", WEXITSTATUS (status))
                                            : g_strdup_printf ("signal %d", WTERMSIG (status));
  return gt_raw_write (watch->raw,
                       json_pack ("{ss ss sI ss}", "k", "exit", "s", watch->subject, "t",
                                  (json_int_t) gt_instant_now ().ns, "how", how),
                       error);
}

/* --- the loop -------------------------------------------------------------------------------- */

static gboolean
is_met (const GtWatch *watch, GtWaitFor what)
{
  const GtWatchState *s = &watch->state;
  switch (what) {
  case GT_WAIT_STARTED:
    return s->task_started || s->worker_ended;
  case GT_WAIT_DONE:
    return (s->task_ended && s->result_came) || s->worker_ended;
  case GT_WAIT_IDLE:
    return gt_observer_working (watch->observer) == 0;
  }
  return TRUE;
}

static gboolean
turn (GtWatch *watch, GtInstant until, GError **error)
{
  /* Replies may wait in the broker's memory already: before poll, as broker.h asks. */
  if (!on_broker (watch, error))
    return FALSE;
  struct pollfd fds[] = {
    { .fd = watch->signal_fd, .events = POLLIN },
    { .fd = watch->trace_fd, .events = POLLIN },
    { .fd = watch->timer_fd, .events = POLLIN },
    { .fd = watch->log_fd, .events = POLLIN },
    { .fd = watch->state.worker_ended ? -1 : gt_family_fd (watch->family), .events = POLLIN },
    { .fd = gt_broker_fd (watch->broker), .events = POLLIN },
  };
  if (poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (until)) < 0)
    return TRUE;
  if (fds[0].revents != 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
    return FALSE;
  }
  return (fds[1].revents == 0 || on_trace (watch, error))
         && (fds[2].revents == 0 || on_timer (watch, error))
         && (fds[3].revents == 0 || on_log (watch, error))
         && (fds[4].revents == 0 || on_family (watch, error));
}

GtWaitResult
gt_watch_wait (GtWatch *watch, GtWaitFor what, GtInstant until, GError **error)
{
  while (!is_met (watch, what)) {
    if (gt_instant_until (gt_instant_now (), until) == 0)
      return GT_WAIT_TIMED_OUT;
    if (!turn (watch, until, error))
      return GT_WAIT_FAILED;
    if (watch->tick != NULL)
      watch->tick (watch->tick_data);
  }
  return GT_WAIT_MET;
}

gboolean
gt_watch_begin (GtWatch *watch, const char *subject, const char *task_id, GtFamily *family,
                GtBroker *broker, int log_fd, FILE *log_file, guint sample_ms, GError **error)
{
  watch->subject = subject;
  watch->task_id = task_id;
  watch->family = family;
  watch->broker = broker;
  watch->log_fd = log_fd;
  watch->log_file = log_file;
  watch->state = (GtWatchState){ 0 };
  watch->draining = FALSE;
  g_string_truncate (watch->log_text, 0);
  if (fcntl (log_fd, F_SETFL, O_NONBLOCK) < 0
      || !gt_observer_begin (watch->observer, subject, gt_family_root_pid (family), error))
    return FALSE;
  set_period (watch, sample_ms);
  return TRUE;
}

gboolean
gt_watch_end (GtWatch *watch, GError **error)
{
  set_period (watch, 0);
  watch->draining = TRUE;
  gboolean ok = on_trace (watch, error) && (watch->log_fd < 0 || on_log (watch, error));
  if (ok && watch->log_text->len > 0)
    ok = record_line (watch, watch->log_text->str, (gssize) watch->log_text->len, error);
  watch->subject = NULL;
  watch->log_fd = -1;
  return ok;
}

const GtWatchState *
gt_watch_state (const GtWatch *watch)
{
  return &watch->state;
}
