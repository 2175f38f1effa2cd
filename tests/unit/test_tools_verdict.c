#include "lab/error.h"
#include "lab/tools_table.h"

#include <string.h>

#define MS G_GINT64_CONSTANT (1000000)

enum { LIMIT_MS = 200, GRACE_MS = 300 };

static const double settings[GT_N_TOOL_SETTINGS] = {
#define X(id, key, default_value, least, most, whole) [GT_TOOL_SETTING_##id] = (default_value),
  GT_TOOL_SETTINGS (X)
#undef X
};

static GtToolSeries
patient_tool (void)
{
  GtToolSeries tool = { .grace_ns = GRACE_MS * MS };
  gt_tool_codes_parse ("124;137", &tool.timed_out);
  gt_tool_codes_parse ("127", &tool.not_found);
  gt_tool_codes_parse ("126", &tool.not_executable);
  return tool;
}

/* A trial of the case in which everything was over `over_ms` after the tool's start. */
static GtToolTrial
trial_of (const char *name, gint64 over_ms, int code)
{
  const GtToolCase *tested = gt_tool_case_by_name (name);
  g_assert_nonnull (tested);
  return (GtToolTrial){ .tested = tested,
                        .limit_ns = LIMIT_MS * MS,
                        .start_ns = 1000 * MS,
                        .begin_ns = tested->act != NULL ? 1001 * MS : 0,
                        .ready_ns = 1002 * MS,
                        .told_ns = (1000 + over_ms) * MS,
                        .dead_ns = tested->act != NULL ? (1000 + over_ms) * MS - 1 : 0,
                        .piped_ns = (1000 + over_ms) * MS,
                        .code = code };
}

static guint
judge (const GtToolTrial *trial)
{
  const GtToolSeries tool = patient_tool ();
  return gt_tool_judge (&tool, trial, settings);
}

#define assert_faults(trial, expected) g_assert_cmphex (judge (&(trial)), ==, (expected))
#define FAULT(id)                      (1u << GT_TOOL_FAULT_##id)

static void
a_promise_that_was_kept_has_no_fault (void)
{
  const struct {
    const char *name;
    gint64 over_ms;
    int code;
  } rows[] = {
    { "exit-0", 1, 0 },          { "exit-42", 1, 42 },         { "signal", 1, 138 },
    { "not-found", 1, 127 },     { "not-executable", 1, 126 }, { "wait", LIMIT_MS, 124 },
    { "setsid", LIMIT_MS, 137 }, { "leftovers", 1, 0 },        { "pipe", 1, 0 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    GtToolTrial trial = trial_of (rows[i].name, rows[i].over_ms, rows[i].code);
    g_test_message ("%s", rows[i].name);
    assert_faults (trial, 0);
  }
}

static void
a_tool_that_does_not_come_back_hangs_whatever_else (void)
{
  GtToolTrial trial = trial_of ("setsid", LIMIT_MS, -1);
  trial.told_ns = 0;
  trial.survivors = 2;
  assert_faults (trial, FAULT (HUNG));
}

static void
survivors_are_the_command_s_or_the_tool_s_own (void)
{
  GtToolTrial trial = trial_of ("daemon", LIMIT_MS, 124);
  trial.survivors = 1;
  assert_faults (trial, FAULT (HELPER));
  trial.dead_ns = 0;
  assert_faults (trial, FAULT (SURVIVED));
}

static void
lateness_is_that_of_the_last_and_a_grace_is_promised_where_it_is_needed (void)
{
  const gint64 tolerance_ms = gt_tool_setting_ns (settings, GT_TOOL_SETTING_TOLERANCE) / MS;
  GtToolTrial soft = trial_of ("wait", LIMIT_MS + tolerance_ms + 1, 124);
  GtToolTrial hard = trial_of ("ignores-term", LIMIT_MS + GRACE_MS + tolerance_ms, 137);
  assert_faults (soft, FAULT (LATE));
  assert_faults (hard, 0);
  hard.told_ns += 2 * MS;
  assert_faults (hard, FAULT (LATE));
  /* Told in time, but dead later. */
  GtToolTrial dead_later = trial_of ("wait", LIMIT_MS, 124);
  dead_later.dead_ns = dead_later.told_ns + (tolerance_ms + 1) * MS;
  assert_faults (dead_later, FAULT (LATE));
}

static void
a_limit_that_fires_too_soon_is_early_and_a_wrong_code_is_wrong (void)
{
  GtToolTrial early = trial_of ("wait", LIMIT_MS - 5, 124);
  GtToolTrial code = trial_of ("exit-1", 1, 2);
  assert_faults (early, FAULT (EARLY));
  assert_faults (code, FAULT (CODE));
}

static void
a_held_pipe_counts_where_the_case_is_about_it (void)
{
  GtToolTrial trial = trial_of ("pipe", 1, 0);
  trial.piped_ns = trial.dead_ns = 0;
  trial.survivors = 1;
  assert_faults (trial, FAULT (PIPE) | FAULT (SURVIVED));
  GtToolTrial other = trial_of ("leftovers", 1, 0);
  other.piped_ns = 0;
  assert_faults (other, 0);
}

static void
a_case_that_did_not_take_place_is_broken (void)
{
  GtToolTrial absent = trial_of ("wait", LIMIT_MS, 124);
  absent.begin_ns = absent.dead_ns = absent.ready_ns = 0;
  assert_faults (absent, FAULT (BROKEN));
  GtToolTrial unsent = trial_of ("tool-killed", 1, 137);
  assert_faults (unsent, FAULT (BROKEN));
}

static void
after_a_signal_to_the_tool_all_is_over_soon (void)
{
  GtToolTrial killed = trial_of ("tool-killed", 50, 137);
  killed.signal_ns = 1040 * MS;
  assert_faults (killed, 0);
  killed.dead_ns = (1040 + 150) * MS;
  assert_faults (killed, FAULT (LATE));
  GtToolTrial ended = trial_of ("tool-terminated", 50, 0);
  ended.signal_ns = 1040 * MS;
  assert_faults (ended, FAULT (CODE));
}

/* --- from records --------------------------------------------------------------------------- */

static void
add (GtToolRun *run, const char *text)
{
  g_autoptr (GError) error = NULL;
  json_t *record = json_loads (text, 0, NULL);
  g_assert_nonnull (record);
  g_assert_true (gt_tool_run_add (run, record, &error));
  g_assert_no_error (error);
  json_decref (record);
}

#define TRIAL(name, told, dead, alive)                                                             \
  "{\"k\":\"trial\",\"s\":\"t\",\"case\":\"" name "\",\"n\":0,\"said\":null,"                      \
  "\"limit_ns\":200000000,\"start_ns\":1000000000,\"begin_ns\":1001000000,"                        \
  "\"ready_ns\":1001000000,\"signal_ns\":0,\"told_ns\":" told ",\"dead_ns\":" dead                 \
  ",\"piped_ns\":1,\"over_ns\":1,\"code\":124,\"survivors\":" alive "}"

static GtToolRun *
small_run (void)
{
  GtToolRun *run = gt_tool_run_new ();
  add (run, "{\"k\":\"run\",\"kind\":\"run-tools\",\"experiment\":\"e\",\"cpus\":2,\"settings\":"
            "{\"tolerance\":0.1,\"settle\":0.1,\"seconds\":0.2}}");
  add (run, "{\"k\":\"tool\",\"s\":\"t\",\"command\":\"c\",\"timed-out\":\"124\",\"not-found\":"
            "\"127\",\"not-executable\":\"126\",\"grace_ns\":0}");
  add (run, "{\"k\":\"tool\",\"s\":\"u\",\"command\":\"c\",\"timed-out\":\"1\",\"not-found\":"
            "\"1\",\"not-executable\":\"1\",\"grace_ns\":0}");
  add (run, "{\"k\":\"skip\",\"s\":\"u\",\"why\":\"u is not installed\"}");
  for (int i = 1; i <= 3; i++) {
    g_autofree char *start = g_strdup_printf (
        "{\"k\":\"start\",\"s\":\"t\",\"bare_ns\":1000000,\"tool_ns\":%d000000}", 1 + i);
    add (run, start);
  }
  add (run, TRIAL ("wait", "1203000000", "1202000000", "0"));
  add (run, TRIAL ("child", "1201000000", "1202000000", "0"));
  add (run, TRIAL ("setsid", "1201000000", "0", "1"));
  add (run, "{\"k\":\"final\",\"left\":0,\"interrupted\":false}");
  return run;
}

static void
figures_come_from_the_records (void)
{
  g_autoptr (GtToolRun) run = small_run ();
  GtToolFigures figures;
  gt_tool_figures (run, run->tools->pdata[0], &figures);
  g_assert_cmpuint (figures.n_trials, ==, 3);
  g_assert_cmpuint (figures.n_failed, ==, 1);
  g_assert_cmpint (figures.survivors, ==, 1);
  g_assert_cmpuint (figures.n_late, ==, 2);
  g_assert_cmpint (figures.late_p50_ns, ==, 3 * MS);
  g_assert_cmpint (figures.late_max_ns, ==, 3 * MS);
  g_assert_cmpint (figures.start_p50_ns, ==, 2 * MS);
  gt_tool_figures (run, run->tools->pdata[1], &figures);
  g_assert_cmpint (figures.late_p50_ns, ==, G_MININT64);
  g_assert_true (run->complete);
}

static void
the_table_shows_the_fault_what_it_means_and_what_was_skipped (void)
{
  g_autoptr (GtToolRun) run = small_run ();
  g_autofree char *text = gt_tool_table_text (run, TRUE, FALSE);
  const char *const expected[] = {
    "tool                  wait child setsid late p50",
    "t                     .    .     S          3.00     3.00     2.00     1    2/3\n",
    "S processes of the command were alive after the tool had ended\n",
    "u is not installed",
    "t                     setsid          survived, code 124, 1 alive\n",
    "Kept every promise: none.",
  };
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    if (strstr (text, expected[i]) == NULL)
      g_error ("'%s' is not in:\n%s", expected[i], text);
  g_assert_null (strstr (text, "L the command's"));
  json_t *json = gt_tool_table_json (run);
  g_assert_nonnull (json);
  json_decref (json);
}

static void
a_record_that_makes_no_sense_is_refused (void)
{
  const char *const wrong[] = {
    "{\"k\":\"trial\",\"s\":\"t\",\"case\":\"no such case\"}",
    "{\"k\":\"trial\",\"s\":\"t\",\"case\":\"wait\",\"n\":0}",
    "{\"k\":\"trial\",\"s\":\"nobody\",\"case\":\"wait\"}",
    "{\"k\":\"tool\",\"s\":\"t\"}",
    "{\"k\":\"start\",\"s\":\"t\",\"bare_ns\":0,\"tool_ns\":1}",
    "{\"k\":\"skip\",\"s\":\"u\",\"why\":\"again\"}",
    "{\"k\":\"sample\"}",
    "{}",
    "{\"k\":\"run\",\"kind\":\"run-tools\",\"experiment\":\"twice\"}",
  };
  g_autoptr (GtToolRun) run = small_run ();
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    json_t *record = json_loads (wrong[i], 0, NULL);
    g_test_message ("%s", wrong[i]);
    g_assert_false (gt_tool_run_add (run, record, &error));
    g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
    json_decref (record);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tools-verdict/kept", a_promise_that_was_kept_has_no_fault);
  g_test_add_func ("/tools-verdict/hung", a_tool_that_does_not_come_back_hangs_whatever_else);
  g_test_add_func ("/tools-verdict/survivors", survivors_are_the_command_s_or_the_tool_s_own);
  g_test_add_func ("/tools-verdict/late",
                   lateness_is_that_of_the_last_and_a_grace_is_promised_where_it_is_needed);
  g_test_add_func ("/tools-verdict/early",
                   a_limit_that_fires_too_soon_is_early_and_a_wrong_code_is_wrong);
  g_test_add_func ("/tools-verdict/pipe", a_held_pipe_counts_where_the_case_is_about_it);
  g_test_add_func ("/tools-verdict/broken", a_case_that_did_not_take_place_is_broken);
  g_test_add_func ("/tools-verdict/signal", after_a_signal_to_the_tool_all_is_over_soon);
  g_test_add_func ("/tools-verdict/figures", figures_come_from_the_records);
  g_test_add_func ("/tools-verdict/table",
                   the_table_shows_the_fault_what_it_means_and_what_was_skipped);
  g_test_add_func ("/tools-verdict/records", a_record_that_makes_no_sense_is_refused);
  return g_test_run ();
}
