/* Random schedules against a naive account: no job is lost, told twice, told too late, or told what
 * was not complete before its kill.
 *
 *     test_pool_model [-m thorough]             the seed of a failure is printed;
 *     GT_SEED=N test_pool_model                 runs that one alone */
#include "pool_world.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define SCHEDULES          3000
#define SCHEDULES_THOROUGH 100000

static void
check_job (FakeWorld *world, guint64 id)
{
  const FakeTold *told = fake_world_told (world, id);
  const GtOutcomeRecord *record = &told->record;
  g_assert_cmpuint (told->told, ==, 1);
  gboolean value = record->outcome == GT_OUTCOME_VALUE || record->outcome == GT_OUTCOME_LATE_VALUE;
  /* A complete answer counts, and nothing else does. */
  g_assert_true (value == (told->complete && told->value));
  g_assert_true (told->complete == (told->n_parts > 0));
  g_assert_true (told->own_answer);
  /* An instant that a limit promised is kept: the kill is sent then, and what does not die in its
   * time is said to be undead. The world's executors have up to 1 GiB. */
  if (told->hard.ns != GT_NEVER.ns) {
    g_assert_cmpint (record->told_ns, <=, told->hard.ns + 350 * MS);
    if (record->killed_ns >= 0 && !told->complete)
      g_assert_cmpint (record->killed_ns, <=, told->hard.ns);
  }
  if (record->outcome == GT_OUTCOME_HARD_TIMEOUT)
    g_assert_cmpint (record->told_ns, >=, told->hard.ns);
  if (record->outcome == GT_OUTCOME_SOFT_TIMEOUT)
    g_assert_cmpint (record->told_ns, >=, told->soft.ns);
  if (record->outcome == GT_OUTCOME_LOST)
    g_assert_cmpint (record->started_ns, ==, -1);
}

static void
one_schedule (guint32 seed)
{
  GRand *rand = g_rand_new_with_seed (seed);
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.slots = (guint) g_rand_int_range (rand, 1, 4);
  options.spares = g_rand_boolean (rand) ? (guint) g_rand_int_range (rand, 1, 3) : G_MAXUINT;
  options.start_limit_ns = 100 * MS;
  options.start_tries = 3;
  options.recycle_jobs = g_rand_boolean (rand) ? (guint) g_rand_int_range (rand, 1, 6) : 0;
  options.recycle_age_ns = g_rand_boolean (rand) ? S : 0;
  options.max_undead = (guint) g_rand_int_range (rand, 1, 8);
  FakeWorld *world = fake_world_new (&options);
  world->rand = rand;
  world->resident_bytes = g_rand_boolean (rand) ? 1 << 30 : 0;
  guint n_jobs = (guint) g_rand_int_range (rand, 1, 40);
  for (guint i = 0; i < n_jobs; i++) {
    FakeJob kind
        = g_rand_boolean (rand) ? JOB_VALUE : (FakeJob) g_rand_int_range (rand, 0, JOB_COUNT);
    gint64 hard = g_rand_int_range (rand, 0, 5) == 0
                      ? 0
                      : g_rand_int_range (rand, 1, 100) * MS + g_rand_int_range (rand, 0, 999);
    gint64 soft = hard > 2 && g_rand_boolean (rand) ? hard / g_rand_int_range (rand, 2, 5) : 0;
    fake_world_submit (world, kind, g_rand_int_range (rand, 0, 60) * MS, soft, hard);
    if (g_rand_int_range (rand, 0, 6) == 0)
      gt_pool_cancel (world->pool, (guint64) g_rand_int_range (rand, 1, (gint32) i + 3));
    if (g_rand_boolean (rand))
      fake_world_run (world, g_rand_int_range (rand, 0, 50000) * 1000);
  }
  if (g_rand_boolean (rand))
    fake_world_run (world, 2 * S);
  gt_pool_stop (world->pool);
  fake_world_run (world, S);
  for (guint64 id = 1; id <= n_jobs; id++)
    check_job (world, id);
  fake_world_free (world);
}

/* A failed assertion aborts: then the seed is the one thing to know. */
static guint32 seed_now;

static void
print_seed (int signo)
{
  char text[64];
  int length = g_snprintf (text, sizeof text, "# failed with GT_SEED=%u\n", seed_now);
  (void) !write (STDOUT_FILENO, text, (size_t) length);
  signal (signo, SIG_DFL);
}

static void
no_schedule_breaks_a_promise (void)
{
  const char *only = g_getenv ("GT_SEED");
  if (only != NULL) {
    one_schedule ((guint32) strtoul (only, NULL, 10));
    return;
  }
  guint n = g_test_thorough () ? SCHEDULES_THOROUGH : SCHEDULES;
  guint32 first = (guint32) g_test_rand_int ();
  for (guint i = 0; i < n; i++) {
    seed_now = first + i;
    one_schedule (seed_now);
  }
  g_test_message ("%u schedules from seed %u", n, first);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  signal (SIGABRT, print_seed);
  g_test_add_func ("/pool/model", no_schedule_breaks_a_promise);
  return g_test_run ();
}
