#include "deadline/error.h"
#include "deadline/limits.h"

#define S GT_NSEC_PER_SEC

static GtLimitsWorld
world (void)
{
  return (GtLimitsWorld){ .now = { 1000 * S }, .inherited = GT_NEVER };
}

static void
durations_become_absolute (void)
{
  GtLimitsWorld w = world ();
  GtLimits limits;
  g_assert_true (
      gt_limits_make (&(GtLimitsAsked){ .soft_ns = 2 * S, .hard_ns = 5 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.soft.ns, ==, 1002 * S);
  g_assert_cmpint (limits.hard.ns, ==, 1005 * S);
  g_assert_cmpint (limits.from[GT_LIMIT_HARD], ==, GT_LIMIT_FROM_OPTION);
  g_assert_cmpint (limits.from[GT_LIMIT_MEMORY], ==, GT_LIMIT_FROM_NONE);
}

static void
no_limits_are_never (void)
{
  GtLimitsWorld w = world ();
  GtLimits limits;
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ 0 }, &w, &limits, NULL));
  g_assert_cmpint (limits.soft.ns, ==, GT_NEVER.ns);
  g_assert_cmpint (limits.hard.ns, ==, GT_NEVER.ns);
}

static void
contradictions_are_refused (void)
{
  const GtLimitsAsked wrong[] = {
    { .soft_ns = 5 * S, .hard_ns = 5 * S },
    { .soft_ns = 6 * S, .hard_ns = 5 * S },
    { .soft_ns = 5 * S },
    { .hard_ns = -1 },
    { .soft_ns = -1, .hard_ns = 5 },
    { .memory_bytes = -1 },
    { .cpu_ns = -1 },
    { .processes = -1 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GtLimitsWorld w = world ();
    GtLimits limits;
    g_autoptr (GError) error = NULL;
    g_assert_false (gt_limits_make (&wrong[i], &w, &limits, &error));
    g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_CONTRADICTION);
  }
}

static void
what_cannot_be_enforced_is_refused_by_name (void)
{
  GtLimitsWorld w = world ();
  w.cannot = 1U << GT_LIMIT_MEMORY;
  w.why = "no cgroup";
  GtLimits limits;
  g_autoptr (GError) error = NULL;
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ .processes = 3 }, &w, &limits, NULL));
  g_assert_false (gt_limits_make (&(GtLimitsAsked){ .memory_bytes = 1 }, &w, &limits, &error));
  g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_UNENFORCEABLE);
  g_assert_nonnull (strstr (error->message, "memory"));
  g_assert_nonnull (strstr (error->message, "no cgroup"));
}

static void
the_earlier_deadline_wins (void)
{
  GtLimitsWorld w = world ();
  GtLimits limits;
  w.inherited.ns = 1003 * S;
  g_assert_true (
      gt_limits_make (&(GtLimitsAsked){ .soft_ns = 2 * S, .hard_ns = 5 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.hard.ns, ==, 1003 * S);
  g_assert_cmpint (limits.soft.ns, ==, 1002 * S);
  g_assert_cmpint (limits.from[GT_LIMIT_HARD], ==, GT_LIMIT_FROM_ENVIRONMENT);
  w.inherited.ns = 1009 * S;
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ .hard_ns = 5 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.hard.ns, ==, 1005 * S);
  w.inherited.ns = 1001 * S; /* before the soft limit: nothing is left of it */
  g_assert_true (
      gt_limits_make (&(GtLimitsAsked){ .soft_ns = 2 * S, .hard_ns = 5 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.soft.ns, ==, GT_NEVER.ns);
  w.inherited.ns = 7; /* long past: the job ends at once, that is no error */
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ .hard_ns = 5 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.hard.ns, ==, 7);
}

static void
an_inherited_deadline_makes_a_soft_limit_alone_hold (void)
{
  GtLimitsWorld w = world ();
  GtLimits limits;
  w.inherited.ns = 1003 * S;
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ .soft_ns = 2 * S }, &w, &limits, NULL));
  g_assert_cmpint (limits.soft.ns, ==, 1002 * S);
}

static void
the_smallest_number_wins_and_is_named (void)
{
  GtLimitsWorld w = world ();
  w.cgroup_memory_bytes = 100;
  w.machine_memory_bytes = 1000;
  w.cgroup_processes = 50;
  GtLimits limits;
  g_assert_true (
      gt_limits_make (&(GtLimitsAsked){ .memory_bytes = 500, .processes = 10 }, &w, &limits, NULL));
  g_assert_cmpint (limits.memory_bytes, ==, 100);
  g_assert_cmpint (limits.from[GT_LIMIT_MEMORY], ==, GT_LIMIT_FROM_CGROUP);
  g_assert_cmpint (limits.processes, ==, 10);
  g_assert_cmpint (limits.from[GT_LIMIT_PROCESSES], ==, GT_LIMIT_FROM_OPTION);
}

static void
explanations_say_what_and_whose (void)
{
  GtLimitsWorld w = world ();
  w.inherited.ns = 1003 * S;
  w.machine_memory_bytes = G_GINT64_CONSTANT (4) << 30;
  GtLimits limits;
  g_assert_true (gt_limits_make (&(GtLimitsAsked){ .hard_ns = 5 * S, .cpu_ns = 1500000000 }, &w,
                                 &limits, NULL));
  const char *expected[GT_LIMIT_COUNT] = {
    [GT_LIMIT_SOFT] = "soft: none",
    [GT_LIMIT_HARD] = "hard: 3 s (environment GILOTINE_DEADLINE; the option asked for 5 s)",
    [GT_LIMIT_MEMORY] = "memory: 4.0 GiB (machine)",
    [GT_LIMIT_CPU] = "cpu: 1.5 s (option)",
    [GT_LIMIT_PROCESSES] = "processes: none",
  };
  for (guint id = 0; id < GT_LIMIT_COUNT; id++) {
    g_autofree char *line = gt_limits_explain (&limits, (GtLimitId) id);
    for (char *c = line; *c != '\0'; c++) /* GLib's size text has a no-break space */
      if (g_str_has_prefix (c, "\xc2\xa0")) {
        *c = ' ';
        memmove (c + 1, c + 2, strlen (c + 2) + 1);
      }
    g_assert_cmpstr (line, ==, expected[id]);
  }
}

static void
a_deadline_that_cannot_be_read_is_an_error (void)
{
  GtInstant at;
  g_assert_true (gt_limits_inherited (NULL, &at, NULL));
  g_assert_cmpint (at.ns, ==, GT_NEVER.ns);
  g_assert_true (gt_limits_inherited ("", &at, NULL));
  g_assert_true (gt_limits_inherited ("123456789", &at, NULL));
  g_assert_cmpint (at.ns, ==, 123456789);
  const char *wrong[] = { "soon", "-5", "1.5", "12 ", "0x10", "99999999999999999999" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_false (gt_limits_inherited (wrong[i], &at, &error));
    g_assert_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_ENVIRONMENT);
  }
}

static void
the_world_of_this_process_can_be_read (void)
{
  GtLimitsWorld w;
  g_unsetenv (GT_DEADLINE_ENV);
  g_assert_true (gt_limits_world_read (&w, NULL));
  g_assert_cmpint (w.machine_memory_bytes, >, 1 << 20);
  g_assert_cmpint (w.inherited.ns, ==, GT_NEVER.ns);
  g_setenv (GT_DEADLINE_ENV, "never", TRUE);
  g_autoptr (GError) error = NULL;
  g_assert_false (gt_limits_world_read (&w, &error));
  g_assert_nonnull (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/limits/absolute", durations_become_absolute);
  g_test_add_func ("/limits/none", no_limits_are_never);
  g_test_add_func ("/limits/contradictions", contradictions_are_refused);
  g_test_add_func ("/limits/unenforceable", what_cannot_be_enforced_is_refused_by_name);
  g_test_add_func ("/limits/inherited", the_earlier_deadline_wins);
  g_test_add_func ("/limits/inherited-soft", an_inherited_deadline_makes_a_soft_limit_alone_hold);
  g_test_add_func ("/limits/smallest", the_smallest_number_wins_and_is_named);
  g_test_add_func ("/limits/explain", explanations_say_what_and_whose);
  g_test_add_func ("/limits/environment", a_deadline_that_cannot_be_read_is_an_error);
  g_test_add_func ("/limits/world", the_world_of_this_process_can_be_read);
  return g_test_run ();
}
