#include "lab/error.h"
#include "lab/tools_plan.h"

#include <string.h>

#define TOOL_A "[tool a]\ncommand = timeout {seconds} {command}\ntimed-out = 124\n"
#define TOOL_B                                                                                     \
  "[tool b]\ncommand = sh -c 'x  y' -k={grace} {seconds} {command} end\n"                          \
  "needs = sh;b\ntimed-out = 124; 137\nnot-found = any\nseconds = 1\ngrace = 0.5\n"

static GtToolPlan *
parse (const char *text, gboolean quick, const char *const *only, GError **error)
{
  return gt_tool_plan_parse ("dir/t.ini", text, strlen (text), quick, only, error);
}

static const GtTool *
tool (const GtToolPlan *plan, guint i)
{
  return plan->tools->pdata[i];
}

static void
assert_refused (const char *text, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (parse (text, FALSE, NULL, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' is not in '%s'", expected, error->message);
}

static void
tools_are_rows_with_what_they_do_not_say_from_above (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtToolPlan) plan
      = parse ("[experiment]\ntitle = x\nseconds = 0.3\n" TOOL_A TOOL_B, FALSE, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (plan->name, ==, "t");
  g_assert_cmpuint (plan->tools->len, ==, 2);
  g_assert_cmpstr (tool (plan, 0)->name, ==, "a");
  g_assert_cmpfloat (tool (plan, 0)->seconds, ==, 0.3);
  g_assert_cmpfloat (tool (plan, 0)->grace, ==, 0);
  g_assert_cmpstr (tool (plan, 0)->needs[0], ==, "timeout");
  g_assert_cmpstr (tool (plan, 0)->not_found, ==, "127");
  g_assert_cmpfloat (tool (plan, 1)->seconds, ==, 1);
  g_assert_cmpfloat (tool (plan, 1)->grace, ==, 0.5);
  g_assert_cmpstr (tool (plan, 1)->needs[1], ==, "b");
  for (guint i = 0; i < plan->cases->len; i++)
    g_assert_true (plan->cases->pdata[i] == gt_tool_case (i));
  g_assert_null (gt_tool_case (plan->cases->len));
}

static void
placeholders_become_words_and_parts_of_words (void)
{
  g_autoptr (GtToolPlan) plan = parse (TOOL_B, FALSE, NULL, NULL);
  const char *const command[] = { "a b", "{seconds}", NULL };
  const GtToolPlaces places = { "/g", "/d", "/p" };
  g_auto (GStrv) argv = gt_tool_argv (tool (plan, 0), &places, 0.25, command);
  g_autofree char *joined = g_strjoinv ("|", argv);
  g_assert_cmpstr (joined, ==, "sh|-c|x  y|-k=0.5|0.25|a b|{seconds}|end");
}

static void
quick_and_only_choose_tools_and_cases (void)
{
  const char *text = "[experiment]\ncases=exit-*\n" TOOL_A TOOL_B
                     "[quick]\nonly=b\ncases=setsid;exit-1\nstarts=3\n";
  const char *const only[] = { "a", NULL };
  g_autoptr (GtToolPlan) whole = parse (text, FALSE, NULL, NULL);
  g_autoptr (GtToolPlan) quick = parse (text, TRUE, NULL, NULL);
  g_autoptr (GtToolPlan) named = parse (text, TRUE, only, NULL);
  g_assert_cmpuint (whole->tools->len, ==, 2);
  g_assert_cmpuint (whole->cases->len, ==, 3);
  g_assert_cmpfloat (whole->settings[GT_TOOL_SETTING_STARTS], ==, 20);
  g_assert_cmpuint (quick->tools->len, ==, 1);
  g_assert_cmpstr (tool (quick, 0)->name, ==, "b");
  g_assert_cmpuint (quick->cases->len, ==, 2);
  g_assert_cmpfloat (quick->settings[GT_TOOL_SETTING_STARTS], ==, 3);
  /* Who names tools wants those. */
  g_assert_cmpstr (tool (named, 0)->name, ==, "a");
}

static void
what_cannot_be_used_is_named_with_its_line (void)
{
  assert_refused ("[tool a]\ntimed-out=1\n", "t.ini:1: [tool a] needs a command");
  assert_refused ("[tool a]\ncommand = x {command}\ntimed-out=1\n",
                  "t.ini:2: the command needs {seconds}");
  assert_refused ("[tool a]\ncommand = x {seconds} -{command}\ntimed-out=1\n",
                  "as a word of its own");
  assert_refused ("[tool a]\ncommand = 'x {seconds} {command}\ntimed-out=1\n", "t.ini:2:");
  assert_refused ("[tool a]\ncommand = x {seconds} {command}\n", "needs timed-out");
  assert_refused ("[tool a]\ncommand = x {seconds} {command}\ntimed-out = 256\n",
                  "t.ini:3: timed-out must be");
  assert_refused ("[tool a]\ncommand = x {seconds} {command}\ntimed-out = 1;x\n", "not '1;x'");
  assert_refused (TOOL_A "[experiment]\nseconds = 99\n", "t.ini:5: seconds must be a number");
  assert_refused (TOOL_A "[experiment]\nrepeat = 1.5\n", "whole number");
  assert_refused (TOOL_A "nonsense = 1\n", "no such key 'nonsense'");
  assert_refused (TOOL_A "[subject x]\n", "no such group [subject x]");
  assert_refused (TOOL_A "[experiment]\ncases = zzz*\n", "known: exit-0");
  assert_refused ("[experiment]\nkind = run-tools\n", "no tool");
}

static void
codes_are_a_list_or_any_but_success (void)
{
  GtToolCodes codes;
  g_assert_true (gt_tool_codes_parse ("0; 255", &codes));
  g_assert_true (gt_tool_codes_have (&codes, 0) && gt_tool_codes_have (&codes, 255));
  g_assert_false (gt_tool_codes_have (&codes, 1) || gt_tool_codes_have (&codes, -1)
                  || gt_tool_codes_have (&codes, 256));
  g_assert_true (gt_tool_codes_parse ("any", &codes));
  g_assert_false (gt_tool_codes_have (&codes, 0));
  g_assert_true (gt_tool_codes_have (&codes, 1) && gt_tool_codes_have (&codes, 255));
  g_assert_false (gt_tool_codes_parse ("", &codes) || gt_tool_codes_parse ("1;", &codes)
                  || gt_tool_codes_parse ("-1", &codes));
}

static void
cases_of_a_column_stand_together_under_names_of_their_own (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) columns = g_hash_table_new (g_str_hash, g_str_equal);
  const char *last = "";
  for (guint i = 0; gt_tool_case (i) != NULL; i++) {
    const GtToolCase *tested = gt_tool_case (i);
    g_assert_true (g_hash_table_add (names, (gpointer) tested->name));
    g_assert_true (gt_tool_case_by_name (tested->name) == tested);
    if (strcmp (tested->column, last) != 0)
      g_assert_true (g_hash_table_add (columns, (gpointer) tested->column));
    last = tested->column;
  }
  g_assert_null (gt_tool_case_by_name ("no such case"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tools-plan/rows", tools_are_rows_with_what_they_do_not_say_from_above);
  g_test_add_func ("/tools-plan/argv", placeholders_become_words_and_parts_of_words);
  g_test_add_func ("/tools-plan/choice", quick_and_only_choose_tools_and_cases);
  g_test_add_func ("/tools-plan/errors", what_cannot_be_used_is_named_with_its_line);
  g_test_add_func ("/tools-plan/codes", codes_are_a_list_or_any_but_success);
  g_test_add_func ("/tools-plan/cases", cases_of_a_column_stand_together_under_names_of_their_own);
  return g_test_run ();
}
