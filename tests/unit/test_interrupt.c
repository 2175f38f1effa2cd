#include "lab/error.h"
#include "lab/interrupt_data.h"
#include "lab/interrupt_plan.h"
#include "lab/interrupt_table.h"

#include <string.h>

#define HEAD "[experiment]\nkind=interrupt\noffsets=0.1;0.5\n"

static GtInterruptPlan *
parse (const char *text, gboolean quick, GError **error)
{
  return gt_interrupt_plan_parse ("x/y.ini", text, strlen (text), quick, NULL, error);
}

static void
a_plan_has_queries_offsets_and_settings (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtInterruptPlan) plan = parse (
      HEAD "patience=2\n[query a]\nsql=select 1\ntimes=2\n[query b]\nsql=x\ndatabase=file\n"
           "[quick]\nonly=b\noffsets=1\n",
      FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (plan->name, ==, "y");
  g_assert_cmpuint (plan->queries->len, ==, 2);
  g_assert_cmpuint (plan->offsets_ns->len, ==, 2);
  g_assert_cmpint (g_array_index (plan->offsets_ns, gint64, 1), ==, 500000000);
  g_assert_cmpfloat (plan->settings[GT_INTERRUPT_PATIENCE], ==, 2);
  const GtInterruptQuery *a = plan->queries->pdata[0], *b = plan->queries->pdata[1];
  g_assert_cmpstr (a->sql, ==, "select 1;\nselect 1;\n");
  g_assert_true (!a->in_file && b->in_file);
}

static void
a_quick_run_takes_what_its_group_says (void)
{
  g_autoptr (GtInterruptPlan) plan
      = parse (HEAD "[query a]\nsql=1\n[query b]\nsql=2\n[quick]\nonly=b\noffsets=1\n", TRUE, NULL);
  g_assert_cmpuint (plan->queries->len, ==, 1);
  g_assert_cmpuint (plan->offsets_ns->len, ==, 1);
}

static void
a_wrong_file_is_told_with_its_line (void)
{
  static const struct {
    const char *text, *message;
  } rows[] = {
    { HEAD, "no query" },
    { HEAD "[query a]\n", "y.ini:4: " },
    { HEAD "[query a]\nsql=1\nspeed=2\n", "y.ini:6: no such key 'speed'" },
    { HEAD "[nonsense]\n", "y.ini:4: no such group" },
    { HEAD "[query a]\nsql=1\ndatabase=disk\n", "memory or file" },
    { "[experiment]\noffsets=2;1\n[query a]\nsql=1\n", "ascending" },
    { "[experiment]\noffsets=0\n[query a]\nsql=1\n", "ascending" },
    { "[experiment]\n[query a]\nsql=1\n", "offsets must be" },
    { HEAD "threads=0\n[query a]\nsql=1\n", "y.ini:4: " },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (parse (rows[i].text, FALSE, &error));
    g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, rows[i].message));
  }
}

static void
versions_are_chosen_by_globs (void)
{
  g_autoptr (GtInterruptPlan) all = parse (HEAD "[query a]\nsql=1\n", FALSE, NULL);
  g_assert_true (gt_interrupt_plan_takes (all, "1.5.6"));
  const char *text = HEAD "duckdb=1.5.*;3.*\n[query a]\nsql=1\n[quick]\nduckdb=2.*\n";
  g_autoptr (GtInterruptPlan) some = parse (text, FALSE, NULL);
  g_autoptr (GtInterruptPlan) quick = parse (text, TRUE, NULL);
  g_assert_true (gt_interrupt_plan_takes (some, "1.5.6"));
  g_assert_false (gt_interrupt_plan_takes (some, "2.0.0"));
  g_assert_false (gt_interrupt_plan_takes (quick, "1.5.6"));
  g_assert_true (gt_interrupt_plan_takes (quick, "2.0.0"));
}

static gboolean
add (GtInterruptRun *run, const char *text)
{
  json_t *record = json_loads (text, 0, NULL);
  g_assert_nonnull (record);
  gboolean ok = gt_interrupt_run_add (run, record, NULL);
  json_decref (record);
  return ok;
}

static GtInterruptRun *
begun (void)
{
  GtInterruptRun *run = gt_interrupt_run_new ();
  g_assert_true (add (run, "{\"k\":\"run\",\"kind\":\"interrupt\",\"experiment\":\"e\",\"cpus\":2,"
                           "\"settings\":{\"tolerance\":0.1,\"patience\":4,\"threads\":2}}"));
  g_assert_true (add (run, "{\"k\":\"duckdb\",\"s\":\"1.5.6\"}"));
  g_assert_true (add (run, "{\"k\":\"query\",\"s\":\"q\",\"class\":\"c\"}"));
  return run;
}

/* soft_ns 1000; the other members as given. */
static const GtInterruptTrial *
trial (GtInterruptRun *run, const char *record, const char *numbers)
{
  g_autofree char *text = g_strdup_printf (
      "{\"k\":\"trial\",\"duckdb\":\"1.5.6\",\"s\":\"q\",\"n\":0,\"offset_ns\":500000000,"
      "\"record\":{\"soft_ns\":1000,%s},%s}",
      record, numbers);
  g_assert_true (add (run, text));
  return run->trials->pdata[run->trials->len - 1];
}

#define SAME "\"before\":1,\"after\":1"

static void
each_outcome_is_an_end (void)
{
  g_autoptr (GtInterruptRun) run = begun ();
  const GtInterruptTrial *t;
  t = trial (run, "\"outcome\":\"soft-timeout\",\"interrupted_ns\":1001,\"answered_ns\":3000",
             SAME);
  g_assert_true (t->end == GT_INTERRUPT_END_STOPPED && t->late_ns == 2000 && !t->wrote);
  t = trial (run, "\"outcome\":\"value\",\"interrupted_ns\":null,\"answered_ns\":900", SAME);
  g_assert_true (t->end == GT_INTERRUPT_END_EARLY && t->late_ns == -1);
  t = trial (run, "\"outcome\":\"late-value\",\"interrupted_ns\":1001,\"answered_ns\":1500",
             "\"before\":2,\"after\":1");
  g_assert_true (t->end == GT_INTERRUPT_END_VALUE && t->wrote && !t->misstated);
  t = trial (run,
             "\"outcome\":\"committed\",\"interrupted_ns\":1001,\"answered_ns\":1500,"
             "\"committed\":\"maybe\"",
             "\"before\":2,\"after\":1");
  g_assert_true (t->end == GT_INTERRUPT_END_COMMITTED && !t->misstated);
  t = trial (run,
             "\"outcome\":\"hard-timeout\",\"interrupted_ns\":1001,\"answered_ns\":null,"
             "\"dead_ns\":9000",
             "\"before\":null,\"after\":null");
  g_assert_true (t->end == GT_INTERRUPT_END_KILLED && t->late_ns == 8000 && !t->checked);
  t = trial (run, "\"outcome\":\"died\"", SAME);
  g_assert_true (t->end == GT_INTERRUPT_END_FAILED);
}

static void
a_commit_that_the_record_denies_is_a_fault (void)
{
  g_autoptr (GtInterruptRun) run = begun ();
  const GtInterruptTrial *t
      = trial (run,
               "\"outcome\":\"soft-timeout\",\"interrupted_ns\":1001,\"answered_ns\":3000,"
               "\"committed\":\"no\"",
               "\"before\":1,\"after\":2");
  g_assert_true (t->wrote && t->misstated);
  g_autofree char *text = gt_interrupt_table_text (run, TRUE, FALSE);
  g_assert_nonnull (strstr (text, "a fault"));
  g_assert_nonnull (strstr (text, "check: 1 -> 2"));
  g_assert_nonnull (strstr (text, "stopped 0.0 ms, wrote"));
}

static void
a_wrong_record_is_refused (void)
{
  static const char *const bad[] = {
    "{\"k\":\"run\",\"kind\":\"interrupt\",\"experiment\":\"e\"}",
    "{\"k\":\"duckdb\",\"s\":\"1.5.6\"}",
    "{\"k\":\"query\"}",
    "{\"k\":\"trial\",\"duckdb\":\"1.5.6\",\"s\":\"other\",\"offset_ns\":1,\"record\":{}}",
    "{\"k\":\"trial\",\"duckdb\":\"1.5.6\",\"s\":\"q\",\"offset_ns\":1}",
    "{\"k\":\"nonsense\"}",
    "{}",
  };
  g_autoptr (GtInterruptRun) run = begun ();
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (add (run, bad[i]));
  g_autoptr (GtInterruptRun) empty = gt_interrupt_run_new ();
  g_assert_false (add (empty, "{\"k\":\"duckdb\",\"s\":\"1.5.6\"}"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define TEST(name) g_test_add_func ("/interrupt/" #name, name)
  TEST (a_plan_has_queries_offsets_and_settings);
  TEST (a_quick_run_takes_what_its_group_says);
  TEST (a_wrong_file_is_told_with_its_line);
  TEST (versions_are_chosen_by_globs);
  TEST (each_outcome_is_an_end);
  TEST (a_commit_that_the_record_denies_is_a_fault);
  TEST (a_wrong_record_is_refused);
  return g_test_run ();
}
