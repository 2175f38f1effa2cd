#include "executor/control.h"
#include "os/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The test is the executor's main thread; it also writes what the engine would write. */
typedef struct {
  GtControl *control;
  GtWireDecoder *decoder;
  int engine;
  gint calls, in_call, lost;
  char *lost_message;
} Pair;

static void
on_lost (const GError *error, gpointer data)
{
  Pair *pair = data;
  pair->lost_message = error == NULL ? NULL : g_strdup (error->message);
  g_atomic_int_inc (&pair->lost);
}

static void
set_up (Pair *pair, gconstpointer data)
{
  int fds[2];
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  pair->engine = fds[0];
  pair->decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  pair->control = gt_control_new (fds[1], data == NULL, on_lost, pair, &error);
  g_assert_no_error (error);
}

static void
tear_down (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  gt_control_free (pair->control);
  gt_wire_decoder_free (pair->decoder);
  if (pair->engine >= 0)
    (void) close (pair->engine);
  g_free (pair->lost_message);
}

static void
say (Pair *pair, GtWireType type, guint64 job)
{
  GtFrame frame = { .type = type, .job = job, .fd = -1 };
  if (type == GT_WIRE_JOB) {
    frame.head = "{\"kind\":\"x\"}";
    frame.head_bytes = strlen (frame.head);
  }
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_assert_true (gt_wire_encode (&frame, bytes, NULL));
  g_assert_cmpint (write (pair->engine, bytes->data, bytes->len), ==, bytes->len);
}

static void
run_job (Pair *pair, guint64 job)
{
  g_auto (GtRequest) request = { 0 };
  say (pair, GT_WIRE_JOB, job);
  g_assert_true (gt_control_wait (pair->control, &request));
  g_assert_cmpint (request.type, ==, GT_WIRE_JOB);
  g_assert_cmpuint (request.job, ==, job);
}

/* The next ack: it must come. */
static void
hear_ack (Pair *pair, guint64 job, const char *state)
{
  GtFrame frame;
  while (gt_wire_decoder_next (pair->decoder, &frame, NULL) == GT_WIRE_NEED_MORE) {
    gsize room = 0;
    guint8 *space = gt_wire_decoder_space (pair->decoder, &room);
    gssize got = read (pair->engine, space, room);
    g_assert_cmpint (got, >, 0);
    gt_wire_decoder_filled (pair->decoder, (gsize) got);
  }
  g_assert_cmpint (frame.type, ==, GT_WIRE_ACK);
  g_assert_cmpuint (frame.job, ==, job);
  g_auto (GtAck) ack = { 0 };
  g_assert_true (gt_ack_parse (&frame, &ack, NULL));
  g_assert_cmpstr (ack.state, ==, state);
}

static void
on_interrupt (gpointer data)
{
  Pair *pair = data;
  g_atomic_int_inc (&pair->calls);
}

static void
wait_for (gint *value, gint at_least)
{
  GtInstant until = gt_instant_add (gt_instant_now (), 20 * GT_NSEC_PER_SEC);
  while (g_atomic_int_get (value) < at_least) {
    g_assert_cmpint (gt_instant_until (gt_instant_now (), until), >, 0);
    g_usleep (500);
  }
}

static GtEnd
finish (Pair *pair)
{
  GtEnd facts = { 0 };
  gt_control_finish (pair->control, &facts);
  return facts;
}

static void
test_repeats (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  gt_control_arm (pair->control, on_interrupt, pair);
  say (pair, GT_WIRE_INTERRUPT, 1);
  wait_for (&pair->calls, 4);
  hear_ack (pair, 1, "calling");
  gt_control_disarm (pair->control);
  gint calls = g_atomic_int_get (&pair->calls);
  g_usleep (4L * GT_CONTROL_REPEAT_MS * 1000);
  g_assert_cmpint (g_atomic_int_get (&pair->calls), ==, calls);
  GtEnd facts = finish (pair);
  g_assert_true (facts.interrupted);
  g_assert_cmpint (facts.interrupt_calls, ==, calls);
  g_assert_cmpint (facts.interrupted_ns, >=, facts.started_ns);
  g_assert_cmpstr (facts.committed, ==, "no");
}

/* Jobs that end about when the control thread takes the reading over, or has just done so: the
 * reading comes back, every time. The alarm ends a hang. */
static void
test_given_back (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  (void) alarm (60);
  for (guint64 job = 1; job <= 2000; job++) {
    run_job (pair, job);
    g_usleep (950 + (job * 37) % 1100);
    (void) finish (pair);
  }
  (void) alarm (0);
}

static gboolean
on_progress (gpointer data, GtProgress *out)
{
  Pair *pair = data;
  *out = (GtProgress){ .percent = 1 };
  g_atomic_int_inc (&pair->calls);
  return TRUE;
}

/* What comes before the query may take its time: a database is opened, or waited for. */
static void
test_late_report (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  g_usleep (20000); /* the control thread has taken over, and sleeps */
  gt_control_arm (pair->control, on_interrupt, pair);
  gt_control_report (pair->control, on_progress, pair);
  wait_for (&pair->calls, 3);
  gt_control_disarm (pair->control);
  (void) finish (pair);
}

/* An interrupt that crosses the end of its job stands in the socket before the next job: it hit
 * seven of eight innocent jobs in a prototype whose interrupts named nothing. */
static void
test_stale (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  for (guint64 job = 1; job <= 8; job++) {
    run_job (pair, job);
    finish (pair);
    say (pair, GT_WIRE_INTERRUPT, job);
  }
  run_job (pair, 100);
  gt_control_arm (pair->control, on_interrupt, pair);
  say (pair, GT_WIRE_INTERRUPT, 7); /* and one while it runs */
  for (guint64 job = 1; job <= 8; job++)
    hear_ack (pair, job, "stale");
  hear_ack (pair, 7, "stale");
  g_assert_false (gt_control_interrupted (pair->control));
  gt_control_disarm (pair->control);
  g_assert_cmpint (g_atomic_int_get (&pair->calls), ==, 0);
  g_assert_false (finish (pair).interrupted);
}

typedef struct {
  Pair *pair;
  guint64 job;
} Crossing;

static gpointer
interrupt_from_elsewhere (gpointer data)
{
  Crossing *crossing = data;
  g_usleep ((gulong) g_random_int_range (0, 2500));
  say (crossing->pair, GT_WIRE_INTERRUPT, crossing->job);
  return NULL;
}

/* At any instant around the end, with the reader being handed over: the next job is untouched. */
static void
test_crossing (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  for (guint64 job = 1; job < 300; job += 2) {
    Crossing crossing = { pair, job };
    run_job (pair, job);
    gt_control_arm (pair->control, on_interrupt, pair);
    GThread *thread = g_thread_new ("engine", interrupt_from_elsewhere, &crossing);
    g_usleep ((gulong) g_random_int_range (0, 2500));
    gt_control_disarm (pair->control);
    finish (pair);
    g_thread_join (thread);
    g_atomic_int_set (&pair->calls, 0);
    run_job (pair, job + 1);
    gt_control_arm (pair->control, on_interrupt, pair);
    g_usleep (200);
    gt_control_disarm (pair->control);
    g_assert_cmpint (g_atomic_int_get (&pair->calls), ==, 0);
    g_assert_false (finish (pair).interrupted);
  }
}

static void
slow_interrupt (gpointer data)
{
  Pair *pair = data;
  g_atomic_int_set (&pair->in_call, 1);
  g_usleep (3000);
  g_atomic_int_set (&pair->in_call, 0);
  g_atomic_int_inc (&pair->calls);
}

/* What the function uses may be freed once it is disarmed. */
static void
test_disarm_waits (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  for (guint64 job = 1; job <= 20; job++) {
    run_job (pair, job);
    gt_control_arm (pair->control, slow_interrupt, pair);
    say (pair, GT_WIRE_INTERRUPT, job);
    wait_for (&pair->in_call, 1);
    gt_control_disarm (pair->control);
    g_assert_cmpint (g_atomic_int_get (&pair->in_call), ==, 0);
    finish (pair);
  }
  g_assert_cmpint (g_atomic_int_get (&pair->calls), >=, 20);
}

static void
test_early (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  say (pair, GT_WIRE_INTERRUPT, 1);
  hear_ack (pair, 1, "calling");
  g_assert_true (gt_control_interrupted (pair->control));
  gt_control_arm (pair->control, on_interrupt, pair);
  g_assert_cmpint (g_atomic_int_get (&pair->calls), >=, 1);
  wait_for (&pair->calls, 3); /* and repeats */
  finish (pair);
}

/* Both are read at once, by the main thread, which takes the job only. */
static void
test_together_with_its_job (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (GtRequest) request = { 0 };
  say (pair, GT_WIRE_JOB, 1);
  say (pair, GT_WIRE_INTERRUPT, 1);
  g_assert_true (gt_control_wait (pair->control, &request));
  gt_control_arm (pair->control, on_interrupt, pair);
  wait_for (&pair->calls, 2);
  finish (pair);
}

static void
test_commit (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  gt_control_arm (pair->control, on_interrupt, pair);
  g_assert_true (gt_control_commit_begin (pair->control));
  say (pair, GT_WIRE_INTERRUPT, 1);
  hear_ack (pair, 1, "committing");
  g_usleep (3L * GT_CONTROL_REPEAT_MS * 1000);
  g_assert_cmpint (g_atomic_int_get (&pair->calls), ==, 0);
  gt_control_commit_end (pair->control, GT_COMMIT_YES);
  wait_for (&pair->calls, 2); /* what follows the commit is interrupted */
  g_assert_false (gt_control_commit_begin (pair->control));
  gt_control_disarm (pair->control);
  GtEnd facts = finish (pair);
  g_assert_true (facts.in_commit);
  g_assert_true (facts.committed_late);
  g_assert_cmpstr (facts.committed, ==, "yes");
}

static void
test_facts_are_of_one_job (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  test_commit (pair, NULL);
  run_job (pair, 2);
  g_assert_true (gt_control_commit_begin (pair->control));
  gt_control_commit_end (pair->control, GT_COMMIT_MAYBE);
  GtEnd facts = finish (pair);
  g_assert_false (facts.interrupted);
  g_assert_false (facts.in_commit);
  g_assert_false (facts.committed_late);
  g_assert_cmpstr (facts.committed, ==, "maybe");
}

static void
test_unable (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  say (pair, GT_WIRE_INTERRUPT, 1);
  hear_ack (pair, 1, "unable");
  finish (pair);
}

/* Writes a job half a second later. */
static void *
late_job (void *data)
{
  g_usleep (G_USEC_PER_SEC / 2);
  say (data, GT_WIRE_JOB, 2);
  return NULL;
}

static gint64
own_cpu_ns (void)
{
  struct timespec used;
  g_assert_cmpint (clock_gettime (CLOCK_THREAD_CPUTIME_ID, &used), ==, 0);
  return used.tv_sec * GT_NSEC_PER_SEC + used.tv_nsec;
}

/* It looks for the next job for a moment, then it sleeps. */
static void
test_idle_is_asleep (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (GtRequest) request = { 0 };
  pthread_t thread;
  run_job (pair, 1);
  finish (pair);
  g_assert_cmpint (pthread_create (&thread, NULL, late_job, pair), ==, 0);
  gint64 before = own_cpu_ns ();
  g_assert_true (gt_control_wait (pair->control, &request));
  g_assert_cmpint (own_cpu_ns () - before, <, 100 * GT_NSEC_PER_MSEC);
  g_assert_cmpuint (request.job, ==, 2);
  (void) pthread_join (thread, NULL);
  finish (pair);
}

static void
test_closed_within_a_job (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (GtRequest) request = { 0 };
  run_job (pair, 1);
  (void) close (pair->engine);
  pair->engine = -1;
  wait_for (&pair->lost, 1);
  g_assert_null (pair->lost_message);
  finish (pair);
  g_assert_false (gt_control_wait (pair->control, &request));
}

static void
test_a_job_too_many (Pair *pair, gconstpointer data G_GNUC_UNUSED)
{
  run_job (pair, 1);
  say (pair, GT_WIRE_JOB, 2);
  wait_for (&pair->lost, 1);
  g_assert_cmpstr (pair->lost_message, ==, "JOB: a job is still running");
  finish (pair);
}

int
main (int argc, char **argv)
{
  static const char unable[] = "unable";
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, test) g_test_add ("/control/" name, Pair, data, set_up, test, tear_down)
  ADD ("a_report_that_is_asked_for_late_comes", NULL, test_late_report);
  ADD ("the_reading_comes_back", NULL, test_given_back);
  ADD ("an_interrupt_is_repeated_until_disarmed", NULL, test_repeats);
  ADD ("a_stale_interrupt_hits_nobody", NULL, test_stale);
  ADD ("an_interrupt_crossing_the_end_hits_nobody", NULL, test_crossing);
  ADD ("disarm_waits_for_a_call_in_progress", NULL, test_disarm_waits);
  ADD ("an_early_interrupt_is_kept", NULL, test_early);
  ADD ("an_interrupt_that_came_with_its_job_counts", NULL, test_together_with_its_job);
  ADD ("a_commit_is_not_interrupted", NULL, test_commit);
  ADD ("facts_are_of_one_job", NULL, test_facts_are_of_one_job);
  ADD ("no_interrupt_is_said", unable, test_unable);
  ADD ("who_waits_for_a_job_sleeps", NULL, test_idle_is_asleep);
  ADD ("a_closed_socket_is_seen_within_a_job", NULL, test_closed_within_a_job);
  ADD ("a_second_job_is_an_error", NULL, test_a_job_too_many);
  return g_test_run ();
}
