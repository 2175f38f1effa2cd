#include "lab/compose_stream.h"

#include "lab/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* No record comes near it: a container has at most some hundred processes. */
#define LINE_LIMIT (4u << 20)

struct GtStream {
  int fd, epoll_fd; /* fd -1 = ended; the epoll set then stays quiet */
  GtRaw *raw;
  const char *subject, *task_id;
  GString *text;
  gboolean ready, no_samples;
};

GtStream *
gt_stream_new (int fd, GtRaw *raw, const char *subject, const char *task_id)
{
  GtStream *s = g_new0 (GtStream, 1);
  struct epoll_event event = { .events = EPOLLIN };
  s->fd = fd;
  s->raw = raw;
  s->subject = subject;
  s->task_id = task_id;
  s->text = g_string_new (NULL);
  s->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (s->epoll_fd < 0 || epoll_ctl (s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
      || fcntl (fd, F_SETFL, O_NONBLOCK) < 0)
    g_error ("epoll: %s", g_strerror (errno));
  return s;
}

static void
end (GtStream *s)
{
  if (s->fd >= 0)
    close (s->fd);
  s->fd = -1;
}

void
gt_stream_free (GtStream *s)
{
  if (s == NULL)
    return;
  end (s);
  close (s->epoll_fd);
  g_string_free (s->text, TRUE);
  g_free (s);
}

int
gt_stream_fd (const GtStream *s)
{
  return s->epoll_fd;
}

gboolean
gt_stream_ready (const GtStream *s)
{
  return s->ready;
}

gboolean
gt_stream_ended (const GtStream *s)
{
  return s->fd < 0;
}

void
gt_stream_stop_sampling (GtStream *s)
{
  s->no_samples = TRUE;
}

/* --- records --------------------------------------------------------------------------------- */

/* FALSE: it is not to be recorded. */
static gboolean
on_hello (GtStream *s, GtWatchState *state, const json_t *record)
{
  (void) state, (void) record;
  s->ready = TRUE;
  return FALSE;
}

static gboolean
on_proc (GtStream *s, GtWatchState *state, const json_t *record)
{
  (void) s, (void) state, (void) record;
  return TRUE;
}

static gboolean
on_sample (GtStream *s, GtWatchState *state, const json_t *record)
{
  if (s->no_samples)
    return FALSE;
  state->working = (guint) json_integer_value (json_object_get (record, "w"));
  return TRUE;
}

static gboolean
on_trace (GtStream *s, GtWatchState *state, const json_t *record)
{
  (void) gt_sight_note (state, json_object_get (record, "e"), s->task_id);
  return TRUE;
}

static const struct {
  const char *kind;
  gboolean (*func) (GtStream *, GtWatchState *, const json_t *);
} kinds[] = {
  { "observer", on_hello },
  { "proc", on_proc },
  { "sample", on_sample },
  { "trace", on_trace },
};

static gboolean
take_line (GtStream *s, GtWatchState *state, const char *line, gsize length, GError **error)
{
  json_t *record = json_loadb (line, length, 0, NULL);
  const char *kind = json_string_value (json_object_get (record, "k"));
  for (gsize i = 0; kind != NULL && i < G_N_ELEMENTS (kinds); i++) {
    if (strcmp (kind, kinds[i].kind) != 0)
      continue;
    if (!kinds[i].func (s, state, record)) {
      json_decref (record);
      return TRUE;
    }
    json_object_set_new (record, "s", json_string (s->subject));
    return gt_raw_write (s->raw, record, error);
  }
  json_decref (record);
  g_autofree char *start = g_utf8_make_valid (line, (gssize) MIN (length, 200));
  g_set_error (
      error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
      "the observer says what is no record of one ('docker compose build' makes it the same "
      "version as this program): %s",
      start);
  return FALSE;
}

/* The whole lines of what has come. */
static gboolean
take_lines (GtStream *s, GtWatchState *state, GError **error)
{
  const char *text = s->text->str;
  gsize done = 0;
  for (const char *stop; (stop = memchr (text + done, '\n', s->text->len - done)) != NULL;
       done = (gsize) (stop + 1 - text))
    if (!take_line (s, state, text + done, (gsize) (stop - (text + done)), error))
      return FALSE;
  g_string_erase (s->text, 0, (gssize) done);
  if (s->text->len <= LINE_LIMIT)
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "a record of the observer is too long");
  return FALSE;
}

gboolean
gt_stream_look (GtStream *s, GtWatchState *state, GError **error)
{
  char chunk[16384];
  ssize_t got = -1;
  while (s->fd >= 0 && (got = read (s->fd, chunk, sizeof chunk)) > 0) {
    g_string_append_len (s->text, chunk, got);
    if (!take_lines (s, state, error))
      return FALSE;
  }
  /* A last line without its end is one that its writer died over. */
  if (got == 0)
    end (s);
  return TRUE;
}
