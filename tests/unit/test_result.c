#include "celery/result.h"

#include <string.h>

static GtResult *
decode (const char *text)
{
  g_autoptr (GError) error = NULL;
  GtResult *result = gt_result_decode (text, strlen (text), &error);
  g_assert_no_error (error);
  return result;
}

static void
a_success_has_its_result_and_no_exception (void)
{
  g_autoptr (GtResult) r
      = decode ("{\"status\": \"SUCCESS\", \"result\": {\"a\": [5]}, \"traceback\": null, "
                "\"children\": [], \"date_done\": \"2026-11-22T16:02:51.692843+00:00\", "
                "\"task_id\": \"7d47\"}");
  g_assert_cmpstr (r->task_id, ==, "7d47");
  g_assert_cmpstr (r->status, ==, "SUCCESS");
  g_assert_true (r->ready);
  g_assert_true (json_is_array (json_object_get (r->result, "a")));
  g_assert_null (r->exc_type);
  g_assert_null (r->traceback);
  g_assert_nonnull (r->children);
  g_assert_null (r->children[0]);
}

static void
a_failure_has_its_exception_in_parts (void)
{
  g_autoptr (GtResult) r
      = decode ("{\"status\": \"FAILURE\", \"result\": {\"exc_type\": \"ValueError\", "
                "\"exc_message\": [\"bad\", 3, null], \"exc_module\": \"builtins\"}, "
                "\"traceback\": \"Traceback\\n\", \"task_id\": \"t\"}");
  g_assert_true (r->ready);
  g_assert_cmpstr (r->exc_type, ==, "ValueError");
  g_assert_cmpstr (r->exc_module, ==, "builtins");
  g_assert_cmpstr (r->exc_message, ==, "bad, 3, null");
  g_assert_cmpstr (r->traceback, ==, "Traceback\n");
  g_assert_null (r->children);
}

static void
the_least_that_celery_accepts_is_enough (void)
{
  g_autoptr (GtResult) r = decode ("{\"task_id\": \"t\", \"status\": \"STARTED\"}");
  g_assert_false (r->ready);
  g_assert_true (json_is_null (r->result));
  g_autoptr (GtResult) retry
      = decode ("{\"task_id\": \"t\", \"status\": \"RETRY\", \"result\": null}");
  g_assert_false (retry->ready);
  g_autoptr (GtResult) text = decode ("{\"task_id\": \"t\", \"status\": \"REVOKED\", \"result\": "
                                      "{\"exc_type\": \"E\", \"exc_message\": \"m\"}}");
  g_assert_true (text->ready);
  g_assert_cmpstr (text->exc_message, ==, "m");
}

static void
numbers_that_only_python_writes_become_texts (void)
{
  g_autoptr (GtResult) r
      = decode ("{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"result\": [NaN, -Infinity, "
                "123456789012345678901234567890, \"NaN, \\\" -Infinity\", 1.5]}");
  char *text = json_dumps (r->result, JSON_COMPACT);
  g_assert_cmpstr (text, ==,
                   "[\"NaN\",\"-Infinity\",\"123456789012345678901234567890\","
                   "\"NaN, \\\" -Infinity\",1.5]");
  free (text);
}

static void
children_are_found_at_every_level (void)
{
  g_autoptr (GtResult) r = decode (
      "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"result\": 1, \"children\": "
      "[[[\"a\", null], null], [[\"g\", null], [[[\"b\", null], null], [[\"c\", null], null]]]]}");
  g_autofree char *all = g_strjoinv (" ", r->children);
  g_assert_cmpstr (all, ==, "a g b c");
}

static void
a_nul_within_a_text_is_shown_as_such (void)
{
  g_autoptr (GtResult) r = decode ("{\"task_id\": \"t\", \"status\": \"FAILURE\", \"result\": "
                                   "{\"exc_type\": \"E\", \"exc_message\": [\"a\\u0000b\"]}}");
  g_assert_cmpstr (r->exc_message, ==,
                   "a\xEF\xBF\xBD"
                   "b");
}

static void
anything_else_is_an_error (void)
{
  static const char *const broken[] = {
    "",
    "nonsense",
    "{\"task_id\": \"t\", \"status\": \"SUCCESS\"",
    "[]",
    "7",
    "{}",
    "{\"status\": \"SUCCESS\", \"result\": 1}",
    "{\"task_id\": 5, \"status\": \"SUCCESS\"}",
    "{\"task_id\": \"\", \"status\": \"SUCCESS\"}",
    "{\"task_id\": \"t\", \"status\": null}",
    "{\"task_id\": \"t\", \"status\": \"FAILURE\", \"result\": \"text\"}",
    "{\"task_id\": \"t\", \"status\": \"FAILURE\", \"result\": null}",
    "{\"task_id\": \"t\", \"status\": \"FAILURE\", \"result\": {}}",
    "{\"task_id\": \"t\", \"status\": \"FAILURE\", \"result\": {\"exc_type\": 1}}",
    "{\"task_id\":\"t\",\"status\":\"FAILURE\",\"result\":{\"exc_type\":\"E\",\"exc_message\":1}}",
    "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"traceback\": []}",
    "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"children\": {}}",
    "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"children\": [\"a\"]}",
    "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"children\": [[[\"a\", null], 5]]}",
    "{\"task_id\": \"\xff\", \"status\": \"SUCCESS\"}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_result_decode (broken[i], strlen (broken[i]), &error));
    g_assert_nonnull (error);
    g_assert_true (error->domain == GT_CELERY_ERROR);
  }
}

static void
too_deep_is_an_error_and_no_crash (void)
{
  const gsize levels = 200000;
  GString *deep = g_string_new ("{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"result\": ");
  for (gsize i = 0; i < levels; i++)
    g_string_append_c (deep, '[');
  g_autoptr (GError) error = NULL;
  g_assert_null (gt_result_decode (deep->str, deep->len, &error));
  g_assert_nonnull (error);
  g_string_truncate (deep, 0);
  g_string_append (deep, "{\"task_id\": \"t\", \"status\": \"SUCCESS\", \"children\": ");
  for (gsize i = 0; i < 100; i++)
    g_string_append (deep, "[[[\"a\", null], ");
  g_string_append (deep, "null");
  for (gsize i = 0; i < 100; i++)
    g_string_append (deep, "]]");
  g_string_append_c (deep, '}');
  g_autoptr (GError) children = NULL;
  g_assert_null (gt_result_decode (deep->str, deep->len, &children));
  g_assert_error (children, GT_CELERY_ERROR, GT_CELERY_ERROR_TOO_BIG);
  g_string_free (deep, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/result/success", a_success_has_its_result_and_no_exception);
  g_test_add_func ("/result/failure", a_failure_has_its_exception_in_parts);
  g_test_add_func ("/result/least", the_least_that_celery_accepts_is_enough);
  g_test_add_func ("/result/python-numbers", numbers_that_only_python_writes_become_texts);
  g_test_add_func ("/result/children", children_are_found_at_every_level);
  g_test_add_func ("/result/nul", a_nul_within_a_text_is_shown_as_such);
  g_test_add_func ("/result/broken", anything_else_is_an_error);
  g_test_add_func ("/result/deep", too_deep_is_an_error_and_no_crash);
  return g_test_run ();
}
