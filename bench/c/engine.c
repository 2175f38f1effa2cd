/* What the engine costs and how late its limits are. See bench/engine. */
#include "deadline/engine.h"
#include "executor/wire.h"
#include "executor/wire_head.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS GT_NSEC_PER_MSEC
#define S  GT_NSEC_PER_SEC

static const char *fake;

/* --- numbers --- */

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;
  return x < y ? -1 : x > y;
}

static void
report (const char *name, GArray *values_ns)
{
  g_array_sort (values_ns, compare);
  guint n = values_ns->len;
#define AT(share)                                                                                  \
  ((double) g_array_index (values_ns, gint64, MIN (n - 1, (guint) (n * (share)))) / 1e3)
  printf ("%-54s n=%-6u p50 %9.1f us  p99 %9.1f us  max %9.1f us\n", name, n, AT (0.5), AT (0.99),
          AT (1));
  fflush (stdout);
  g_array_set_size (values_ns, 0);
}

static long
field_kib (const char *file, const char *field)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (file, &text, NULL, NULL))
    return -1;
  const char *at = strstr (text, field);
  return at != NULL ? strtol (at + strlen (field), NULL, 10) : -1;
}

/* --- jobs --- */

static GtEngine *
engine_of (guint slots, guint spares)
{
  const char *argv[] = { fake, NULL };
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.argv = argv;
  options.slots = slots;
  options.spares = spares == 0 ? G_MAXUINT : spares;
  g_autoptr (GError) error = NULL;
  GtEngine *engine = gt_engine_new (&options, &error);
  if (engine == NULL
      || !gt_engine_wait_warm (engine, 0, gt_instant_add (gt_instant_now (), 30 * S), &error))
    g_error ("%s", error->message);
  return engine;
}

static GtJobSpec
job_of (GBytes *steps, gint64 hard_ns)
{
  GtJobSpec spec = { .kind = "steps", .body = steps, .limits = GT_LIMITS_NONE };
  if (hard_ns > 0)
    spec.limits.hard = gt_instant_add (gt_instant_now (), hard_ns);
  return spec;
}

static GtJobResult *
run (GtEngine *engine, GBytes *steps, gint64 hard_ns, GtOutcome expected)
{
  GtJobSpec spec = job_of (steps, hard_ns);
  GtJobResult *result = gt_engine_run (engine, &spec, NULL);
  /* On a machine that is more than full a kill may take longer than an undead one is given. */
  if (result->record.outcome != expected && result->record.outcome != GT_OUTCOME_UNDEAD) {
    g_autofree char *json = gt_outcome_record_json (&result->record);
    g_error ("%s", json);
  }
  return result;
}

/* --- measurements --- */

/* The same executor and frames without an engine: what it adds is the difference. */
static void
bare_round_trips (guint n)
{
  int pair[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    g_error ("socketpair");
  pid_t pid = fork ();
  if (pid == 0) {
    dup2 (pair[1], 3);
    execl (fake, fake, NULL);
    _exit (1);
  }
  close (pair[1]);
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  g_autoptr (GArray) took = g_array_new (FALSE, FALSE, sizeof (gint64));
  GtJobHead head = { .kind = (char *) "steps" };
  gint64 sent_ns = 0;
  for (guint done = 0; done < n;) {
    gsize room;
    guint8 *space = gt_wire_decoder_space (decoder, &room);
    ssize_t got = recv (pair[0], space, room, 0);
    if (got <= 0)
      g_error ("the executor ended");
    gt_wire_decoder_filled (decoder, (gsize) got);
    GtFrame frame;
    while (gt_wire_decoder_next (decoder, &frame, NULL) == GT_WIRE_HAVE_FRAME) {
      if (frame.type == GT_WIRE_END) {
        gint64 ns = gt_instant_now ().ns - sent_ns;
        g_array_append_val (took, ns);
        done++;
      }
      if (frame.type != GT_WIRE_END && frame.type != GT_WIRE_READY)
        continue;
      g_autoptr (GByteArray) bytes = g_byte_array_new ();
      char *text = gt_job_text (&head);
      GtFrame job = { .type = GT_WIRE_JOB,
                      .job = done + 1,
                      .head = text,
                      .head_bytes = strlen (text),
                      .body = (const guint8 *) "value",
                      .body_bytes = 5,
                      .fd = -1 };
      gt_wire_encode (&job, bytes, NULL);
      free (text);
      sent_ns = gt_instant_now ().ns;
      if (send (pair[0], bytes->data, bytes->len, MSG_NOSIGNAL) != (ssize_t) bytes->len)
        g_error ("send");
    }
  }
  close (pair[0]);
  waitpid (pid, NULL, 0);
  report ("job, bare socket (peer)", took);
}

static void
engine_round_trips (guint n)
{
  g_autoptr (GtEngine) engine = engine_of (1, 1);
  g_autoptr (GBytes) value = g_bytes_new_static ("value", 5);
  g_autoptr (GArray) took = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < n; i++) {
    gint64 before = gt_instant_now ().ns;
    g_autoptr (GtJobResult) result G_GNUC_UNUSED = run (engine, value, 10 * S, GT_OUTCOME_VALUE);
    gint64 ns = gt_instant_now ().ns - before;
    g_array_append_val (took, ns);
  }
  report ("job, through the engine", took);
}

static void
kills (guint n, guint spares, const char *name)
{
  g_autoptr (GtEngine) engine = engine_of (1, spares);
  g_autoptr (GBytes) burn = g_bytes_new_static ("burn 60000", 10);
  g_autoptr (GBytes) value = g_bytes_new_static ("value", 5);
  g_autoptr (GArray) late = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) sent = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) next = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < n; i++) {
    g_autoptr (GtJobResult) result = run (engine, burn, 20 * MS, GT_OUTCOME_HARD_TIMEOUT);
    gint64 told = gt_instant_now ().ns;
    g_autoptr (GtJobResult) after = run (engine, value, 10 * S, GT_OUTCOME_VALUE);
    gint64 waited = after->record.started_ns - told;
    gint64 kill = result->record.killed_ns - result->record.asked_ns;
    g_array_append_val (late, result->record.overshoot_ns);
    g_array_append_val (sent, kill);
    g_array_append_val (next, waited);
    if (spares > 0)
      gt_engine_wait_warm (engine, 0, gt_instant_add (gt_instant_now (), 10 * S), NULL);
  }
  g_autofree char *a = g_strdup_printf ("%s: late, dead and reaped", name);
  g_autofree char *b = g_strdup_printf ("%s: of that until the kill", name);
  g_autofree char *c = g_strdup_printf ("%s: next job begun after", name);
  report (a, late);
  report (b, sent);
  report (c, next);
}

typedef struct {
  GtEngine *engine;
  GBytes *steps;
  gint in_flight, done;
} Stream;

static void
on_done (GtJobResult *result, gpointer data)
{
  Stream *stream = data;
  gt_job_result_free (result);
  g_atomic_int_inc (&stream->done);
  g_atomic_int_add (&stream->in_flight, -1);
}

static void
many (guint n)
{
  g_autoptr (GtEngine) engine = engine_of (1, 1);
  Stream stream = { .engine = engine, .steps = g_bytes_new_static ("value", 5) };
  for (guint part = 0; part < 10; part++) {
    gint64 before = gt_instant_now ().ns;
    for (guint i = 0; i < n / 10; i++) {
      while (g_atomic_int_get (&stream.in_flight) >= 64)
        g_usleep (50);
      GtJobSpec spec = job_of (stream.steps, 60 * S);
      spec.done = on_done;
      spec.data = &stream;
      g_atomic_int_inc (&stream.in_flight);
      gt_engine_submit (engine, &spec, NULL);
    }
    while (g_atomic_int_get (&stream.in_flight) > 0)
      g_usleep (50);
    double each = (double) (gt_instant_now ().ns - before) / (n / 10.0) / 1e3;
    printf ("jobs %8u  %6.1f us each  RSS %ld KiB  PSS %ld KiB\n", (part + 1) * (n / 10), each,
            field_kib ("/proc/self/status", "VmRSS:"),
            field_kib ("/proc/self/smaps_rollup", "\nPss:"));
    fflush (stdout);
  }
  g_bytes_unref (stream.steps);
}

/* A bare timer with the same scheduling slice: what this machine allows at this moment. */
static void
bare_timer (guint n, const char *name)
{
  struct {
    guint32 size, policy;
    guint64 flags;
    gint32 nice;
    guint32 priority;
    guint64 runtime, deadline, period;
  } attr = { .size = sizeof attr, .runtime = 100000 };
  g_autoptr (GArray) late = g_array_new (FALSE, FALSE, sizeof (gint64));
  int fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC);
  (void) syscall (SYS_sched_setattr, 0, &attr, 0);
  for (guint i = 0; i < n; i++) {
    GtInstant at = gt_instant_add (gt_instant_now (), 20 * MS);
    struct itimerspec timer = { .it_value = { at.ns / S, at.ns % S } };
    guint64 ignored;
    timerfd_settime (fd, TFD_TIMER_ABSTIME, &timer, NULL);
    if (read (fd, &ignored, sizeof ignored) < 0)
      g_error ("timerfd");
    gint64 ns = gt_instant_now ().ns - at.ns;
    g_array_append_val (late, ns);
  }
  close (fd);
  attr.runtime = 0; /* the system's again */
  (void) syscall (SYS_sched_setattr, 0, &attr, 0);
  g_autofree char *text = g_strdup_printf ("%s: bare timer (peer)", name);
  report (text, late);
}

/* Somebody else's work: in our session the kernel's autogroup would count it as ours, and a thread
 * of ours that wakes would have to wait for its own group's turn. `sessions`: as many people as
 * hogs, each with as large a share of the machine as we have; else one. */
static pid_t
start_hogs (guint n, gboolean sessions)
{
  pid_t first = fork ();
  if (first != 0)
    return first;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  setsid ();
  for (guint i = 1; i < n; i++) {
    if (fork () != 0)
      continue;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (sessions)
      setsid ();
    break;
  }
  for (;;)
    ;
}

static void
kills_among_hogs (guint n, guint hogs, gboolean sessions)
{
  pid_t first = start_hogs (hogs, sessions);
  g_autofree char *name
      = g_strdup_printf ("kill, %u hogs%s", hogs, sessions ? ", a session each" : "");
  bare_timer (n, name);
  kills (n, 1, name);
  kill (first, SIGKILL); /* its children die with it */
  waitpid (first, NULL, 0);
}

int
main (int argc, char **argv)
{
  if (argc < 4) {
    fprintf (stderr, "usage: %s FAKE_EXECUTOR KILLS JOBS [HOGS]\n", argv[0]);
    return 2;
  }
  fake = argv[1];
  guint n_kills = (guint) strtoul (argv[2], NULL, 10), n_jobs = (guint) strtoul (argv[3], NULL, 10);
  guint n_hogs = argc > 4 ? (guint) strtoul (argv[4], NULL, 10) : 8;
  printf ("domain %s\n", gt_domain_name (gt_domain_best (GT_PURPOSE_CONTAIN)));
  bare_round_trips (MIN (n_jobs, 20000));
  engine_round_trips (MIN (n_jobs, 20000));
  bare_timer (n_kills, "kill");
  kills (n_kills, 1, "kill");
  kills (n_kills / 4, 0, "kill, no spare");
  kills_among_hogs (n_kills, n_hogs, FALSE);
  kills_among_hogs (n_kills, n_hogs, TRUE);
  many (n_jobs);
  return 0;
}
