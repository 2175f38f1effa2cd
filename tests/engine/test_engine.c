/* The engine with real executors, in every domain that this machine offers. Each case asserts the
 * outcome, how late it was (generously: the machine is shared), that nothing of the job is alive or
 * a zombie, that the next job is fine, and at the end that all descriptors are closed. */
#include "engine_support.h"

#include "deadline/error.h"
#include "executor/wire.h"
#include "os/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- cases, each in a domain --- */

static void
wait_for_orphans (void)
{
  GtInstant until = in (5 * S);
  while (gt_instant_until (gt_instant_now (), until) > 0
         && (waitpid (-1, NULL, WNOHANG) > 0 || our_children () > 0))
    g_usleep (1000);
  gt_sweep_folder (temp_root);
  g_assert_cmpuint (our_children (), ==, 0);
}

static void
values_errors_and_parts_come_back (GtDomain domain)
{
  GtEngine *engine = warm_engine (domain);
  for (guint i = 0; i < 20; i++)
    assert_fine (engine);
  g_autoptr (GtJobResult) parts = run (engine, "chunks 3 100000; memfd 4096; value 7", 0, 10000);
  assert_outcome (parts, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpuint (parts->parts->len, ==, 5);
  const GtPart *memfd = parts->parts->pdata[3];
  struct stat st;
  g_assert_cmpint (fstat (memfd->fd, &st), ==, 0);
  g_assert_cmpint (st.st_size, ==, 4096);
  g_autoptr (GtJobResult) error = run (engine, "error syntax", 0, 10000);
  assert_outcome (error, GT_OUTCOME_ERROR, GT_REASON_ANSWER);
  g_assert_cmpstr (error->error_class, ==, "syntax");
  g_assert_cmpstr (error->record.message, ==, "as the job asked");
  g_autoptr (GtJobResult) refused = run (engine, "refuse unsupported", 0, 10000);
  assert_outcome (refused, GT_OUTCOME_REFUSED, GT_REASON_REFUSED);
  g_autofree char *body = g_strnfill (3 << 20, ' ');
  g_autofree char *steps = g_strconcat ("value 3;", body, NULL);
  g_autoptr (GtJobResult) large = run (engine, steps, 0, 10000);
  assert_outcome (large, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpuint (gt_engine_stats (engine).started, ==, 2);
  finish (engine);
}

static void
hard_limits_hold (GtDomain domain)
{
  static const char *const cases[] = { "hang",
                                       "burn 60000",
                                       "deaf; sleep 60000",
                                       "ignore 15; hang",
                                       "stop",
                                       "flood",
                                       "half; hang",
                                       "child 60000; hang",
                                       "daemon 60000; child 60000; burn 60000" };
  GtEngine *engine = warm_engine (domain);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    gboolean floods = strcmp (cases[i], "flood") == 0;
    g_autoptr (GtJobResult) result = run (engine, cases[i], 0, 100);
    const GtOutcomeRecord *record = &result->record;
    if (floods && record->outcome == GT_OUTCOME_UNSENDABLE)
      continue; /* a fast machine reaches the answer's limit first */
    assert_outcome (result, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
    g_assert_cmpint (record->told_ns, >=, record->asked_ns);
    g_assert_cmpint (record->overshoot_ns, <, LATE);
    g_assert_cmpint (record->reaped_ns, >=, record->asked_ns);
    g_assert_cmpint (record->told_ns, >=, record->reaped_ns);
    g_assert_cmpstr (record->domain, ==, gt_domain_name (domain));
    g_assert_cmpuint (result->parts->len, ==, 0);
    /* The spare takes over: it does not wait for a new executor to be started. */
    assert_fine (engine);
    assert_keepers_only (engine, 2);
  }
  finish (engine);
}

static void
soft_limits_are_told_apart (GtDomain domain)
{
  GtEngine *engine = warm_engine (domain);
  g_autoptr (GtJobResult) obeys = run (engine, "obey 60000", 50, 5000);
  assert_outcome (obeys, GT_OUTCOME_SOFT_TIMEOUT, GT_REASON_DEADLINE_SOFT);
  g_assert_cmpstr (obeys->record.acknowledged, ==, "calling");
  g_assert_cmpint (obeys->record.overshoot_ns, <, LATE);
  g_autoptr (GtJobResult) late = run (engine, "late 20; value 3", 50, 5000);
  assert_outcome (late, GT_OUTCOME_LATE_VALUE, GT_REASON_DEADLINE_SOFT);
  g_autoptr (GtJobResult) ignores = run (engine, "sleep 60000", 50, 150);
  assert_outcome (ignores, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  g_assert_cmpint (ignores->record.interrupted_ns, >, 0);
  g_assert_cmpuint (gt_engine_stats (engine).killed, ==, 1);
  assert_fine (engine);
  finish (engine);
}

static void
executors_that_break_are_replaced (GtDomain domain)
{
  static const struct {
    const char *steps;
    GtOutcome outcome;
    GtReason reason;
    int exit_code, signal;
  } cases[] = {
    { "exit 7", GT_OUTCOME_DIED, GT_REASON_EXIT, 7, -1 },
    { "signal 11", GT_OUTCOME_DIED, GT_REASON_SIGNAL, -1, SIGSEGV },
    { "half; exit 3", GT_OUTCOME_DIED, GT_REASON_EXIT, 3, -1 },
    { "garbage 500; hang", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "badhead", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "badchunk; value 3", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "wrongjob 99999", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "result 3; result 3; end", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "end", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "close; hang", GT_OUTCOME_DIED, GT_REASON_PROTOCOL, -1, SIGKILL },
    { "result 3; exit 0", GT_OUTCOME_DIED, GT_REASON_EXIT, 0, -1 },
    { "value 3; exit 0", GT_OUTCOME_VALUE, GT_REASON_ANSWER, -1, -1 },
  };
  GtEngine *engine = warm_engine (domain);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GtJobResult) result = run (engine, cases[i].steps, 0, 10000);
    assert_outcome (result, cases[i].outcome, cases[i].reason);
    /* A signal may end the keeper before it has reaped the executor: then it is not known. */
    if (cases[i].exit_code >= 0 || cases[i].signal == SIGSEGV) {
      g_assert_cmpint (result->record.exit_code, ==, cases[i].exit_code);
      g_assert_cmpint (result->record.signal, ==, cases[i].signal);
    }
    /* It may take the next job before the last one's end is seen; that one is begun by nobody. */
    if (cases[i].outcome == GT_OUTCOME_VALUE)
      g_usleep (100000);
    assert_fine (engine);
    gt_engine_wait_warm (engine, 0, in (10 * S), NULL);
  }
  assert_keepers_only (engine, 2);
  finish (engine);
}

static void
what_is_left_behind_is_killed_before_the_answer (GtDomain domain)
{
  static const char *const cases[] = { "child 60000; value 3", "daemon 60000; sleep 20; value 3" };
  GtEngine *engine = warm_engine (domain);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GtJobResult) result = run (engine, cases[i], 0, 10000);
    assert_outcome (result, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
    g_assert_cmpint (result->record.leftovers, >=, 1); /* and the daemon's zombie parent */
    g_assert_cmpint (result->record.reaped_ns, >, 0);
    assert_fine (engine);
    assert_keepers_only (engine, 2);
  }
  g_autoptr (GtJobResult) thread = run (engine, "thread; value 3", 0, 10000);
  assert_outcome (thread, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_autoptr (GtJobResult) leak = run (engine, "leakfd; value 3", 0, 10000);
  assert_outcome (leak, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  assert_fine (engine);
  /* Threads and descriptors get a moment to go away, then their executor goes. */
  GtInstant until = in (5 * S);
  while (gt_engine_stats (engine).killed < 4 && gt_instant_until (gt_instant_now (), until) > 0)
    g_usleep (1000);
  g_assert_cmpuint (gt_engine_stats (engine).killed, ==, 4);
  finish (engine);
}

/* Its keeper has the user of the family, in a PID namespace too: it can be harmed, and then the
 * family ends, whole. */
static void
who_harms_its_keeper_ends_with_it (GtDomain domain)
{
  GtEngine *engine = warm_engine (domain);
  for (int i = 0; i < 3; i++) {
    g_autoptr (GtJobResult) result = run (engine, "daemon 60000; starve; burn 60000", 0, 20000);
    g_assert_cmpint (result->record.outcome, ==, GT_OUTCOME_DIED);
    assert_fine (engine);
    assert_keepers_only (engine, 2);
  }
  finish (engine);
}

/* The look at a family must not need a stack as deep as the family. */
static void
a_deep_family_is_looked_at (void)
{
  pthread_attr_t small, before;
  g_assert_cmpint (pthread_getattr_default_np (&before), ==, 0);
  g_assert_cmpint (pthread_attr_init (&small), ==, 0);
  g_assert_cmpint (pthread_attr_setstacksize (&small, 512 << 10), ==, 0);
  g_assert_cmpint (pthread_setattr_default_np (&small), ==, 0);
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  g_assert_cmpint (pthread_setattr_default_np (&before), ==, 0);
  g_autoptr (GtJobResult) result = run (engine, "deep 300; value 3", 0, 60000);
  assert_outcome (result, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpint (result->record.leftovers, >=, 1);
  assert_fine (engine);
  finish (engine);
  pthread_attr_destroy (&small);
  pthread_attr_destroy (&before);
}

static GtJobResult *
run_with_answer_of (GtEngine *engine, const char *steps, gsize answer_bytes)
{
  GtJobSpec spec = job_of (steps, (GtLimitsAsked){ .hard_ns = 60 * S });
  spec.answer_bytes = answer_bytes;
  GtJobResult *result = gt_engine_run (engine, &spec, NULL);
  g_bytes_unref (spec.body);
  return result;
}

static void
an_answer_is_bounded_in_all_it_costs (void)
{
  g_autoptr (GString) files = g_string_new (NULL);
  for (int i = 0; i < 65; i++)
    g_string_append (files, "memfd 1;");
  g_string_append (files, "value 3");
  const struct {
    const char *steps;
    gsize bytes;
  } cases[] = { { "memfd 4097; value 3", 4099 },
                { "chunks 2 2000; value 100", 4099 },
                { "chunks 20000 0; value 3", 4099 }, /* what holds them */
                { files->str, 1 << 20 } };
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GtJobResult) result = run_with_answer_of (engine, cases[i].steps, cases[i].bytes);
    assert_outcome (result, GT_OUTCOME_UNSENDABLE, GT_REASON_RESULT);
    g_assert_cmpuint (result->parts->len, ==, 0);
  }
  g_autoptr (GtJobResult) fits = run_with_answer_of (engine, "memfd 4096; value 3", 4099);
  assert_outcome (fits, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  finish (engine);
}

static void
a_job_that_no_frame_can_carry_is_refused (void)
{
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  g_autoptr (GError) error = NULL;
  g_autofree char *kind = g_strnfill (1000, 'k');
  g_autoptr (GBytes) large = g_bytes_new_take (g_malloc0 ((64 << 20) + 1), (64 << 20) + 1);
  GtJobSpec spec = { .kind = "steps", .body = large, .limits = GT_LIMITS_NONE, .done = tally };
  g_assert_cmpuint (gt_engine_submit (engine, &spec, &error), ==, 0);
  g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_TOO_LARGE);
  g_clear_error (&error);
  spec = (GtJobSpec){ .kind = kind, .limits = GT_LIMITS_NONE, .done = tally };
  g_assert_cmpuint (gt_engine_submit (engine, &spec, &error), ==, 0);
  g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_TOO_LARGE);
  assert_fine (engine);
  g_assert_cmpuint (gt_engine_stats (engine).killed, ==, 0);
  finish (engine);
}

/* Every descriptor that is left; a member that cannot be looked at may be alive. */
static void
nothing_is_gone_that_could_not_be_looked_for (void)
{
  const char *argv[] = { "sh", "-c", "setsid sleep 60 & exec sleep 60", NULL };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = argv;
  spec.domain = GT_DOMAIN_SUBREAPER;
  g_autoptr (GError) error = NULL;
  GtFamily *family = gt_family_spawn (&spec, &error);
  g_assert_no_error (error);
  struct rlimit before;
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  const struct rlimit few = { 64, before.rlim_max };
  g_usleep (200000); /* the shell has started its child: else the test shows less */
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
  g_autoptr (GArray) taken = g_array_new (FALSE, FALSE, sizeof (int));
  for (int fd; (fd = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
    g_array_append_val (taken, fd);
  close (g_array_index (taken, int, 0)); /* the one that the search opens first */
  kill (gt_family_root_pid (family), SIGKILL);
  GtInstant until = in (S);
  while (gt_instant_until (gt_instant_now (), until) > 0
         && gt_family_poll (family) != GT_FAMILY_GONE)
    g_usleep (2000);
  GtFamilyState state = gt_family_state (family);
  for (guint i = 1; i < taken->len; i++)
    close (g_array_index (taken, int, i));
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
  g_assert_cmpint (state, ==, GT_FAMILY_LOST);
  g_assert_true (gt_family_end (family, in (20 * S), &error));
  gt_family_free (family);
  wait_for_orphans ();
}

static void
limits_of_memory_and_cpu_hold (GtDomain domain)
{
  GtEngine *engine = warm_engine (domain);
  g_autoptr (GtJobResult) memory
      = run_limited (engine, "grow 300000000; hang",
                     (GtLimitsAsked){ .memory_bytes = 100 << 20, .hard_ns = 20 * S });
  assert_outcome (memory, GT_OUTCOME_OUT_OF_MEMORY, GT_REASON_MEMORY);
  /* Shared by seven processes, it is there once. */
  const GtLimitsAsked shared = { .memory_bytes = 300 << 20, .hard_ns = 60 * S };
  g_autoptr (GtJobResult) once = run_limited (
      engine,
      "grow 100000000; child 60000; child 60000; child 60000; child 60000; child 60000; "
      "child 60000; sleep 500; value 3",
      shared);
  assert_outcome (once, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpint (once->record.leftovers, >=, 6);
  g_autoptr (GtJobResult) more = run_limited (
      engine,
      "grow 100000000; child 60000; child 60000; child 60000; sleep 200; grow 300000000; hang",
      shared);
  assert_outcome (more, GT_OUTCOME_OUT_OF_MEMORY, GT_REASON_MEMORY);
  g_autoptr (GtJobResult) cpu
      = run_limited (engine, "burn 60000", (GtLimitsAsked){ .cpu_ns = 50 * MS, .hard_ns = 20 * S });
  assert_outcome (cpu, GT_OUTCOME_OVER_LIMIT, GT_REASON_CPU);
  g_assert_cmpint (cpu->record.cpu_ns, >=, 45 * MS);
  g_autoptr (GtJobResult) processes
      = run_limited (engine, "child 60000; child 60000; child 60000; hang",
                     (GtLimitsAsked){ .processes = 3, .hard_ns = 20 * S });
  assert_outcome (processes, GT_OUTCOME_OVER_LIMIT, GT_REASON_PROCESSES);
  assert_fine (engine);
  assert_keepers_only (engine, 2);
  finish (engine);
}

/* The kernel holds it: the job is answered all the same, and the next one gets another executor. */
static void
the_undead_are_told_and_replaced (GtDomain domain)
{
  char *freezer = freezer_new ();
  if (freezer == NULL) {
    g_test_skip ("no freezer of cgroup v1 that this user may use");
    return;
  }
  GtEngine *engine = warm_engine (domain);
  g_autofree char *steps = g_strdup_printf ("freeze %s; hang", freezer);
  gint64 began = gt_instant_now ().ns;
  g_autoptr (GtJobResult) result = run (engine, steps, 0, 100);
  assert_outcome (result, GT_OUTCOME_UNDEAD, GT_REASON_DEADLINE_HARD);
  g_assert_cmpint (gt_instant_now ().ns - began, <, 100 * MS + 350 * MS + LATE);
  g_assert_cmpint (result->record.dead_ns, ==, -1);
  assert_fine (engine);
  g_assert_cmpuint (gt_engine_stats (engine).undead, ==, 1);
  freezer_open (freezer);
  GtInstant until = in (10 * S);
  while (gt_engine_stats (engine).undead > 0 && gt_instant_until (gt_instant_now (), until) > 0)
    g_usleep (1000);
  g_assert_cmpuint (gt_engine_stats (engine).undead, ==, 0);
  freezer_remove (freezer);
  assert_keepers_only (engine, 2);
  finish (engine);
}

/* --- cases that do not depend on the domain --- */

typedef struct {
  GtEngine *engine;
  Tally *tally;
  guint number;
} Client;

static gpointer
client_main (gpointer data)
{
  const Client *client = data;
  static const char *const kinds[]
      = { "value 3", "error query", "sleep 1; value", "hang", "obey 5; value", "exit 1" };
  for (guint i = 0; i < 40; i++) {
    guint kind = (i * 7 + client->number) % 20;
    const char *steps = kinds[kind < G_N_ELEMENTS (kinds) ? kind : 0];
    GtJobSpec spec = job_of (steps, (GtLimitsAsked){ .soft_ns = 20 * S, .hard_ns = 30 * S });
    if (kind == 3) {
      spec.limits.hard = in (30 * MS);
      spec.limits.soft = in (10 * MS);
    }
    spec.done = tally;
    spec.data = client->tally;
    guint64 id = gt_engine_submit (client->engine, &spec, NULL);
    g_assert_cmpuint (id, !=, 0);
    if (i % 9 == 0)
      gt_engine_cancel (client->engine, id);
    g_bytes_unref (spec.body);
  }
  return NULL;
}

static void
many_threads_get_one_answer_each (void)
{
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.slots = 3;
  options.recycle_jobs = 25;
  GtEngine *engine = engine_in (GT_DOMAIN_AUTO, options, NULL);
  Tally t = { 0 };
  Client clients[4];
  GThread *threads[4];
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++) {
    clients[i] = (Client){ engine, &t, i };
    threads[i] = g_thread_new ("client", client_main, &clients[i]);
  }
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    g_thread_join (threads[i]);
  wait_for (&t, 160);
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++)
    if (t.outcomes[i] > 0)
      g_test_message ("%d %s", t.outcomes[i], gt_outcome_info ((GtOutcome) i)->name);
  g_assert_cmpint (t.outcomes[GT_OUTCOME_VALUE], >, 0);
  g_assert_cmpuint (gt_engine_stats (engine).submitted, ==, 160);
  finish (engine);
}

typedef struct {
  GtEngine *engine;
  gint parts, held;
  gint done;
  GtJobResult *result;
  gboolean never_resume;
} Reader;

static gboolean
take_part (guint64 job, GtPart *part, gpointer data)
{
  Reader *reader = data;
  g_assert_cmpint (g_atomic_int_get (&reader->held), ==, 0);
  (void) job;
  gt_part_free (part);
  if (g_atomic_int_add (&reader->parts, 1) % 3 != 2)
    return TRUE;
  g_atomic_int_set (&reader->held, 1);
  return FALSE;
}

static void
keep_result (GtJobResult *result, gpointer data)
{
  Reader *reader = data;
  reader->result = result;
  g_atomic_int_set (&reader->done, 1);
}

static GtJobResult *
stream (Reader *reader, const char *steps, gint64 hard_ms)
{
  GtJobSpec spec = job_of (steps, (GtLimitsAsked){ .hard_ns = hard_ms * MS });
  spec.done = keep_result;
  spec.part = take_part;
  spec.data = reader;
  guint64 id = gt_engine_submit (reader->engine, &spec, NULL);
  g_bytes_unref (spec.body);
  while (g_atomic_int_get (&reader->done) == 0) {
    g_usleep (1000);
    if (!reader->never_resume && g_atomic_int_compare_and_exchange (&reader->held, 1, 0))
      gt_engine_resume (reader->engine, id);
  }
  return reader->result;
}

static void
parts_are_handed_over_and_can_be_held (void)
{
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  Reader reader = { .engine = engine };
  g_autoptr (GtJobResult) all = stream (&reader, "chunks 100 60000; value 3", 20000);
  assert_outcome (all, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpint (reader.parts, ==, 100);
  g_assert_cmpuint (all->parts->len, ==, 1);
  /* What was said before the death counts, however late it is read. */
  Reader last = { .engine = engine };
  g_autoptr (GtJobResult) dies = stream (&last, "chunks 10 100; value 3; exit 0", 20000);
  assert_outcome (dies, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpint (last.parts, ==, 10);
  g_usleep (100000); /* a job that is sent to it before its end is seen dies with it */
  /* A reader that does not come back holds nobody's limit. */
  Reader stuck = { .engine = engine, .never_resume = TRUE };
  g_autoptr (GtJobResult) killed = stream (&stuck, "chunks 10 100; value 3", 200);
  assert_outcome (killed, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  g_assert_cmpint (killed->record.overshoot_ns, <, LATE);
  Reader stuck_at_death = { .engine = engine, .never_resume = TRUE };
  g_autoptr (GtJobResult) dead = stream (&stuck_at_death, "chunks 10 100; exit 1", 200);
  assert_outcome (dead, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  assert_fine (engine);
  finish (engine);
}

static void
a_stop_answers_what_runs_and_what_waits (void)
{
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  Tally t = { 0 };
  for (guint i = 0; i < 10; i++) {
    GtJobSpec spec = job_of ("hang", (GtLimitsAsked){ .hard_ns = 100 * S });
    spec.done = tally;
    spec.data = &t;
    g_assert_cmpuint (gt_engine_submit (engine, &spec, NULL), !=, 0);
    g_bytes_unref (spec.body);
  }
  finish (engine);
  g_assert_cmpint (t.outcomes[GT_OUTCOME_CANCELLED], ==, 10);
}

static void
an_engine_can_be_freed_at_any_moment (void)
{
  for (guint i = 0; i < 20; i++) {
    GtEngine *engine = engine_in (GT_DOMAIN_AUTO, (GtEngineOptions) GT_ENGINE_OPTIONS_INIT, NULL);
    g_usleep (i * 700);
    finish (engine);
  }
}

static void
executors_that_cannot_start_fail_jobs_clearly (void)
{
  static const char *const starts[]
      = { "exit 1", "garbage 100", "nohello; sleep 60000", "protocol 9", "signal 11" };
  for (guint i = 0; i < G_N_ELEMENTS (starts); i++) {
    GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
    options.start_tries = 3;
    options.start_limit_ns = 100 * MS;
    GtEngine *engine = engine_in (GT_DOMAIN_AUTO, options, starts[i]);
    g_autoptr (GtJobResult) result = run (engine, "value", 0, 20000);
    assert_outcome (result, GT_OUTCOME_LOST, GT_REASON_START);
    g_test_message ("%s", result->record.message);
    g_autoptr (GError) error = NULL;
    g_assert_false (gt_engine_wait_warm (engine, 0, in (10 * S), &error));
    g_assert_nonnull (error);
    finish (engine);
  }
  const char *argv[] = { "/no/such/executor", NULL };
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.argv = argv;
  options.start_tries = 2;
  options.temp_root = temp_root;
  GtEngine *engine = gt_engine_new (&options, NULL);
  g_autoptr (GtJobResult) result = run (engine, "value", 0, 20000);
  assert_outcome (result, GT_OUTCOME_LOST, GT_REASON_START);
  g_assert_nonnull (strstr (result->record.message, "/no/such/executor"));
  finish (engine);
}

static void
options_that_cannot_be_are_refused (void)
{
  const char *argv[] = { "x", NULL };
  const GtEngineOptions wrong[] = { { .domain = GT_DOMAIN_AUTO },
                                    { .argv = argv, .slots = 5000 },
                                    { .argv = argv, .recycle_age_ns = 5 },
                                    { .argv = argv, .cancel_grace_ns = -1 } };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_engine_new (&wrong[i], &error));
    g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_OPTION);
  }
}

static void
a_killed_idle_executor_is_replaced (void)
{
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  assert_fine (engine);
  g_autoptr (GArray) pids = gt_engine_pids (engine);
  g_assert_cmpuint (pids->len, ==, 2);
  for (guint i = 0; i < pids->len; i++)
    kill (g_array_index (pids, pid_t, i), SIGKILL); /* alive as long as the engine has not reaped */
  g_usleep (50000);
  assert_fine (engine);
  gt_engine_wait_warm (engine, 0, in (10 * S), NULL);
  finish (engine);
}

static void
folders_of_engines_that_are_gone_are_removed (void)
{
  pid_t pid = fork ();
  if (pid == 0) {
    g_autofree char *folder = gt_sweep_make_dir (temp_root, "executor", NULL);
    _exit (folder == NULL);
  }
  int status;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (count_entries (temp_root), ==, 1);
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  g_assert_cmpuint (count_entries (temp_root), ==, 2);
  finish (engine);
}

/* What `test_engine --hold` does: a job with a limit, in a process that will be stopped or killed.
 */
static int
hold (void)
{
  temp_root = g_strdup (g_getenv ("GT_HOLD_TEMP"));
  GtEngine *engine = warm_engine (GT_DOMAIN_AUTO);
  GtJobSpec spec = job_of ("hang", (GtLimitsAsked){ .hard_ns = 400 * MS });
  Tally t = { 0 };
  spec.done = tally;
  spec.data = &t;
  gt_engine_submit (engine, &spec, NULL);
  g_usleep (50000); /* past the moment at which the second line is drawn */
  g_autoptr (GArray) pids = gt_engine_pids (engine);
  g_autoptr (GString) line = g_string_new (NULL); /* one write: it is read at once */
  for (guint i = 0; i < pids->len; i++)
    g_string_append_printf (line, "%d ", (int) g_array_index (pids, pid_t, i));
  g_print ("%s\n", line->str);
  wait_for (&t, 1);
  gt_engine_free (engine);
  return 0;
}

/* Starts it; how many executors are alive so much later. */
static guint
alive_after (int signo, gint64 ns)
{
  const char *argv[] = { "/proc/self/exe", "--hold", NULL };
  GPid pid;
  int out;
  g_setenv ("GT_HOLD_TEMP", temp_root, TRUE);
  g_assert_true (g_spawn_async_with_pipes (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                           NULL, NULL, &pid, NULL, &out, NULL, NULL));
  char text[256];
  ssize_t n = read (out, text, sizeof text - 1);
  g_assert_cmpint (n, >, 1);
  text[n] = '\0';
  kill (pid, signo);
  g_usleep ((gulong) (ns / 1000));
  g_auto (GStrv) names = g_strsplit (g_strstrip (text), " ", -1);
  guint alive = 0, known = 0;
  for (char **name = names; *name != NULL; name++, known++) {
    g_autofree char *path = g_build_filename ("/proc", *name, NULL);
    alive += g_file_test (path, G_FILE_TEST_EXISTS);
  }
  g_assert_cmpuint (known, ==, 2);
  kill (pid, SIGKILL);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  close (out);
  return alive;
}

static void
a_stopped_engine_still_holds_its_limits (void)
{
  /* Of two only the spare is left: the keeper has ended the other at the second line. */
  g_assert_cmpuint (alive_after (SIGSTOP, 400 * MS + 250 * MS + LATE), ==, 1);
  wait_for_orphans ();
}

static void
a_killed_engine_takes_its_executors_along (void)
{
  g_assert_cmpuint (alive_after (SIGKILL, LATE), ==, 0);
  wait_for_orphans ();
}

/* --- */

typedef void (*Case) (GtDomain domain);

typedef struct {
  Case run;
  GtDomain domain;
} InDomain;

static void
run_in_domain (gconstpointer data)
{
  const InDomain *test = data;
  g_autoptr (GError) error = NULL;
  if (!gt_domain_probe (test->domain, &error)) {
    g_test_skip (error->message);
    return;
  }
  guint fds = count_entries ("/proc/self/fd");
  test->run (test->domain);
  g_assert_cmpuint (count_entries ("/proc/self/fd"), ==, fds);
}

static void
add_in_domains (const char *name, Case body)
{
  for (const GtDomain *d = gt_domain_candidates (GT_PURPOSE_CONTAIN); *d != GT_N_DOMAINS; d++) {
    /* It does not promise to hold what calls setsid; and the orphans of its group come to us. */
    if (*d == GT_DOMAIN_PGROUP && body != values_errors_and_parts_come_back
        && body != soft_limits_are_told_apart && body != executors_that_break_are_replaced)
      continue;
    InDomain *test = g_new (InDomain, 1);
    *test = (InDomain){ body, *d };
    g_autofree char *path = g_strdup_printf ("/engine/%s/%s", gt_domain_name (*d), name);
    g_test_add_data_func_full (path, test, run_in_domain, g_free);
  }
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--hold") == 0)
    return hold ();
  g_test_init (&argc, &argv, NULL);
  prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  temp_root = g_dir_make_tmp ("gilotine-engine-XXXXXX", NULL);
  add_in_domains ("values", values_errors_and_parts_come_back);
  add_in_domains ("hard", hard_limits_hold);
  add_in_domains ("soft", soft_limits_are_told_apart);
  add_in_domains ("broken", executors_that_break_are_replaced);
  add_in_domains ("left-behind", what_is_left_behind_is_killed_before_the_answer);
  add_in_domains ("harmed", who_harms_its_keeper_ends_with_it);
  add_in_domains ("limits", limits_of_memory_and_cpu_hold);
  add_in_domains ("undead", the_undead_are_told_and_replaced);
  g_test_add_func ("/engine/deep", a_deep_family_is_looked_at);
  g_test_add_func ("/engine/bounded", an_answer_is_bounded_in_all_it_costs);
  g_test_add_func ("/engine/too-large", a_job_that_no_frame_can_carry_is_refused);
  g_test_add_func ("/engine/no-descriptors", nothing_is_gone_that_could_not_be_looked_for);
  g_test_add_func ("/engine/threads", many_threads_get_one_answer_each);
  g_test_add_func ("/engine/stream", parts_are_handed_over_and_can_be_held);
  g_test_add_func ("/engine/stop", a_stop_answers_what_runs_and_what_waits);
  g_test_add_func ("/engine/free", an_engine_can_be_freed_at_any_moment);
  g_test_add_func ("/engine/no-start", executors_that_cannot_start_fail_jobs_clearly);
  g_test_add_func ("/engine/options", options_that_cannot_be_are_refused);
  g_test_add_func ("/engine/killed-idle", a_killed_idle_executor_is_replaced);
  g_test_add_func ("/engine/sweep", folders_of_engines_that_are_gone_are_removed);
  g_test_add_func ("/engine/stopped", a_stopped_engine_still_holds_its_limits);
  g_test_add_func ("/engine/killed", a_killed_engine_takes_its_executors_along);
  int failed = g_test_run ();
  gt_sweep_remove_tree (temp_root);
  g_free (temp_root);
  return failed;
}
