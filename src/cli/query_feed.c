#include "cli/query_feed.h"

#include "executor/wire_head.h"

#include <errno.h>
#include <unistd.h>

/* Beyond so much the executor is not read, and waits: a result may be larger than memory. */
#define MOST_QUEUED ((gsize) 8 << 20)
#define WRITE_BYTES ((gsize) 64 << 10)

struct _GtQueryFeed {
  GThread *thread;
  GtQueryFormat format;
  GtQueryOut *out;
  GtQueryProgress *progress;
  int event_fd;

  /* Under the lock. */
  GMutex lock;
  GtEngine *engine;
  GCond changed;
  GQueue parts;
  gsize queued;
  guint64 job, held; /* held: its reading waits for room; 0: none */
  gboolean ended, complete, over;
  int failed_errno;

  /* The thread's; the caller's when it is over. */
  GtQueryWriter *writer;
  GtQueryRows rows;
  GError *problem;
  gboolean wrote;
};

static gsize
size_of (const GtPart *part)
{
  return 64 + (part->body != NULL ? g_bytes_get_size (part->body) : 0);
}

gboolean
gt_query_feed_part (guint64 job, GtPart *part, gpointer feed)
{
  GtQueryFeed *self = feed;
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->parts, part);
  self->queued += size_of (part);
  gboolean room = self->queued < MOST_QUEUED;
  if (!room)
    self->held = job;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
  return room;
}

void
gt_query_feed_end (GtQueryFeed *self, gboolean complete)
{
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  self->complete = complete;
  self->held = 0;
  self->engine = NULL;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* NULL: there will be none any more. */
static GtPart *
take (GtQueryFeed *self)
{
  g_mutex_lock (&self->lock);
  while (self->parts.length == 0 && !self->ended)
    g_cond_wait (&self->changed, &self->lock);
  GtPart *part = g_queue_pop_head (&self->parts);
  if (part != NULL)
    self->queued -= size_of (part);
  /* Under the lock: after gt_query_feed_end() the engine may be freed. */
  if (self->held != 0 && self->queued < MOST_QUEUED / 2) {
    gt_engine_resume (self->engine, self->held);
    self->held = 0;
  }
  g_mutex_unlock (&self->lock);
  return part;
}

static void
tell (GtQueryFeed *self)
{
  const guint64 one = 1;
  (void) !write (self->event_fd, &one, sizeof one);
}

/* The first failure counts; the rest of the rows is read and dropped. */
static void
fail (GtQueryFeed *self, int errno_value)
{
  g_mutex_lock (&self->lock);
  if (self->failed_errno == 0)
    self->failed_errno = errno_value;
  g_mutex_unlock (&self->lock);
  tell (self);
}

static gboolean
is_broken (GtQueryFeed *self)
{
  return self->problem != NULL || gt_query_feed_errno (self) != 0;
}

static void
before_writing (GtQueryFeed *self)
{
  if (!self->wrote && isatty (self->out->fd))
    gt_query_progress_hide (self->progress, TRUE);
  self->wrote = TRUE;
}

static void
write_out (GtQueryFeed *self, gsize when)
{
  GString *text = gt_query_writer_text (self->writer);
  if (text->len < when || text->len == 0)
    return;
  before_writing (self);
  if (!gt_query_out_write (self->out, text->str, text->len))
    fail (self, errno);
  g_string_truncate (text, 0);
}

static void
use_chunk (GtQueryFeed *self, const GtPart *part, const GtFrame *frame)
{
  g_auto (GtChunk) chunk = { 0 };
  gsize bytes = 0;
  const char *body = part->body != NULL ? g_bytes_get_data (part->body, &bytes) : "";
  if (gt_chunk_parse (frame, &chunk, &self->problem)
      && gt_query_rows_chunk (&self->rows, chunk.format, body, bytes, &self->problem))
    write_out (self, WRITE_BYTES);
  if (self->problem != NULL)
    fail (self, EPROTO);
}

static void
use_memory_file (GtQueryFeed *self, const GtPart *part, const GtFrame *frame)
{
  g_auto (GtMemfd) head = { 0 };
  if (!gt_memfd_parse (frame, &head, &self->problem)) {
    fail (self, EPROTO);
    return;
  }
  before_writing (self);
  self->rows.all_rows += (guint64) MAX (head.rows, 0);
  if (!gt_query_out_copy (self->out, part->fd, (gsize) head.bytes))
    fail (self, errno);
}

static void
use_part (GtQueryFeed *self, GtPart *part)
{
  GtFrame frame = { .type = (GtWireType) part->type, .job = 1, .fd = part->fd };
  if (part->head != NULL)
    frame.head = g_bytes_get_data (part->head, &frame.head_bytes);
  if (part->type == GT_WIRE_CHUNK && !is_broken (self))
    use_chunk (self, part, &frame);
  else if (part->type == GT_WIRE_MEMFD && !is_broken (self))
    use_memory_file (self, part, &frame);
  gt_part_free (part);
}

static void
finish (GtQueryFeed *self)
{
  if (!is_broken (self) && self->complete)
    gt_query_rows_finish (&self->rows);
  if (!is_broken (self)) {
    gt_query_writer_release (self->writer);
    write_out (self, 0);
  }
  g_mutex_lock (&self->lock);
  self->over = TRUE;
  g_mutex_unlock (&self->lock);
  tell (self);
}

/* While nothing comes, what has been made is shown: a slow query's rows are not held back. */
static gboolean
is_idle (GtQueryFeed *self)
{
  g_mutex_lock (&self->lock);
  gboolean idle = self->parts.length == 0;
  g_mutex_unlock (&self->lock);
  return idle;
}

static gpointer
feed_main (gpointer data)
{
  GtQueryFeed *self = data;
  for (GtPart *part = take (self); part != NULL; part = take (self)) {
    use_part (self, part);
    if (!is_broken (self) && is_idle (self))
      write_out (self, 0);
  }
  finish (self);
  return NULL;
}

GtQueryFeed *
gt_query_feed_new (GtQueryFormat format, GtQueryLook look, GtQueryOut *out,
                   GtQueryProgress *progress, int event_fd)
{
  GtQueryFeed *self = g_new0 (GtQueryFeed, 1);
  self->format = format;
  self->out = out;
  self->progress = progress;
  self->event_fd = event_fd;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_queue_init (&self->parts);
  self->writer = gt_query_writer_new (format, look);
  gt_query_rows_init (&self->rows, &gt_query_writer_sink, self->writer);
  self->thread = g_thread_new ("gt-rows", feed_main, self);
  return self;
}

void
gt_query_feed_set_engine (GtQueryFeed *self, GtEngine *engine)
{
  self->engine = engine;
}

gboolean
gt_query_feed_is_over (GtQueryFeed *self)
{
  g_mutex_lock (&self->lock);
  gboolean over = self->over;
  g_mutex_unlock (&self->lock);
  return over;
}

int
gt_query_feed_errno (GtQueryFeed *self)
{
  g_mutex_lock (&self->lock);
  int failed = self->failed_errno;
  g_mutex_unlock (&self->lock);
  return failed;
}

const char *
gt_query_feed_problem (GtQueryFeed *self)
{
  return self->problem != NULL ? self->problem->message : NULL;
}

guint64
gt_query_feed_rows (GtQueryFeed *self)
{
  return self->rows.all_rows;
}

void
gt_query_feed_free (GtQueryFeed *self)
{
  if (self == NULL || !gt_query_feed_is_over (self))
    return;
  g_thread_join (self->thread);
  gt_query_rows_clear (&self->rows);
  gt_query_writer_free (self->writer);
  g_clear_error (&self->problem);
  g_queue_clear_full (&self->parts, (GDestroyNotify) gt_part_free);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}
