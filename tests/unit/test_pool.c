/* The pool, case by case, in a world whose clock stands still between them. */
#include "pool_world.h"

static FakeWorld *
warm_world (guint slots, guint spares)
{
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.slots = slots;
  options.spares = spares == 0 ? G_MAXUINT : spares;
  FakeWorld *world = fake_world_new (&options);
  fake_world_run (world, 100 * MS);
  g_assert_cmpuint (gt_pool_stats (world->pool).idle, ==, slots + spares);
  return world;
}

static void
assert_told (FakeWorld *world, guint64 job, GtOutcome outcome, GtReason reason)
{
  const FakeTold *told = fake_world_told (world, job);
  g_assert_cmpuint (told->told, ==, 1);
  g_assert_cmpstr (gt_outcome_info (told->record.outcome)->name, ==,
                   gt_outcome_info (outcome)->name);
  g_assert_cmpstr (gt_reason_name (told->record.reason), ==, gt_reason_name (reason));
}

static void
a_value_is_told_and_the_executor_is_used_again (void)
{
  FakeWorld *world = warm_world (1, 1);
  for (guint i = 0; i < 10; i++) {
    guint64 job = fake_world_submit (world, JOB_VALUE, 2 * MS, 0, S);
    fake_world_run (world, 3 * MS);
    assert_told (world, job, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
    g_assert_cmpuint (fake_world_told (world, job)->n_parts, >=, 1);
    g_assert_cmpint (fake_world_told (world, job)->record.wall_ns, ==, 2 * MS);
    g_assert_cmpstr (fake_world_told (world, job)->record.peak_memory_by, ==, "process");
  }
  g_assert_cmpuint (world->starts, ==, 2);
  g_assert_cmpuint (world->kills, ==, 0);
  fake_world_free (world);
}

static void
a_hang_is_killed_at_the_instant_and_told_when_reaped (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 job = fake_world_submit (world, JOB_HANG, 0, 0, 500 * MS);
  GtInstant hard = fake_world_told (world, job)->hard;
  fake_world_run (world, S);
  assert_told (world, job, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  const GtOutcomeRecord *record = &fake_world_told (world, job)->record;
  g_assert_cmpint (record->killed_ns, ==, hard.ns);
  g_assert_cmpint (record->told_ns, ==, hard.ns + world->reap_ns);
  g_assert_cmpint (record->overshoot_ns, ==, world->reap_ns);
  g_assert_cmpint (record->signal, ==, 9);
  g_assert_cmpstr (record->domain, !=, NULL);
  fake_world_free (world);
}

static void
the_next_job_runs_on_the_spare_at_once (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 first = fake_world_submit (world, JOB_HANG, 0, 0, 100 * MS);
  guint64 next = fake_world_submit (world, JOB_VALUE, 0, 0, 10 * S);
  fake_world_run (world, 200 * MS);
  g_assert_cmpint (fake_world_told (world, next)->record.started_ns, ==,
                   fake_world_told (world, first)->record.told_ns);
  fake_world_free (world);
}

static void
without_a_spare_it_waits_for_a_new_executor (void)
{
  FakeWorld *world = warm_world (1, 0);
  guint64 first = fake_world_submit (world, JOB_HANG, 0, 0, 100 * MS);
  guint64 next = fake_world_submit (world, JOB_VALUE, 0, 0, 10 * S);
  fake_world_run (world, 300 * MS);
  g_assert_cmpint (fake_world_told (world, next)->record.started_ns, ==,
                   fake_world_told (world, first)->record.told_ns + world->start_ns);
  fake_world_free (world);
}

static void
soft_limits_interrupt_and_are_told_apart (void)
{
  const struct {
    FakeJob kind;
    GtOutcome outcome;
    GtReason reason;
    const char *acknowledged;
  } cases[] = {
    { JOB_OBEY, GT_OUTCOME_SOFT_TIMEOUT, GT_REASON_DEADLINE_SOFT, "calling" },
    { JOB_LATE, GT_OUTCOME_LATE_VALUE, GT_REASON_DEADLINE_SOFT, "committing" },
    { JOB_COMMIT, GT_OUTCOME_COMMITTED, GT_REASON_DEADLINE_SOFT, "committing" },
    { JOB_UNABLE, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD, "unable" },
    { JOB_HANG, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD, NULL },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    FakeWorld *world = warm_world (1, 1);
    guint64 job = fake_world_submit (world, cases[i].kind, 0, 100 * MS, 200 * MS);
    fake_world_run (world, S);
    assert_told (world, job, cases[i].outcome, cases[i].reason);
    const GtOutcomeRecord *record = &fake_world_told (world, job)->record;
    g_assert_cmpint (record->interrupted_ns, ==, fake_world_told (world, job)->soft.ns);
    g_assert_cmpstr (record->acknowledged, ==, cases[i].acknowledged);
    fake_world_free (world);
  }
}

static void
answers_that_are_none_end_the_executor_only (void)
{
  const struct {
    FakeJob kind;
    GtOutcome outcome;
    GtReason reason;
  } cases[] = {
    { JOB_ERROR, GT_OUTCOME_ERROR, GT_REASON_ANSWER },
    { JOB_REFUSE, GT_OUTCOME_REFUSED, GT_REASON_REFUSED },
    { JOB_DIE, GT_OUTCOME_DIED, GT_REASON_EXIT },
    { JOB_CLOSE, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_GARBAGE, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_WRONG_JOB, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_TWICE, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_END_FIRST, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_READY_AGAIN, GT_OUTCOME_DIED, GT_REASON_PROTOCOL },
    { JOB_FLOOD, GT_OUTCOME_UNSENDABLE, GT_REASON_RESULT },
    { JOB_NO_END, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD },
    { JOB_EAT, GT_OUTCOME_OUT_OF_MEMORY, GT_REASON_MEMORY },
    { JOB_SPIN, GT_OUTCOME_OVER_LIMIT, GT_REASON_CPU },
    { JOB_FORK, GT_OUTCOME_OVER_LIMIT, GT_REASON_PROCESSES },
    { JOB_VALUE_DIE, GT_OUTCOME_VALUE, GT_REASON_ANSWER },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    FakeWorld *world = warm_world (1, 1);
    guint64 job = fake_world_submit (world, cases[i].kind, 1 * MS, 0, 500 * MS);
    guint64 next = fake_world_submit (world, JOB_VALUE, 1 * MS, 0, S);
    fake_world_run (world, S);
    assert_told (world, job, cases[i].outcome, cases[i].reason);
    assert_told (world, next, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
    const FakeTold *told = fake_world_told (world, job);
    if (!told->complete)
      g_assert_cmpuint (told->n_parts, ==, 0);
    fake_world_free (world);
  }
}

static void
what_a_job_leaves_behind_ends_its_executor_but_not_its_value (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 job = fake_world_submit (world, JOB_LEAVE, 1 * MS, 0, S);
  fake_world_run (world, 10 * MS);
  assert_told (world, job, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpint (fake_world_told (world, job)->record.leftovers, ==, 2);
  g_assert_cmpint (fake_world_told (world, job)->record.reaped_ns, >, 0);
  g_assert_cmpuint (world->kills, ==, 1);
  fake_world_free (world);
}

static void
threads_may_take_a_moment_to_end_but_must (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 calm = fake_world_submit (world, JOB_BUSY, 1 * MS, 0, S);
  fake_world_run (world, 50 * MS);
  assert_told (world, calm, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpuint (world->kills, ==, 0);
  g_assert_cmpuint (gt_pool_stats (world->pool).idle, ==, 2);
  guint64 busy = fake_world_submit (world, JOB_BUSY_FOREVER, 1 * MS, 0, S);
  fake_world_run (world, 50 * MS);
  assert_told (world, busy, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_cmpuint (world->kills, ==, 1);
  fake_world_free (world);
}

static void
an_undead_executor_is_said_so_and_replaced (void)
{
  FakeWorld *world = warm_world (1, 1);
  world->deaf_kill = TRUE;
  world->resident_bytes = G_GINT64_CONSTANT (2) << 30;
  guint64 job = fake_world_submit (world, JOB_HANG, 0, 0, 100 * MS);
  GtInstant hard = fake_world_told (world, job)->hard;
  fake_world_run (world, 2 * S);
  assert_told (world, job, GT_OUTCOME_UNDEAD, GT_REASON_DEADLINE_HARD);
  g_assert_cmpint (fake_world_told (world, job)->record.told_ns, ==, hard.ns + 450 * MS);
  g_assert_cmpint (fake_world_told (world, job)->record.reaped_ns, ==, -1);
  g_assert_cmpuint (gt_pool_stats (world->pool).undead, ==, 1);
  g_assert_cmpuint (gt_pool_stats (world->pool).idle, ==, 2);
  guint64 next = fake_world_submit (world, JOB_VALUE, 1 * MS, 0, S);
  fake_world_run (world, 10 * MS);
  assert_told (world, next, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  fake_world_let_die (world);
  fake_world_run (world, 10 * MS);
  g_assert_cmpuint (gt_pool_stats (world->pool).undead, ==, 0);
  g_assert_cmpuint (world->pool->slots->len, ==, 2);
  fake_world_free (world);
}

static void
too_many_undead_refuse_new_jobs_until_one_dies (void)
{
  FakeWorld *world = warm_world (1, 1);
  world->deaf_kill = TRUE;
  for (guint i = 0; i < 4; i++) {
    fake_world_submit (world, JOB_HANG, 0, 0, 100 * MS);
    fake_world_run (world, S);
  }
  guint64 refused = fake_world_submit (world, JOB_VALUE, 0, 0, S);
  assert_told (world, refused, GT_OUTCOME_LOST, GT_REASON_START);
  fake_world_let_die (world);
  fake_world_run (world, 100 * MS);
  guint64 next = fake_world_submit (world, JOB_VALUE, 0, 0, S);
  fake_world_run (world, 10 * MS);
  assert_told (world, next, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  fake_world_free (world);
}

/* What they share stands in the sum of each: it is asked for, and until then nobody is killed. */
static void
members_that_share_memory_are_weighed (void)
{
  const gint64 little = 1 << 29, much = G_GINT64_CONSTANT (1) << 31;
  FakeWorld *world = warm_world (1, 1);
  world->members = 3;
  guint64 shares = fake_world_submit (world, JOB_EAT, 0, 0, 5 * S);
  fake_world_run (world, 50 * MS);
  g_assert_cmpuint (world->weighings, ==, 1);
  gt_slot_weighed (world->weighed_slot, little);
  fake_world_run (world, 2 * S);
  g_assert_cmpuint (fake_world_told (world, shares)->told, ==, 0);
  g_assert_cmpuint (world->weighings, ==, 1); /* not again while the sum does not grow */
  fake_world_run (world, 4 * S);
  assert_told (world, shares, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  const gint64 answers[] = { much, -1, 0 };
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++) { /* the last one does not come */
    guint64 job = fake_world_submit (world, JOB_EAT, 0, 0, 60 * S);
    fake_world_run (world, 50 * MS);
    g_assert_cmpuint (world->weighings, ==, i + 2);
    if (answers[i] != 0)
      gt_slot_weighed (world->weighed_slot, answers[i]);
    fake_world_run (world, answers[i] != 0 ? 100 * MS : S);
    assert_told (world, job, GT_OUTCOME_OUT_OF_MEMORY, GT_REASON_MEMORY);
    fake_world_run (world, S);
  }
  fake_world_free (world);
}

static void
starts_that_fail_pause_and_fail_the_jobs_after_a_bound (void)
{
  const FakeStart faults[] = { START_FAIL, START_EXIT, START_GARBAGE, START_EARLY_DEATH };
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++) {
    GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
    FakeWorld *world = fake_world_new (&options);
    world->start = faults[i];
    guint64 job = fake_world_submit (world, JOB_HANG, 0, 0, 0);
    fake_world_run (world, 10 * S);
    assert_told (world, job, GT_OUTCOME_LOST, GT_REASON_START);
    guint before = world->starts;
    fake_world_run (world, 100 * S);
    g_assert_cmpuint (world->starts - before, >=, 10);
    g_assert_cmpuint (world->starts - before, <=, 25);
    guint64 late = fake_world_submit (world, JOB_VALUE, 0, 0, 0);
    fake_world_run (world, 10 * S + 100 * MS);
    g_assert_cmpuint (fake_world_told (world, late)->told, ==, 1);
    world->start = START_READY; /* and all is well again */
    fake_world_run (world, 12 * S);
    guint64 next = fake_world_submit (world, JOB_VALUE, 0, 0, S);
    fake_world_run (world, 10 * MS);
    assert_told (world, next, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
    fake_world_free (world);
  }
}

static void
a_start_without_an_end_is_killed (void)
{
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.start_limit_ns = S;
  FakeWorld *world = fake_world_new (&options);
  world->start = START_DUMB;
  fake_world_run (world, 1500 * MS);
  g_assert_cmpuint (world->kills, ==, 2);
  fake_world_free (world);
}

static void
limits_count_while_a_job_waits (void)
{
  FakeWorld *world = warm_world (1, 1);
  fake_world_submit (world, JOB_HANG, 0, 0, 10 * S);
  guint64 hard = fake_world_submit (world, JOB_VALUE, 0, 0, 200 * MS);
  guint64 soft = fake_world_submit (world, JOB_VALUE, 0, 100 * MS, 300 * MS);
  fake_world_run (world, S);
  assert_told (world, hard, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  assert_told (world, soft, GT_OUTCOME_SOFT_TIMEOUT, GT_REASON_DEADLINE_SOFT);
  g_assert_cmpint (fake_world_told (world, hard)->record.started_ns, ==, -1);
  g_assert_cmpint (fake_world_told (world, hard)->record.overshoot_ns, ==, 0);
  fake_world_free (world);
}

static void
cancels_reach_jobs_that_wait_and_jobs_that_run (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 hangs = fake_world_submit (world, JOB_HANG, 0, 0, 10 * S);
  guint64 waits = fake_world_submit (world, JOB_VALUE, 0, 0, 10 * S);
  gt_pool_cancel (world->pool, waits);
  gt_pool_cancel (world->pool, hangs);
  gt_pool_cancel (world->pool, 999);
  assert_told (world, waits, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED);
  gint64 asked = world->now.ns;
  fake_world_run (world, S);
  assert_told (world, hangs, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED);
  g_assert_cmpint (fake_world_told (world, hangs)->record.killed_ns, ==, asked + 100 * MS);
  guint64 obeys = fake_world_submit (world, JOB_OBEY, 0, 0, 10 * S);
  guint64 unable = 0;
  fake_world_run (world, 5 * MS);
  gt_pool_cancel (world->pool, obeys);
  fake_world_run (world, 20 * MS);
  assert_told (world, obeys, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED);
  unable = fake_world_submit (world, JOB_UNABLE, 0, 0, 10 * S);
  fake_world_run (world, 5 * MS);
  gt_pool_cancel (world->pool, unable);
  asked = world->now.ns;
  fake_world_run (world, S);
  assert_told (world, unable, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED);
  g_assert_cmpint (fake_world_told (world, unable)->record.killed_ns, ==, asked);
  fake_world_free (world);
}

static void
executors_are_replaced_after_jobs_and_age (void)
{
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.recycle_jobs = 3;
  options.recycle_age_ns = 60 * S;
  FakeWorld *world = fake_world_new (&options);
  fake_world_run (world, 100 * MS);
  for (guint i = 0; i < 6; i++) {
    guint64 job = fake_world_submit (world, JOB_VALUE, 1 * MS, 0, S);
    fake_world_run (world, 100 * MS);
    assert_told (world, job, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  }
  g_assert_cmpuint (world->byes, ==, 2);
  g_assert_cmpuint (world->kills, ==, 0);
  fake_world_run (world, 61 * S);
  g_assert_cmpuint (world->byes, ==, 4);
  g_assert_cmpuint (gt_pool_stats (world->pool).failed_starts, ==, 0);
  fake_world_free (world);
}

static void
those_of_one_age_are_replaced_one_by_one (void)
{
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.spares = 2;
  options.recycle_age_ns = 60 * S;
  FakeWorld *world = fake_world_new (&options);
  fake_world_run (world, 59 * S);
  for (int i = 0; i < 3000; i++) {
    fake_world_run (world, MS);
    g_assert_cmpuint (gt_pool_stats (world->pool).idle, >=, 2);
  }
  g_assert_cmpuint (world->byes, ==, 3);
  fake_world_free (world);
}

static void
a_stop_answers_everybody (void)
{
  FakeWorld *world = warm_world (1, 1);
  guint64 runs = fake_world_submit (world, JOB_HANG, 0, 0, 10 * S);
  guint64 waits = fake_world_submit (world, JOB_VALUE, 0, 0, 10 * S);
  gt_pool_stop (world->pool);
  assert_told (world, waits, GT_OUTCOME_CANCELLED, GT_REASON_STOP);
  fake_world_run (world, 10 * MS);
  assert_told (world, runs, GT_OUTCOME_CANCELLED, GT_REASON_STOP);
  guint64 late = fake_world_submit (world, JOB_VALUE, 0, 0, S);
  assert_told (world, late, GT_OUTCOME_CANCELLED, GT_REASON_STOP);
  g_assert_true (gt_pool_stopped (world->pool));
  fake_world_free (world);
}

static void
the_second_line_is_moved_for_long_jobs_only (void)
{
  FakeWorld *world = warm_world (1, 1);
  for (guint i = 0; i < 1000; i++) {
    fake_world_submit (world, JOB_VALUE, 1 * MS, 0, S);
    fake_world_run (world, 2 * MS);
  }
  g_assert_cmpuint (world->lines, ==, 0);
  fake_world_submit (world, JOB_VALUE, 50 * MS, 0, S);
  fake_world_run (world, 60 * MS);
  g_assert_cmpuint (world->lines, ==, 1);
  fake_world_run (world, 2 * S); /* taken back before it kills an idle executor */
  g_assert_cmpuint (world->lines, ==, 2);
  fake_world_free (world);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pool/value", a_value_is_told_and_the_executor_is_used_again);
  g_test_add_func ("/pool/hang", a_hang_is_killed_at_the_instant_and_told_when_reaped);
  g_test_add_func ("/pool/spare", the_next_job_runs_on_the_spare_at_once);
  g_test_add_func ("/pool/no-spare", without_a_spare_it_waits_for_a_new_executor);
  g_test_add_func ("/pool/soft", soft_limits_interrupt_and_are_told_apart);
  g_test_add_func ("/pool/wrong-answers", answers_that_are_none_end_the_executor_only);
  g_test_add_func ("/pool/leftovers", what_a_job_leaves_behind_ends_its_executor_but_not_its_value);
  g_test_add_func ("/pool/threads", threads_may_take_a_moment_to_end_but_must);
  g_test_add_func ("/pool/undead", an_undead_executor_is_said_so_and_replaced);
  g_test_add_func ("/pool/many-undead", too_many_undead_refuse_new_jobs_until_one_dies);
  g_test_add_func ("/pool/failed-starts", starts_that_fail_pause_and_fail_the_jobs_after_a_bound);
  g_test_add_func ("/pool/slow-start", a_start_without_an_end_is_killed);
  g_test_add_func ("/pool/waiting", limits_count_while_a_job_waits);
  g_test_add_func ("/pool/cancel", cancels_reach_jobs_that_wait_and_jobs_that_run);
  g_test_add_func ("/pool/weigh", members_that_share_memory_are_weighed);
  g_test_add_func ("/pool/recycle", executors_are_replaced_after_jobs_and_age);
  g_test_add_func ("/pool/recycle-one-by-one", those_of_one_age_are_replaced_one_by_one);
  g_test_add_func ("/pool/stop", a_stop_answers_everybody);
  g_test_add_func ("/pool/second-line", the_second_line_is_moved_for_long_jobs_only);
  return g_test_run ();
}
