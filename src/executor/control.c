#include "executor/control.h"

#include "executor/busy_poll.h"
#include "executor/send.h"
#include "os/clock.h"
#include "os/error.h"
#include "os/machine_cgroup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How old a job is when the control thread takes over the reading. Below it an interrupt is late by
 * at most twice this; above it the hand-over costs less than a hundredth of the job. */
#define TAKE_OVER_MS 1

/* The control thread looks at the job's age that often, and goes on for so many looks after the
 * last job. To set a timer for each job would cost more than a small query does: on a virtual
 * machine it leaves the guest (30 us, measured). */
#define LOOKS 20

/* Frames up to here wait for the next one. */
#define QUEUE_BYTES 16384

typedef enum { READER_MAIN, READER_CONTROL } Reader;

struct _GtControl {
  int socket, wake;
  gboolean able;
  GtLostFunc lost_func;
  gpointer lost_data;
  pthread_t thread;
  gboolean has_thread;

  /* Touched by the main thread while reader is MAIN and no job runs, by the control thread while
   * reader is CONTROL. The lock passes it from one to the other. */
  GtWireDecoder *decoder;

  gint lost; /* atomic */

  gboolean
      may_look; /* the main thread's, as busy_poll: not worth it where both sides share a CPU */
  GtBusyPoll busy_poll;

  pthread_mutex_t writing; /* one frame at a time; never taken with `lock` held */
  GByteArray *queued;

  pthread_mutex_t lock; /* all below */
  pthread_cond_t returned;
  Reader reader;
  gboolean give_back, quit;
  int looks; /* 0: the control thread sleeps until it is woken */
  guint64 job;
  gboolean interrupted, in_commit, committing, committed_late;
  GtInstant started, interrupted_at;
  gint64 calls;
  GtCommit committed;
  GtInterruptFunc func;
  gpointer func_data;
  GtProgressFunc progress;
  gpointer progress_data;
  GtInstant progress_at;
};

void
gt_request_clear (GtRequest *self)
{
  g_clear_pointer (&self->head, g_bytes_unref);
  g_clear_pointer (&self->body, g_bytes_unref);
}

static gboolean
is_lost (GtControl *self)
{
  return g_atomic_int_get (&self->lost);
}

static void
lose (GtControl *self, const GError *error)
{
  g_atomic_int_set (&self->lost, TRUE);
  if (self->lost_func != NULL) {
    self->lost_func (error, self->lost_data);
    return;
  }
  /* _exit: the main thread may be anywhere in native code, and nothing here is worth a wait. */
  if (error != NULL)
    (void) fprintf (stderr, "%s: %s\n", g_get_prgname (), error->message);
  _exit (error == NULL ? EXIT_SUCCESS : EXIT_FAILURE);
}

gboolean
gt_control_send (GtControl *self, const GtFrame *frame, GError **error)
{
  guint8 header[GT_WIRE_HEADER_BYTES];
  if (!gt_wire_encode_header (frame, header, error))
    return FALSE;
  pthread_mutex_lock (&self->writing);
  struct iovec parts[] = {
    { self->queued->data, self->queued->len },
    { header, sizeof header },
    { (void *) frame->head, frame->head_bytes },
    { (void *) frame->body, frame->body_bytes },
  };
  /* The descriptor's frame begins a write of its own: it goes with the first byte. */
  gboolean sent = TRUE;
  if (frame->fd >= 0 && parts[0].iov_len > 0)
    sent = gt_send_all (self->socket, parts, 1, -1, error);
  sent = sent && gt_send_all (self->socket, parts, G_N_ELEMENTS (parts), frame->fd, error);
  g_byte_array_set_size (self->queued, 0);
  pthread_mutex_unlock (&self->writing);
  return sent;
}

gboolean
gt_control_queue (GtControl *self, const GtFrame *frame, GError **error)
{
  if (frame->head_bytes + frame->body_bytes > QUEUE_BYTES)
    return gt_control_send (self, frame, error);
  pthread_mutex_lock (&self->writing);
  gboolean good = gt_wire_encode (frame, self->queued, error);
  gboolean full = self->queued->len > QUEUE_BYTES;
  struct iovec part = { self->queued->data, self->queued->len };
  if (good && full) {
    good = gt_send_all (self->socket, &part, 1, -1, error);
    g_byte_array_set_size (self->queued, 0);
  }
  pthread_mutex_unlock (&self->writing);
  return good;
}

/* 1: something came, 0: nothing now, -1: the end (lose was called). */
static int
receive (GtControl *self, int flags)
{
  gsize room = 0;
  guint8 *space = gt_wire_decoder_space (self->decoder, &room);
  gssize got = 0;
  do
    got = recv (self->socket, space, room, flags);
  while (got < 0 && errno == EINTR);
  if (got > 0) {
    gt_wire_decoder_filled (self->decoder, (gsize) got);
    return 1;
  }
  if (got < 0 && errno == EAGAIN)
    return 0;
  g_autoptr (GError) error = NULL;
  if (got == 0)
    (void) gt_wire_decoder_finish (self->decoder, &error);
  else if (errno != ECONNRESET)
    (void) gt_os_fail (&error, errno, "reading from the engine");
  lose (self, error);
  return -1;
}

static const char *
ack_name (GtControl *self, const GtFrame *frame)
{
  if (frame->job != self->job)
    return "stale";
  if (!self->able)
    return "unable";
  return self->committing ? "committing" : "calling";
}

/* The lock is held: nobody disarms meanwhile. */
static void
call (GtControl *self)
{
  if (!self->interrupted || self->func == NULL || self->committing)
    return;
  self->calls++;
  self->func (self->func_data);
}

/* Takes `head`. A lost socket is noticed by who reads. */
static void
send_head (GtControl *self, GtWireType type, guint64 job, char *head)
{
  GtFrame frame = { .type = type, .job = job, .head = head, .head_bytes = strlen (head), .fd = -1 };
  (void) gt_control_send (self, &frame, NULL);
  free (head);
}

/* An interrupt: takes effect only on the job it names, before anything is said about it. */
static void
interrupt (GtControl *self, const GtFrame *frame)
{
  GtInstant now = gt_instant_now ();
  pthread_mutex_lock (&self->lock);
  const char *state = ack_name (self, frame);
  if (frame->job == self->job) {
    if (!self->interrupted)
      self->interrupted_at = now;
    self->interrupted = TRUE;
    self->in_commit = self->in_commit || self->committing;
    call (self);
  }
  pthread_mutex_unlock (&self->lock);
  GtAck ack = { .state = (char *) state, .seen_ns = now.ns };
  send_head (self, GT_WIRE_ACK, frame->job, gt_ack_text (&ack));
}

/* The next frame that is no interrupt. FALSE: none is here yet, or the socket is lost. */
static gboolean
next_request (GtControl *self, GtFrame *frame)
{
  g_autoptr (GError) error = NULL;
  for (;;) {
    switch (gt_wire_decoder_next (self->decoder, frame, &error)) {
    case GT_WIRE_NEED_MORE:
      return FALSE;
    case GT_WIRE_BROKEN:
      lose (self, error);
      return FALSE;
    case GT_WIRE_HAVE_FRAME:
      if (frame->type != GT_WIRE_INTERRUPT)
        return TRUE;
      interrupt (self, frame);
      break;
    }
  }
}

static void
kick (GtControl *self)
{
  guint64 one = 1;
  gssize written = write (self->wake, &one, sizeof one);
  g_assert (written == sizeof one);
}

static void
begin (GtControl *self, guint64 job)
{
  pthread_mutex_lock (&self->lock);
  self->job = job;
  self->interrupted = self->in_commit = self->committing = self->committed_late = FALSE;
  self->calls = 0;
  self->committed = GT_COMMIT_NO;
  self->started = gt_instant_now ();
  gboolean asleep = self->looks == 0;
  self->looks = LOOKS;
  pthread_mutex_unlock (&self->lock);
  if (asleep)
    kick (self);
}

static GBytes *
bytes_or_null (const void *data, gsize bytes)
{
  return bytes == 0 ? NULL : g_bytes_new (data, bytes);
}

/* What receive says. A look that found nothing goes on to sleep. */
static int
receive_soon (GtControl *self)
{
  int got = 0;
  if (!self->may_look || !gt_busy_poll_due (&self->busy_poll))
    return receive (self, 0);
  GtInstant until = gt_instant_add (gt_instant_now (), GT_BUSY_POLL_NS);
  do
    got = receive (self, MSG_DONTWAIT);
  while (got == 0 && gt_instant_until (gt_instant_now (), until) > 0);
  gt_busy_poll_told (&self->busy_poll, got > 0);
  return got == 0 ? receive (self, 0) : got;
}

gboolean
gt_control_wait (GtControl *self, GtRequest *out)
{
  GtFrame frame;
  *out = (GtRequest){ 0 };
  while (!is_lost (self)) {
    if (next_request (self, &frame)) {
      out->type = frame.type;
      out->job = frame.job;
      out->head = bytes_or_null (frame.head, frame.head_bytes);
      out->body = bytes_or_null (frame.body, frame.body_bytes);
      if (frame.type == GT_WIRE_JOB)
        begin (self, frame.job);
      return TRUE;
    }
    if (!is_lost (self) && receive_soon (self) < 0)
      break;
  }
  return FALSE;
}

/* The control thread reads: only interrupts are due while a job runs. */
static void
read_while_running (GtControl *self)
{
  GtFrame frame;
  do
    if (next_request (self, &frame)) {
      g_autoptr (GError) error
          = g_error_new (GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_JOB, "%s: a job is still running",
                         gt_wire_type_name (frame.type));
      lose (self, error);
      return;
    }
  while (!is_lost (self) && receive (self, MSG_DONTWAIT) > 0);
}

static void
drain (int fd)
{
  guint64 count = 0;
  gssize got = 0;
  do
    got = read (fd, &count, sizeof count);
  while (got < 0 && errno == EINTR);
}

/* The lock is held. How long until the next look; -1: as long as nobody wakes the thread. */
static int
next_look (GtControl *self)
{
  if (self->reader == READER_CONTROL || self->looks == 0)
    return -1;
  if (self->job == GT_WIRE_NO_JOB)
    self->looks--;
  return TAKE_OVER_MS;
}

/* The lower of two times to poll; -1 is for ever. */
static int
sooner (int a, int b)
{
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Who reads from now on, and how long to sleep. FALSE: quit. */
static gboolean
take_turns (GtControl *self, gboolean *reading, int *sleep_ms)
{
  pthread_mutex_lock (&self->lock);
  GtInstant due = gt_instant_add (self->started, TAKE_OVER_MS * GT_NSEC_PER_MSEC);
  if (self->give_back) { /* and it stays so until the main thread has seen it */
    self->reader = READER_MAIN;
    pthread_cond_signal (&self->returned);
  } else if (self->job != GT_WIRE_NO_JOB && due.ns <= gt_instant_now ().ns)
    self->reader = READER_CONTROL;
  gboolean mine = self->reader == READER_CONTROL && self->func != NULL;
  *reading = self->reader == READER_CONTROL && !is_lost (self);
  *sleep_ms = next_look (self);
  if (self->interrupted && self->func != NULL && !self->committing)
    *sleep_ms = sooner (*sleep_ms, GT_CONTROL_REPEAT_MS);
  else if (mine && self->progress != NULL)
    *sleep_ms = sooner (*sleep_ms, gt_instant_poll_ms (self->progress_at));
  gboolean stay = !self->quit;
  pthread_mutex_unlock (&self->lock);
  return stay;
}

/* The function runs under the lock, so that what it uses cannot go; the frame is sent without. */
static void
report (GtControl *self)
{
  GtProgress progress = { 0 };
  gboolean tell = FALSE;
  pthread_mutex_lock (&self->lock);
  GtInstant now = gt_instant_now ();
  guint64 job = self->job;
  if (self->progress != NULL && self->func != NULL && self->reader == READER_CONTROL
      && gt_instant_until (now, self->progress_at) == 0) {
    self->progress_at = gt_instant_add (now, GT_CONTROL_PROGRESS_MS * GT_NSEC_PER_MSEC);
    tell = self->progress (self->progress_data, &progress);
  }
  pthread_mutex_unlock (&self->lock);
  if (tell)
    send_head (self, GT_WIRE_PROGRESS, job, gt_progress_text (&progress));
}

/* Time passed: the interrupt again, the progress when it is due. */
static void
repeat (GtControl *self)
{
  pthread_mutex_lock (&self->lock);
  call (self);
  pthread_mutex_unlock (&self->lock);
}

static void *
control_thread (void *data)
{
  GtControl *self = data;
  gboolean reading = FALSE, was_reading = FALSE;
  int sleep_ms = -1;
  while (take_turns (self, &reading, &sleep_ms)) {
    if (reading && !was_reading) { /* what the main thread read with the job may be an interrupt */
      was_reading = TRUE;
      read_while_running (self);
      continue;
    }
    was_reading = reading;
    struct pollfd fds[] = {
      { .fd = self->wake, .events = POLLIN },
      { .fd = reading ? self->socket : -1, .events = POLLIN },
    };
    int ready = poll (fds, G_N_ELEMENTS (fds), sleep_ms);
    if (ready > 0 && fds[0].revents != 0)
      drain (self->wake);
    if (ready > 0 && fds[1].revents != 0)
      read_while_running (self);
    if (ready == 0)
      repeat (self);
    report (self);
  }
  return NULL;
}

/* All signals blocked: they are the main thread's. */
static int
start_thread (GtControl *self)
{
  sigset_t all, before;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  int failed = pthread_create (&self->thread, NULL, control_thread, self);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return failed;
}

GtControl *
gt_control_new (int fd, gboolean able, GtLostFunc lost, gpointer data, GError **error)
{
  GtControl *self = g_new0 (GtControl, 1);
  pthread_mutex_init (&self->writing, NULL);
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->returned, NULL);
  self->socket = fd;
  self->able = able;
  self->lost_func = lost;
  self->lost_data = data;
  g_autoptr (GPtrArray) hierarchies = gt_hierarchies_read ();
  self->may_look = gt_hierarchies_cpus (hierarchies, NULL) > 1;
  self->decoder = gt_wire_decoder_new (GT_WIRE_FROM_ENGINE);
  self->queued = g_byte_array_new ();
  self->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  int failed = self->wake < 0 ? errno : start_thread (self);
  self->has_thread = failed == 0;
  if (failed == 0)
    return self;
  gt_os_fail (error, failed, "starting the control thread");
  gt_control_free (self);
  return NULL;
}

void
gt_control_free (GtControl *self)
{
  if (self == NULL)
    return;
  if (self->has_thread) {
    pthread_mutex_lock (&self->lock);
    self->quit = TRUE;
    pthread_mutex_unlock (&self->lock);
    kick (self);
    pthread_join (self->thread, NULL);
  }
  gt_wire_decoder_free (self->decoder);
  g_byte_array_unref (self->queued);
  (void) close (self->socket);
  if (self->wake >= 0)
    (void) close (self->wake);
  pthread_cond_destroy (&self->returned);
  pthread_mutex_destroy (&self->lock);
  pthread_mutex_destroy (&self->writing);
  g_free (self);
}

void
gt_control_arm (GtControl *self, GtInterruptFunc func, gpointer data)
{
  pthread_mutex_lock (&self->lock);
  self->func = func;
  self->func_data = data;
  gboolean pending = self->interrupted;
  call (self);
  pthread_mutex_unlock (&self->lock);
  if (pending)
    kick (self); /* the thread sleeps without a limit: it shall repeat */
}

void
gt_control_disarm (GtControl *self)
{
  pthread_mutex_lock (&self->lock);
  self->func = NULL;
  pthread_mutex_unlock (&self->lock);
}

void
gt_control_report (GtControl *self, GtProgressFunc func, gpointer data)
{
  pthread_mutex_lock (&self->lock);
  self->progress = func;
  self->progress_data = data;
  self->progress_at = gt_instant_add (gt_instant_now (), GT_CONTROL_PROGRESS_MS * GT_NSEC_PER_MSEC);
  gboolean asleep = self->reader == READER_CONTROL;
  pthread_mutex_unlock (&self->lock);
  if (asleep)
    kick (self); /* without a limit: it did not know of this */
}

gboolean
gt_control_interrupted (GtControl *self)
{
  pthread_mutex_lock (&self->lock);
  gboolean interrupted = self->interrupted;
  pthread_mutex_unlock (&self->lock);
  return interrupted;
}

gboolean
gt_control_commit_begin (GtControl *self)
{
  pthread_mutex_lock (&self->lock);
  gboolean may = !self->interrupted;
  self->committing = may;
  pthread_mutex_unlock (&self->lock);
  return may;
}

void
gt_control_commit_end (GtControl *self, GtCommit outcome)
{
  pthread_mutex_lock (&self->lock);
  self->committing = FALSE;
  if (outcome == GT_COMMIT_YES || (outcome == GT_COMMIT_MAYBE && self->committed == GT_COMMIT_NO))
    self->committed = outcome;
  if (self->interrupted && outcome != GT_COMMIT_NO)
    self->committed_late = TRUE;
  gboolean pending = self->interrupted && self->func != NULL;
  pthread_mutex_unlock (&self->lock);
  if (pending)
    kick (self);
}

/* The lock is held. When the control thread reads, it stops doing so before this returns: from here
 * on the decoder is the main thread's again. */
static void
take_back (GtControl *self)
{
  if (self->reader == READER_MAIN)
    return;
  self->give_back = TRUE;
  kick (self);
  while (self->reader != READER_MAIN)
    pthread_cond_wait (&self->returned, &self->lock);
  self->give_back = FALSE;
}

void
gt_control_finish (GtControl *self, GtEnd *facts)
{
  static const char *const names[] = {
#define X(name, text) [GT_COMMIT_##name] = (text),
    GT_COMMITS (X)
#undef X
  };
  pthread_mutex_lock (&self->lock);
  take_back (self);
  self->func = NULL;
  self->progress = NULL;
  self->job = GT_WIRE_NO_JOB;
  facts->started_ns = self->started.ns;
  facts->ended_ns = gt_instant_now ().ns;
  facts->interrupted = self->interrupted;
  facts->interrupted_ns = self->interrupted ? self->interrupted_at.ns : 0;
  facts->interrupt_calls = self->calls;
  facts->in_commit = self->in_commit;
  facts->committed = (char *) names[self->committed];
  facts->committed_late = self->committed_late;
  self->interrupted = FALSE;
  pthread_mutex_unlock (&self->lock);
}
