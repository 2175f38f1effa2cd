#include "deadline/outcome.h"

#include <jansson.h>
#include <string.h>

static void
every_outcome_has_a_row_and_is_found_by_its_name (void)
{
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++) {
    const GtOutcomeInfo *info = gt_outcome_info ((GtOutcome) i);
    GtOutcome found;
    g_assert_true (gt_outcome_by_name (info->name, &found));
    g_assert_cmpuint (found, ==, i);
    g_assert_cmpint (info->exit_code, >=, 0);
    g_assert_cmpint (info->exit_code, <, 138);
    g_assert_true (g_ascii_islower (info->text[0]));
    g_assert_false (g_str_has_suffix (info->text, "."));
  }
  GtOutcome none;
  g_assert_false (gt_outcome_by_name ("no-such-outcome", &none));
}

static void
no_two_outcomes_share_an_exit_code (void)
{
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++)
    for (guint j = 0; j < i; j++)
      g_assert_cmpint (gt_outcome_info ((GtOutcome) i)->exit_code, !=,
                       gt_outcome_info ((GtOutcome) j)->exit_code);
}

/* An outcome without an answer that is not an exception would be silent in Celery and Python. */
static void
whatever_is_no_value_raises_something (void)
{
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++) {
    const GtOutcomeInfo *info = gt_outcome_info ((GtOutcome) i);
    gboolean value = i == GT_OUTCOME_VALUE || i == GT_OUTCOME_LATE_VALUE;
    g_assert_true ((info->python_exception == NULL) == value);
    g_assert_true ((info->celery_exception == NULL) == (value || i == GT_OUTCOME_ERROR));
    if (info->celery_exception != NULL)
      g_assert_nonnull (strchr (info->celery_exception, '.'));
  }
}

static void
only_what_was_never_begun_is_safe_to_retry (void)
{
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++)
    g_assert_true ((gt_outcome_info ((GtOutcome) i)->retry == GT_RETRY_SAFE)
                   == (i == GT_OUTCOME_LOST));
}

static json_t *
parse (const GtOutcomeRecord *record)
{
  g_autofree char *text = gt_outcome_record_json (record);
  g_assert_null (strchr (text, '\n'));
  json_t *object = json_loads (text, 0, NULL);
  g_assert_nonnull (object);
  return object;
}

static void
an_empty_record_has_every_field_as_null (void)
{
  g_auto (GtOutcomeRecord) record;
  gt_outcome_record_init (&record);
  json_t *object = parse (&record);
#define X(kind, name)                                                                              \
  g_assert_nonnull (json_object_get (object, #name));                                              \
  if (strcmp (#kind, "BOOL") != 0)                                                                 \
    g_assert_true (json_is_null (json_object_get (object, #name)));
  GT_OUTCOME_RECORD_FIELDS (X)
#undef X
  g_assert_cmpstr (json_string_value (json_object_get (object, "outcome")), ==, "value");
  g_assert_cmpstr (json_string_value (json_object_get (object, "reason")), ==, "answer");
  json_decref (object);
}

static void
a_message_of_any_bytes_is_still_json (void)
{
  g_auto (GtOutcomeRecord) record;
  gt_outcome_record_init (&record);
  record.message = g_strdup ("a \"quote\"\n and \xff\xfe bytes");
  record.was_stopped = TRUE;
  record.peak_memory_bytes = 0;
  json_t *object = parse (&record);
  g_assert_true (g_str_has_prefix (json_string_value (json_object_get (object, "message")),
                                   "a \"quote\"\n and "));
  g_assert_true (json_is_true (json_object_get (object, "was_stopped")));
  g_assert_cmpint (json_integer_value (json_object_get (object, "peak_memory_bytes")), ==, 0);
  json_decref (object);
}

static void
overshoot_counts_from_the_limit_that_ended_it (void)
{
  g_auto (GtOutcomeRecord) record;
  gt_outcome_record_init (&record);
  record.started_ns = 100;
  record.soft_ns = 1000;
  record.asked_ns = 2000;
  record.dead_ns = 2010;
  record.reaped_ns = 2015;
  record.told_ns = 2020;
  record.reason = GT_REASON_DEADLINE_HARD;
  gt_outcome_record_finish (&record);
  g_assert_cmpint (record.overshoot_ns, ==, 20);
  g_assert_cmpint (record.wall_ns, ==, 1910);
  record.reason = GT_REASON_DEADLINE_SOFT;
  gt_outcome_record_finish (&record);
  g_assert_cmpint (record.overshoot_ns, ==, 1020);
  record.overshoot_ns = -1;
  record.reason = GT_REASON_ANSWER;
  gt_outcome_record_finish (&record);
  g_assert_cmpint (record.overshoot_ns, ==, -1);
}

static void
every_reason_has_a_name_of_its_own (void)
{
  for (guint i = 0; i < GT_REASON_COUNT; i++) {
    g_assert_nonnull (gt_reason_text ((GtReason) i));
    for (guint j = 0; j < i; j++)
      g_assert_cmpstr (gt_reason_name ((GtReason) i), !=, gt_reason_name ((GtReason) j));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/outcome/rows", every_outcome_has_a_row_and_is_found_by_its_name);
  g_test_add_func ("/outcome/codes", no_two_outcomes_share_an_exit_code);
  g_test_add_func ("/outcome/exceptions", whatever_is_no_value_raises_something);
  g_test_add_func ("/outcome/retry", only_what_was_never_begun_is_safe_to_retry);
  g_test_add_func ("/outcome/reasons", every_reason_has_a_name_of_its_own);
  g_test_add_func ("/outcome/record/empty", an_empty_record_has_every_field_as_null);
  g_test_add_func ("/outcome/record/bytes", a_message_of_any_bytes_is_still_json);
  g_test_add_func ("/outcome/record/overshoot", overshoot_counts_from_the_limit_that_ended_it);
  return g_test_run ();
}
