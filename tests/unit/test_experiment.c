#include "lab/error.h"
#include "lab/experiment.h"

#include <string.h>

static GtExperiment *
parse (const char *text, gboolean quick, GError **error)
{
  return gt_experiment_parse ("t", "t.ini", text, strlen (text), quick, error);
}

static const GtSubject *
subject (const GtExperiment *e, guint i)
{
  return e->subjects->pdata[i];
}

static void
assert_refused (const char *text, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (parse (text, FALSE, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' is not in '%s'", expected, error->message);
}

static void
a_matrix_is_every_combination_once (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtExperiment) e = parse ("[experiment]\ntitle = x\n[matrix a]\nruntime = gil;nogil\n"
                                      "strategy = signals;process;clean\nstart=fork;spawn\n",
                                      FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (e->subjects->len, ==, 12);
  g_assert_cmpstr (subject (e, 0)->name, ==, "gil-signals-fork-capi");
  g_assert_cmpstr (subject (e, 11)->name, ==, "nogil-clean-spawn-capi");
  g_assert_cmpfloat (subject (e, 0)->settings[GT_SETTING_TIMEOUT], ==, 0.5);
}

static void
names_show_what_is_not_usual (void)
{
  g_autoptr (GtExperiment) e
      = parse ("[experiment]\n[matrix a]\npool=prefork\n[matrix b]\nsigterm=default\n[matrix c]\n"
               "query=select {rows}; select 1\n[subject mine]\nruntime=nogil\n"
               "[matrix d]\nreaper=worker\norphan=yes\n",
               FALSE, NULL);
  g_assert_cmpstr (subject (e, 0)->name, ==, "gil-process-fork-capi-prefork");
  g_assert_cmpstr (subject (e, 1)->name, ==, "gil-process-fork-capi-nohandler");
  g_assert_cmpstr (subject (e, 2)->name, ==, "gil-process-fork-capi-sql");
  g_assert_cmpstr (subject (e, 2)->factors[GT_FACTOR_QUERY], ==, "select {rows}; select 1");
  g_assert_cmpstr (subject (e, 3)->name, ==, "mine");
  g_assert_cmpstr (subject (e, 4)->name, ==, "gil-process-fork-capi-pid1-orphan");
}

static void
the_nearest_group_wins_and_quick_over_all (void)
{
  const char *text = "[experiment]\niterations=7\ntimeout=2\n[subject a]\ntimeout=3\n[subject b]\n"
                     "[quick]\ntimeout=0.25\nonly=b\n";
  g_autoptr (GtExperiment) slow = parse (text, FALSE, NULL);
  g_assert_cmpfloat (subject (slow, 0)->settings[GT_SETTING_TIMEOUT], ==, 3);
  g_assert_cmpfloat (subject (slow, 1)->settings[GT_SETTING_TIMEOUT], ==, 2);
  g_assert_cmpfloat (subject (slow, 1)->settings[GT_SETTING_ITERATIONS], ==, 7);
  g_autoptr (GtExperiment) quick = parse (text, TRUE, NULL);
  g_assert_cmpuint (quick->subjects->len, ==, 1);
  g_assert_cmpstr (subject (quick, 0)->name, ==, "b");
  g_assert_cmpfloat (subject (quick, 0)->settings[GT_SETTING_TIMEOUT], ==, 0.25);
}

static void
errors_name_the_file_and_the_line (void)
{
  assert_refused ("[experiment]\n# fine\n\nnonsense\n", "t.ini:4: ");
  assert_refused ("key = before any group\n", "t.ini:1: ");
  assert_refused ("[experiment]\n[unclosed\n", "t.ini:2: ");
  assert_refused ("[experiment]\n= 3\n", "t.ini:2: ");
  assert_refused ("[experiment]\n[subject a]\nruntme = gil\n", "t.ini:3: no such key 'runtme'");
  assert_refused ("[experiment]\n[subject a]\nruntime = pypy\n",
                  "t.ini:3: runtime cannot be 'pypy'");
  assert_refused ("[experiment]\n[subject a]\nruntime = gil;nogil\n", "t.ini:3: ");
  assert_refused ("[experiment]\niterations = 1.5\n[subject a]\n", "t.ini:2: iterations must be");
  assert_refused ("[experiment]\ntimeout = -1\n[subject a]\n", "t.ini:2: timeout must be");
  assert_refused ("[experiment]\ntimeout = nan\n[subject a]\n", "t.ini:2: timeout must be");
  assert_refused ("[experiment]\n[surprise]\n", "t.ini:2: no such group");
  assert_refused ("[experiment]\n[subject a]\nonly = b\n", "t.ini:3: no such key 'only'");
  assert_refused ("[experiment]\n", "no [matrix NAME]");
  assert_refused ("[subject a]\n", "no [experiment]");
  assert_refused ("[experiment]\n[matrix a]\n[matrix b]\n", "there twice");
  assert_refused ("[experiment]\n[subject a]\nquery = no rows in it\n", "t.ini:3: query cannot be");
}

static void
text_with_a_nul_is_refused (void)
{
  static const char text[] = "[experiment]\n\0[subject a]\n";
  g_autoptr (GError) error = NULL;
  g_assert_null (gt_experiment_parse ("t", "t.ini", text, sizeof text - 1, FALSE, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
}

static void
filters_keep_what_matches_any_glob (void)
{
  const char *const globs[] = { "a*", "c", NULL }, *const none[] = { "zzz", NULL };
  const char *text = "[experiment]\n[subject a1]\n[subject b]\n[subject c]\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (GtExperiment) e = parse (text, FALSE, NULL);
  g_assert_true (gt_experiment_filter (e, NULL, NULL));
  g_assert_cmpuint (e->subjects->len, ==, 3);
  g_assert_true (gt_experiment_filter (e, globs, NULL));
  g_assert_cmpuint (e->subjects->len, ==, 2);
  g_assert_cmpstr (subject (e, 1)->name, ==, "c");
  g_assert_false (gt_experiment_filter (e, none, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
}

static void
distance_counts_the_factors_that_differ (void)
{
  g_autoptr (GtExperiment) e
      = parse ("[experiment]\n[subject a]\n[subject b]\nstart=spawn\n[subject c]\nstart=spawn\n"
               "pool=prefork\n",
               FALSE, NULL);
  GtFactor which = GT_N_FACTORS;
  g_assert_cmpuint (gt_subject_distance (subject (e, 0), subject (e, 0), NULL), ==, 0);
  g_assert_cmpuint (gt_subject_distance (subject (e, 0), subject (e, 1), &which), ==, 1);
  g_assert_cmpint (which, ==, GT_FACTOR_START);
  g_assert_cmpuint (gt_subject_distance (subject (e, 0), subject (e, 2), NULL), ==, 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/experiment/matrix", a_matrix_is_every_combination_once);
  g_test_add_func ("/experiment/names", names_show_what_is_not_usual);
  g_test_add_func ("/experiment/overlay", the_nearest_group_wins_and_quick_over_all);
  g_test_add_func ("/experiment/errors", errors_name_the_file_and_the_line);
  g_test_add_func ("/experiment/nul", text_with_a_nul_is_refused);
  g_test_add_func ("/experiment/filter", filters_keep_what_matches_any_glob);
  g_test_add_func ("/experiment/distance", distance_counts_the_factors_that_differ);
  return g_test_run ();
}
