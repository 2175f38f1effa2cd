#include "executor/sql_text.h"

#include <string.h>

static void
test_verbs (void)
{
  static const struct {
    const char *sql;
    GtVerb verb;
  } cases[] = {
    { "begin", GT_VERB_BEGIN },
    { "START TRANSACTION", GT_VERB_BEGIN },
    { " -- commit\n /* begin /* nested */ */ Commit", GT_VERB_COMMIT },
    { "end transaction", GT_VERB_COMMIT },
    { "ROLLBACK", GT_VERB_ROLLBACK },
    { "abort", GT_VERB_ROLLBACK },
    { "committed", GT_VERB_OTHER },
    { "", GT_VERB_OTHER },
    { "/* not closed", GT_VERB_OTHER },
    { "/* not closed /", GT_VERB_OTHER },
    { "/* a //* b */ */ commit", GT_VERB_COMMIT },
    { "'commit'", GT_VERB_OTHER },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpint (gt_sql_verb (cases[i].sql), ==, cases[i].verb);
}

static void
test_targets_that_are_certain (void)
{
  static const struct {
    const char *sql, *path, *moved;
  } cases[] = {
    { "copy t to 'a.csv'", "a.csv", "copy t to '/new'" },
    { "COPY (select 'to ''x''' from t) TO 'it''s.csv' (header)", "it's.csv",
      "COPY (select 'to ''x''' from t) TO '/new' (header)" },
    { "/* to 'x' */copy \"to\" -- to 'y'\nto/**/'/a/b' (format parquet) -- end", "/a/b",
      "/* to 'x' */copy \"to\" -- to 'y'\nto/**/'/new' (format parquet) -- end" },
    { "copy t (a, b) to 'x'", "x", "copy t (a, b) to '/new'" },
    { "copy (select to_days(1), (1)) to 'x'", "x", "copy (select to_days(1), (1)) to '/new'" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (GtCopyTarget) target = { 0 };
    g_assert_true (gt_sql_copy_target (cases[i].sql, &target));
    g_assert_cmpstr (target.path, ==, cases[i].path);
    g_autofree char *moved = gt_sql_copy_elsewhere (cases[i].sql, &target, "/new");
    g_assert_cmpstr (moved, ==, cases[i].moved);
  }
}

static void
test_paths_whatever_the_options (void)
{
  static const struct {
    const char *sql, *path;
  } cases[] = {
    { "copy t to '/dev/stdout'", "/dev/stdout" },
    { "copy (select 1) to \"/dev/fd/1\" with (format csv)", "/dev/fd/1" },
    { "copy t to 'it''s' (append)", "it's" },
    { "COPY t TO Stdout", "/dev/stdout" },
    { "copy t to STDIN", "/dev/stdin" },
    { "copy t to stdoutx", NULL },
    { "copy t to $1", NULL },
    { "copy t from '/dev/stdin'", NULL },
    { "select 'copy t to x'", NULL },
    { "copy t to 'not closed", NULL },
    { "", NULL },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = gt_sql_copy_path (cases[i].sql);
    g_assert_cmpstr (path, ==, cases[i].path);
  }
}

static void
test_targets_that_are_left_alone (void)
{
  static const char *const cases[] = {
    "",
    "copy",
    "select 1",
    "copy t from 'a.csv'",
    "copy t to",
    "copy t to stdout",
    "copy t to ''",
    "copy t to 'not closed",
    "copy t to E'a\\n'",
    "copy t to $$a$$",
    "copy (select $$) to 'x'$$) to 'y'",
    "copy t to 's3://bucket/a.csv'",
    "copy t to '/dev/stdout'",
    "copy t to '/proc/self/fd/1'",
    "copy t to 'folder/'",
    "copy t to 'a' || 'b'",
    "copy t to 'a' (partition_by (x))",
    "copy t to 'a' (FORMAT csv, Per_Thread_Output true)",
    "copy t to 'a' (append)",
    "copy t to $1",
    "copyt to 'a'",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GtCopyTarget target;
    g_assert_false (gt_sql_copy_target (cases[i], &target));
    g_assert_null (target.path);
  }
}

static void
test_quotes (void)
{
  g_autofree char *quoted = gt_sql_quote ("it's 'x'");
  g_assert_cmpstr (quoted, ==, "'it''s ''x'''");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sql_text/transaction_verbs", test_verbs);
  g_test_add_func ("/sql_text/copy_targets_that_are_certain", test_targets_that_are_certain);
  g_test_add_func ("/sql_text/copy_paths_whatever_the_options", test_paths_whatever_the_options);
  g_test_add_func ("/sql_text/copy_targets_that_are_left_alone", test_targets_that_are_left_alone);
  g_test_add_func ("/sql_text/quotes", test_quotes);
  return g_test_run ();
}
