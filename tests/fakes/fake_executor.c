/* An executor that does what the job's body says, also what none may do. Single-threaded and
 * without src/executor/control.c, so that it can be late, deaf or half-way at any point.
 *
 *     fake_executor [--fd N] [--start STEPS]
 *
 * --start is run before hello; the step `nohello` there leaves hello and ready out. A job's body is
 * steps, separated by ';' or newlines. Interrupts are read during sleep, obey and late only. */
#include "executor/send.h"
#include "executor/wire.h"
#include "executor/wire_head.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_ARGS 4

typedef struct {
  int fd;
  GtWireDecoder *decoder;
  guint64 job;
  GtInstant started, interrupted_at;
  gboolean interrupted, deaf, late, no_hello, over;
  gint64 ack_delay_ns;
} Fake;

/* name, least arguments, text */
#define STEPS(X)                                                                                   \
  X (value, 0, "value [BYTES]: result and end")                                                    \
  X (result, 0, "result [BYTES]: without the end")                                                 \
  X (end, 0, "end: without an answer")                                                             \
  X (error, 1, "error CLASS: error and end")                                                       \
  X (refuse, 1, "refuse CLASS: refused and end")                                                   \
  X (sleep, 1, "sleep MS: acknowledges interrupts and does not care")                              \
  X (obey, 1, "obey MS: as sleep, but an interrupt ends the job with error interrupted")           \
  X (late, 1, "late MS: waits for an interrupt, then MS more; what follows is late")               \
  X (ackdelay, 1, "ackdelay MS: acknowledges so much later")                                       \
  X (deaf, 0, "deaf: reads no interrupts in this job")                                             \
  X (burn, 1, "burn MS: busy, reads nothing")                                                      \
  X (hang, 0, "hang: for ever, reads nothing")                                                     \
  X (exit, 1, "exit CODE")                                                                         \
  X (signal, 1, "signal N: dies of it")                                                            \
  X (stop, 0, "stop: SIGSTOP")                                                                     \
  X (freeze, 1, "freeze DIR: enters a freezer (cgroup v1) and shuts it: no signal reaches it")     \
  X (ignore, 1, "ignore N: ignores a signal")                                                      \
  X (chunks, 2, "chunks N BYTES")                                                                  \
  X (flood, 0, "flood: chunks of 64 KiB for ever")                                                 \
  X (garbage, 1, "garbage BYTES: of no protocol")                                                  \
  X (half, 0, "half: the first half of a result")                                                  \
  X (badhead, 0, "badhead: a result whose head is no JSON")                                        \
  X (wrongjob, 1, "wrongjob ID: result and end of another job")                                    \
  X (progress, 1, "progress PERCENT")                                                              \
  X (memfd, 1, "memfd BYTES: a memory file of zeros")                                              \
  X (child, 1, "child MS: leaves a child that sleeps so long")                                     \
  X (daemon, 1, "daemon MS: the same in a session of its own, given away")                         \
  X (deep, 1, "deep N: leaves N processes, each the child of the one before")                      \
  X (starve, 0, "starve: takes the keeper's descriptors, and wakes it by an orphan")               \
  X (badchunk, 0, "badchunk: a chunk whose head is no JSON")                                       \
  X (thread, 0, "thread: leaves a thread")                                                         \
  X (leakfd, 0, "leakfd: leaves a descriptor open")                                                \
  X (grow, 1, "grow BYTES: of touched memory")                                                     \
  X (close, 0, "close: the socket; goes on")                                                       \
  X (nohello, 0, "nohello: only in --start")                                                       \
  X (protocol, 1, "protocol N: only in --start: a hello that says so, then ready")

static void
send_bytes (Fake *fake, const guint8 *bytes, gsize n_bytes, int fd)
{
  struct iovec part = { (void *) bytes, n_bytes };
  if (!gt_send_all (fake->fd, &part, 1, fd, NULL))
    exit (EXIT_SUCCESS); /* the engine is gone */
}

/* Takes `head`. */
static void
send_frame (Fake *fake, GtWireType type, guint64 job, char *head, gsize body_bytes, int fd)
{
  g_autofree guint8 *body = g_malloc (body_bytes + 1);
  memset (body, 'x', body_bytes);
  GtFrame frame = { .type = type,
                    .job = job,
                    .head = head,
                    .head_bytes = head == NULL ? 0 : strlen (head),
                    .body = body,
                    .body_bytes = body_bytes,
                    .fd = fd };
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  if (!gt_wire_encode (&frame, bytes, &error))
    g_error ("%s", error->message);
  send_bytes (fake, bytes->data, bytes->len, fd);
  free (head);
}

static void
send_end (Fake *fake, guint64 job)
{
  GtEnd end = { .started_ns = fake->started.ns,
                .ended_ns = gt_instant_now ().ns,
                .interrupted = fake->interrupted,
                .interrupted_ns = fake->interrupted ? fake->interrupted_at.ns : 0,
                .late_value = fake->late,
                .committed = (char *) "no" };
  send_frame (fake, GT_WIRE_END, job, gt_end_text (&end), 0, -1);
  fake->over = job == fake->job;
}

static void
send_failure (Fake *fake, GtWireType type, const char *class_name)
{
  GtFailure failure = { .class_name = (char *) class_name, .message = (char *) "as the job asked" };
  send_frame (fake, type, fake->job, gt_failure_text (&failure), 0, -1);
  send_end (fake, fake->job);
}

static void
send_ack (Fake *fake, guint64 job)
{
  GtAck ack = { .state = (char *) (job == fake->job ? "calling" : "stale"),
                .seen_ns = gt_instant_now ().ns };
  if (fake->ack_delay_ns > 0)
    g_usleep ((gulong) (fake->ack_delay_ns / 1000));
  send_frame (fake, GT_WIRE_ACK, job, gt_ack_text (&ack), 0, -1);
}

static void
on_frame (Fake *fake, const GtFrame *frame)
{
  if (frame->type == GT_WIRE_INTERRUPT) {
    if (frame->job == fake->job) {
      fake->interrupted = TRUE;
      fake->interrupted_at = gt_instant_now ();
    }
    send_ack (fake, frame->job);
  } else {
    g_error ("%s came within a job", gt_wire_type_name (frame->type));
  }
}

/* Reads once; exits when the engine is gone. */
static void
receive (Fake *fake)
{
  gsize room = 0;
  guint8 *space = gt_wire_decoder_space (fake->decoder, &room);
  gssize got = recv (fake->fd, space, room, 0);
  if (got < 0 && errno == EINTR)
    return;
  if (got <= 0)
    exit (EXIT_SUCCESS);
  gt_wire_decoder_filled (fake->decoder, (gsize) got);
}

static gboolean
next_frame (Fake *fake, GtFrame *frame)
{
  g_autoptr (GError) error = NULL;
  GtWireStep step = gt_wire_decoder_next (fake->decoder, frame, &error);
  if (step == GT_WIRE_BROKEN)
    g_error ("%s", error->message);
  return step == GT_WIRE_HAVE_FRAME;
}

static void
take_frames (Fake *fake)
{
  GtFrame frame;
  while (!fake->deaf && next_frame (fake, &frame))
    on_frame (fake, &frame);
}

/* Waits, reading interrupts unless deaf; ends at `until`, or at an interrupt when told to. */
static void
pass_time (Fake *fake, GtInstant until, gboolean until_interrupt)
{
  take_frames (fake); /* an interrupt may have been read together with its job */
  while (gt_instant_until (gt_instant_now (), until) > 0
         && !(until_interrupt && fake->interrupted)) {
    struct pollfd ready = { .fd = fake->deaf ? -1 : fake->fd, .events = POLLIN };
    if (poll (&ready, 1, gt_instant_poll_ms (until)) == 1)
      receive (fake);
    take_frames (fake);
  }
}

static GtInstant
in_ms (const char *text)
{
  return gt_instant_add (gt_instant_now (), atoll (text) * GT_NSEC_PER_MSEC); /* NOLINT: trusted */
}

static gsize
size (char **args)
{
  return args[0] == NULL ? 2 : (gsize) g_ascii_strtoull (args[0], NULL, 10);
}

static int
number (const char *text)
{
  return (int) g_ascii_strtoll (text, NULL, 10);
}

static void
do_result (Fake *fake, char **args)
{
  GtResultHead head = { .format = (char *) "x" };
  send_frame (fake, GT_WIRE_RESULT, fake->job, gt_result_text (&head), size (args), -1);
}

static void
do_end (Fake *fake, char **args G_GNUC_UNUSED)
{
  send_end (fake, fake->job);
}

static void
do_value (Fake *fake, char **args)
{
  do_result (fake, args);
  do_end (fake, args);
}

static void
do_error (Fake *fake, char **args)
{
  send_failure (fake, GT_WIRE_ERROR, args[0]);
}

static void
do_refuse (Fake *fake, char **args)
{
  send_failure (fake, GT_WIRE_REFUSED, args[0]);
}

static void
do_sleep (Fake *fake, char **args)
{
  pass_time (fake, in_ms (args[0]), FALSE);
}

static void
do_obey (Fake *fake, char **args)
{
  pass_time (fake, in_ms (args[0]), TRUE);
  if (fake->interrupted)
    send_failure (fake, GT_WIRE_ERROR, "interrupted");
}

static void
do_late (Fake *fake, char **args)
{
  pass_time (fake, GT_NEVER, TRUE);
  fake->late = TRUE;
  pass_time (fake, in_ms (args[0]), FALSE);
}

static void
do_ackdelay (Fake *fake, char **args)
{
  fake->ack_delay_ns = number (args[0]) * GT_NSEC_PER_MSEC;
}

static void
do_deaf (Fake *fake, char **args G_GNUC_UNUSED)
{
  fake->deaf = TRUE;
}

static void
do_burn (Fake *fake G_GNUC_UNUSED, char **args)
{
  GtInstant until = in_ms (args[0]);
  while (gt_instant_until (gt_instant_now (), until) > 0)
    ;
}

static void
do_hang (Fake *fake G_GNUC_UNUSED, char **args G_GNUC_UNUSED)
{
  for (;;)
    (void) pause ();
}

static void
do_exit (Fake *fake G_GNUC_UNUSED, char **args)
{
  _exit (number (args[0]));
}

static void
do_signal (Fake *fake G_GNUC_UNUSED, char **args)
{
  (void) signal (number (args[0]), SIG_DFL);
  (void) raise (number (args[0]));
}

static void
do_stop (Fake *fake G_GNUC_UNUSED, char **args G_GNUC_UNUSED)
{
  (void) raise (SIGSTOP);
}

static void
write_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  FILE *file = fopen (path, "we");
  if (file == NULL || fputs (text, file) < 0 || fclose (file) != 0) {
    (void) fprintf (stderr, "fake_executor: %s: %s\n", path, g_strerror (errno));
    exit (EXIT_FAILURE);
  }
}

static void
do_freeze (Fake *fake G_GNUC_UNUSED, char **args)
{
  write_file (args[0], "cgroup.procs", "0"); /* the writer, in whatever PID namespace it is */
  write_file (args[0], "freezer.state", "FROZEN");
}

static void
do_ignore (Fake *fake G_GNUC_UNUSED, char **args)
{
  (void) signal (number (args[0]), SIG_IGN);
}

static void
send_chunk (Fake *fake, gsize bytes)
{
  GtChunk head = { .format = (char *) "x" };
  send_frame (fake, GT_WIRE_CHUNK, fake->job, gt_chunk_text (&head), bytes, -1);
}

static void
do_chunks (Fake *fake, char **args)
{
  for (int i = 0; i < number (args[0]); i++)
    send_chunk (fake, size (args + 1));
}

static void
do_flood (Fake *fake, char **args G_GNUC_UNUSED)
{
  for (;;)
    send_chunk (fake, 65536);
}

static void
do_garbage (Fake *fake, char **args)
{
  g_autofree guint8 *bytes = g_malloc (size (args) + 1);
  for (gsize i = 0; i < size (args); i++)
    bytes[i] = (guint8) (i * 7 + 1);
  send_bytes (fake, bytes, size (args), -1);
}

/* A good result, damaged or cut before it is sent. */
static GByteArray *
a_result (Fake *fake)
{
  GtFrame frame = { .type = GT_WIRE_RESULT,
                    .job = fake->job,
                    .head = "{\"format\":\"x\"}",
                    .head_bytes = sizeof "{\"format\":\"x\"}" - 1,
                    .fd = -1 };
  GByteArray *bytes = g_byte_array_new ();
  if (!gt_wire_encode (&frame, bytes, NULL))
    g_error ("a result cannot be encoded");
  return bytes;
}

static void
do_half (Fake *fake, char **args G_GNUC_UNUSED)
{
  g_autoptr (GByteArray) bytes = a_result (fake);
  send_bytes (fake, bytes->data, bytes->len / 2, -1);
}

static void
do_badhead (Fake *fake, char **args G_GNUC_UNUSED)
{
  g_autoptr (GByteArray) bytes = a_result (fake);
  bytes->data[GT_WIRE_HEADER_BYTES + 1] = '!';
  send_bytes (fake, bytes->data, bytes->len, -1);
  send_end (fake, fake->job);
}

static void
do_wrongjob (Fake *fake, char **args)
{
  GtResultHead head = { .format = (char *) "x" };
  guint64 job = g_ascii_strtoull (args[0], NULL, 10);
  send_frame (fake, GT_WIRE_RESULT, job, gt_result_text (&head), 2, -1);
  send_end (fake, job);
}

static void
do_progress (Fake *fake, char **args)
{
  GtProgress head = { .percent = g_ascii_strtod (args[0], NULL) };
  send_frame (fake, GT_WIRE_PROGRESS, fake->job, gt_progress_text (&head), 0, -1);
}

static void
do_memfd (Fake *fake, char **args)
{
  int fd = memfd_create ("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate (fd, (off_t) size (args)) != 0)
    g_error ("memfd: %s", g_strerror (errno));
  GtMemfd head = { .format = (char *) "x", .bytes = (gint64) size (args), .rows = -1 };
  send_frame (fake, GT_WIRE_MEMFD, fake->job, gt_memfd_text (&head), 0, fd);
  (void) close (fd);
}

static void
leave_child (const char *ms, gboolean daemon)
{
  pid_t pid = fork ();
  if (pid != 0)
    return;
  if (daemon && (setsid () < 0 || fork () != 0))
    _exit (EXIT_SUCCESS);
  g_usleep ((gulong) number (ms) * 1000);
  _exit (EXIT_SUCCESS);
}

static void
do_child (Fake *fake G_GNUC_UNUSED, char **args)
{
  leave_child (args[0], FALSE);
}

static void
do_daemon (Fake *fake G_GNUC_UNUSED, char **args)
{
  leave_child (args[0], TRUE);
}

/* Goes on when the last of them is there. */
static void
do_deep (Fake *fake G_GNUC_UNUSED, char **args)
{
  int ready[2], left = number (args[0]);
  char byte = 0;
  if (pipe2 (ready, O_CLOEXEC) != 0)
    g_error ("pipe: %s", g_strerror (errno));
  pid_t pid = fork ();
  while (pid == 0 && --left > 0)
    pid = fork ();
  if (left == 0 && write (ready[1], &byte, 1) != 1)
    _exit (EXIT_FAILURE);
  while (left != number (args[0])) /* all but the executor itself */
    (void) pause ();
  if (read (ready[0], &byte, 1) != 1)
    g_error ("no deep tree: %s", g_strerror (errno));
  (void) close (ready[0]);
  (void) close (ready[1]);
}

static void
do_starve (Fake *fake G_GNUC_UNUSED, char **args G_GNUC_UNUSED)
{
  const struct rlimit one = { 1, 1 };
  if (prlimit (getppid (), RLIMIT_NOFILE, &one, NULL) != 0)
    g_error ("prlimit: %s", g_strerror (errno));
  leave_child ("0", TRUE);
}

static void
do_badchunk (Fake *fake, char **args G_GNUC_UNUSED)
{
  GtFrame frame
      = { .type = GT_WIRE_CHUNK, .job = fake->job, .head = "{ no }", .head_bytes = 6, .fd = -1 };
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  if (!gt_wire_encode (&frame, bytes, NULL))
    g_error ("a chunk cannot be encoded");
  send_bytes (fake, bytes->data, bytes->len, -1);
}

static void *
sleep_for_ever (void *data G_GNUC_UNUSED)
{
  for (;;)
    (void) pause ();
  return NULL;
}

static void
do_thread (Fake *fake G_GNUC_UNUSED, char **args G_GNUC_UNUSED)
{
  pthread_t thread;
  if (pthread_create (&thread, NULL, sleep_for_ever, NULL) != 0)
    g_error ("no thread");
  (void) pthread_detach (thread);
}

static void
do_leakfd (Fake *fake G_GNUC_UNUSED, char **args G_GNUC_UNUSED)
{
  (void) dup (STDERR_FILENO);
}

static void
do_grow (Fake *fake G_GNUC_UNUSED, char **args)
{
  /* By the kernel: what a sanitizer sees written costs a multiple of it. */
  if (mmap (NULL, size (args), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
            -1, 0)
      == MAP_FAILED)
    g_error ("grow: %s", g_strerror (errno));
}

static void
do_close (Fake *fake, char **args G_GNUC_UNUSED)
{
  (void) close (fake->fd);
  fake->fd = -1;
  fake->deaf = TRUE;
}

static void
do_nohello (Fake *fake, char **args G_GNUC_UNUSED)
{
  fake->no_hello = TRUE;
}

static void
send_hello (Fake *fake, int protocol)
{
  GtHello hello = { .protocol = protocol,
                    .name = (char *) "fake",
                    .version = (char *) GT_VERSION,
                    .kinds = (char *) "steps",
                    .pid = getpid (),
                    .threads = 1,
                    .fds = 4 };
  send_frame (fake, GT_WIRE_HELLO, 0, gt_hello_text (&hello), 0, -1);
  send_frame (fake, GT_WIRE_READY, 0, NULL, 0, -1);
}

static void
do_protocol (Fake *fake, char **args)
{
  fake->no_hello = TRUE;
  send_hello (fake, number (args[0]));
}

static void
run_step (Fake *fake, char **words)
{
  static const struct {
    const char *name;
    guint least;
    void (*run) (Fake *fake, char **args);
  } steps[] = {
#define X(name, least, text) { #name, least, do_##name },
    STEPS (X)
#undef X
  };
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    if (g_str_equal (words[0], steps[i].name)) {
      if (g_strv_length (words + 1) < steps[i].least)
        g_error ("step %s needs %u arguments", words[0], steps[i].least);
      steps[i].run (fake, words + 1);
      return;
    }
  g_error ("no step is called %s", words[0]);
}

static void
run_script (Fake *fake, const char *script)
{
  g_auto (GStrv) steps = g_strsplit_set (script, ";\n", -1);
  for (guint i = 0; steps[i] != NULL && !(fake->over && fake->interrupted); i++) {
    g_auto (GStrv) words = g_strsplit (g_strstrip (steps[i]), " ", MAX_ARGS);
    if (words[0] != NULL && *words[0] != '\0')
      run_step (fake, words);
  }
}

static void
run_job (Fake *fake, const GtFrame *frame)
{
  g_autofree char *script = g_strndup ((const char *) frame->body, frame->body_bytes);
  fake->job = frame->job;
  fake->started = gt_instant_now ();
  fake->interrupted = fake->deaf = fake->late = fake->over = FALSE;
  fake->ack_delay_ns = 0;
  run_script (fake, script);
  fake->job = GT_WIRE_NO_JOB;
}

static void
serve (Fake *fake)
{
  for (;;) {
    GtFrame frame;
    while (!next_frame (fake, &frame))
      receive (fake);
    if (frame.type == GT_WIRE_JOB)
      run_job (fake, &frame);
    else if (frame.type == GT_WIRE_RESET)
      send_frame (fake, GT_WIRE_READY, 0, NULL, 0, -1);
    else if (frame.type == GT_WIRE_BYE)
      return;
    else
      on_frame (fake, &frame);
  }
}

int
main (int argc, char **argv)
{
  Fake fake = { .fd = 3, .decoder = gt_wire_decoder_new (GT_WIRE_FROM_ENGINE) };
  const char *start = "";
  for (int i = 1; i + 1 < argc; i += 2)
    if (g_str_equal (argv[i], "--fd"))
      fake.fd = number (argv[i + 1]);
    else if (g_str_equal (argv[i], "--start"))
      start = argv[i + 1];
    else
      g_error ("fake_executor [--fd N] [--start STEPS]");
  run_script (&fake, start);
  if (!fake.no_hello)
    send_hello (&fake, GT_WIRE_VERSION);
  serve (&fake);
  gt_wire_decoder_free (fake.decoder);
  return EXIT_SUCCESS;
}
