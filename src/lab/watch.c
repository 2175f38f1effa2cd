#include "lab/watch.h"

#include "celery/result.h"
#include "lab/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Longest log line that is taken whole. */
enum { LINE_LIMIT = 1 << 16 };

struct GtWatch {
  GtRaw *raw;
  int signal_fd;
  void (*tick) (gpointer data);
  gpointer tick_data;
  GtWatched now; /* the subject at hand */
  GString *log_text;
  GtWatchState state;
};

GtWatch *
gt_watch_new (GtRaw *raw, int signal_fd)
{
  GtWatch *watch = g_new0 (GtWatch, 1);
  watch->raw = raw;
  watch->signal_fd = signal_fd;
  watch->log_text = g_string_new (NULL);
  return watch;
}

void
gt_watch_free (GtWatch *watch)
{
  if (watch == NULL)
    return;
  g_string_free (watch->log_text, TRUE);
  g_free (watch);
}

void
gt_watch_set_tick (GtWatch *watch, void (*tick) (gpointer data), gpointer data)
{
  watch->tick = tick;
  watch->tick_data = data;
}

/* --- what comes in --------------------------------------------------------------------------- */

static gboolean
record_line (GtWatch *watch, const char *line, gssize length, GError **error)
{
  g_autofree char *text = g_utf8_make_valid (line, length);
  if (watch->now.log_file != NULL)
    fprintf (watch->now.log_file, "%s\n", text);
  return gt_raw_write (watch->raw,
                       json_pack ("{ss ss sI ss}", "k", "log", "s", watch->now.subject, "t",
                                  (json_int_t) gt_instant_now ().ns, "line", text),
                       error);
}

static gboolean
on_log (GtWatch *watch, GError **error)
{
  char chunk[4096];
  ssize_t got;
  while ((got = read (watch->now.log_fd, chunk, sizeof chunk)) > 0) {
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
    watch->now.log_fd = -1;
  return TRUE;
}

static json_t *
result_record (const GtWatch *watch, const GtResult *result)
{
  json_t *record = json_pack ("{ss ss sI ss}", "k", "result", "s", watch->now.subject, "t",
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
  if (strcmp (result->task_id, watch->now.task_id) != 0)
    return TRUE;
  watch->state.result_came |= result->ready;
  return gt_raw_write (watch->raw, result_record (watch, result), error);
}

static gboolean
on_broker (GtWatch *watch, GError **error)
{
  for (;;) {
    g_autoptr (GtDelivery) delivery = NULL;
    if (!gt_broker_try_receive (watch->now.broker, &delivery, error))
      return FALSE;
    if (delivery == NULL)
      return TRUE;
    if (!on_reply (watch, delivery, error))
      return FALSE;
  }
}

static gboolean
on_end (GtWatch *watch, GError **error)
{
  g_autofree char *how = NULL;
  if (!watch->now.sight.ended (watch->now.sight.data, &how, error))
    return FALSE;
  if (how == NULL)
    return TRUE;
  watch->state.worker_ended = TRUE;
  return gt_raw_write (watch->raw,
                       json_pack ("{ss ss sI ss}", "k", "exit", "s", watch->now.subject, "t",
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
    return s->working == 0;
  }
  return TRUE;
}

static gboolean
turn (GtWatch *watch, GtInstant until, GError **error)
{
  /* Replies may wait in the broker's memory already: before poll, as broker.h asks. */
  if (!on_broker (watch, error))
    return FALSE;
  const GtSight *sight = &watch->now.sight;
  struct pollfd fds[] = {
    { .fd = watch->signal_fd, .events = POLLIN },
    { .fd = sight->fd, .events = POLLIN },
    { .fd = watch->now.log_fd, .events = POLLIN },
    { .fd = watch->state.worker_ended ? -1 : sight->end_fd, .events = POLLIN },
    { .fd = gt_broker_fd (watch->now.broker), .events = POLLIN },
  };
  if (poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (until)) < 0)
    return TRUE;
  if (fds[0].revents != 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
    return FALSE;
  }
  return (fds[1].revents == 0 || sight->look (sight->data, &watch->state, error))
         && (fds[2].revents == 0 || on_log (watch, error))
         && (fds[3].revents == 0 || on_end (watch, error));
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
gt_watch_begin (GtWatch *watch, const GtWatched *watched, GError **error)
{
  watch->now = *watched;
  watch->state = (GtWatchState){ 0 };
  g_string_truncate (watch->log_text, 0);
  if (fcntl (watched->log_fd, F_SETFL, O_NONBLOCK) == 0)
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "log: %s", g_strerror (errno));
  return FALSE;
}

gboolean
gt_watch_end (GtWatch *watch, GError **error)
{
  const GtSight *sight = &watch->now.sight;
  gboolean ok = sight->close (sight->data, &watch->state, error)
                && (watch->now.log_fd < 0 || on_log (watch, error));
  if (ok && watch->log_text->len > 0)
    ok = record_line (watch, watch->log_text->str, (gssize) watch->log_text->len, error);
  watch->now.log_fd = -1;
  return ok;
}

const GtWatchState *
gt_watch_state (const GtWatch *watch)
{
  return &watch->state;
}
