/* Our messages beside those of the real client (tests/data/capture_celery.py), header by header. */
#include "celery/message.h"

#include "celery/envelope.h"
#include "celery/pyrepr.h"

#include <math.h>
#include <string.h>

static GtSeconds
seconds_of (json_t *call, const char *key)
{
  json_t *value = json_object_get (call, key);
  if (value == NULL)
    return GT_SECONDS_NONE;
  return (GtSeconds){ json_is_integer (value) ? GT_FIELD_INT : GT_FIELD_DOUBLE,
                      json_number_value (value) };
}

static GtMessage *
message_of_call (json_t *call)
{
  GtTask task = {
    .task = json_string_value (json_object_get (call, "task")),
    .id = json_string_value (json_object_get (call, "id")),
    .args = json_object_get (call, "args"),
    .kwargs = json_object_get (call, "kwargs"),
    .countdown = seconds_of (call, "countdown"),
    .expires = seconds_of (call, "expires"),
    .time_limit = seconds_of (call, "time_limit"),
    .soft_time_limit = seconds_of (call, "soft_time_limit"),
    .priority = (guint) json_integer_value (json_object_get (call, "priority")),
    .ignore_result = json_is_true (json_object_get (call, "ignore_result")),
    .reply_to = json_string_value (json_object_get (call, "reply_to")),
    .origin = json_string_value (json_object_get (call, "origin")),
    .now_unix_us = json_integer_value (json_object_get (call, "now_unix_us")),
  };
  g_autoptr (GError) error = NULL;
  GtMessage *message = gt_message_new (&task, &error);
  g_assert_no_error (error);
  return message;
}

/* A field as the capture writes it: ["I", 20], with the name first inside a table. */
static json_t *
captured_form (const GtField *field)
{
  const char kind[] = { (char) field->kind, '\0' };
  json_t *value = json_null ();
  if (field->kind == GT_FIELD_TEXT)
    value = json_string (field->text);
  else if (field->kind == GT_FIELD_INT)
    value = json_integer (field->integer);
  else if (field->kind == GT_FIELD_BOOL)
    value = json_boolean (field->integer);
  else if (field->kind == GT_FIELD_DOUBLE)
    value = json_real (field->real);
  else if (field->kind == GT_FIELD_ARRAY || field->kind == GT_FIELD_TABLE)
    value = json_array ();
  for (guint i = 0; i < field->n_items; i++)
    json_array_append_new (value, captured_form (&field->items[i]));
  json_t *form = json_array ();
  if (field->name != NULL)
    json_array_append_new (form, json_string (field->name));
  json_array_append_new (form, json_string (kind));
  json_array_append_new (form, value);
  return form;
}

static void
assert_json (const char *file, json_t *got, json_t *wanted)
{
  if (!json_equal (got, wanted))
    g_error ("%s:\n  got    %s\n  wanted %s", file, json_dumps (got, JSON_ENCODE_ANY),
             json_dumps (wanted, JSON_ENCODE_ANY));
}

static void
assert_text (json_t *message, const char *key, const char *got)
{
  g_assert_cmpstr (got, ==, json_string_value (json_object_get (message, key)));
}

static json_t *
load (const char *path)
{
  json_error_t problem;
  json_t *golden = json_load_file (path, 0, &problem);
  if (golden == NULL)
    g_error ("%s: %s", path, problem.text);
  return golden;
}

static void
assert_like_celery (const char *path)
{
  json_t *golden = load (path);
  json_t *wanted = json_object_get (golden, "message");
  g_autoptr (GtMessage) message = message_of_call (json_object_get (golden, "call"));
  json_t *headers = json_object_get (wanted, "headers");
  g_assert_cmpuint (json_array_size (headers), ==, GT_N_HEADERS);
  for (guint i = 0; i < GT_N_HEADERS; i++) {
    json_t *form = captured_form (&message->headers[i]);
    assert_json (path, form, json_array_get (headers, i));
    json_decref (form);
  }
  assert_text (wanted, "correlation_id", message->id);
  assert_text (wanted, "reply_to", message->reply_to);
  assert_text (wanted, "expiration", message->expiration);
  assert_text (wanted, "content_type", GT_CONTENT_TYPE);
  assert_text (wanted, "content_encoding", GT_CONTENT_ENCODING);
  g_assert_cmpint (json_integer_value (json_object_get (wanted, "delivery_mode")), ==,
                   GT_DELIVERY_MODE);
  json_t *priority = json_object_get (wanted, "priority");
  g_assert_cmpint (message->priority, ==, json_integer_value (priority));
  json_t *body = json_loadb (message->body, message->body_len, 0, NULL);
  json_t *wanted_body = json_loads (json_string_value (json_object_get (wanted, "body")), 0, NULL);
  assert_json (path, body, wanted_body);
  json_decref (body);
  json_decref (wanted_body);
  json_decref (golden);
}

static void
every_captured_call_gives_the_same_message (void)
{
  g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "..", "data", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_assert_nonnull (dir);
  guint n = 0;
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;) {
    if (!g_str_has_prefix (name, "celery-") || !g_str_has_suffix (name, ".json"))
      continue;
    g_autofree char *path = g_build_filename (folder, name, NULL);
    assert_like_celery (path);
    n++;
  }
  g_assert_cmpuint (n, >=, 20);
}

static void
another_id_changes_its_three_places_only (void)
{
  GtTask task = { .task = "t", .id = "one", .origin = "o" };
  g_autoptr (GtMessage) message = gt_message_new (&task, NULL);
  gt_message_set_id (message, "two");
  g_assert_cmpstr (message->id, ==, "two");
  g_assert_cmpstr (message->headers[GT_HEADER_id].text, ==, "two");
  g_assert_cmpstr (message->headers[GT_HEADER_root_id].text, ==, "two");
  g_assert_cmpstr (message->headers[GT_HEADER_task].text, ==, "t");
}

static void
what_cannot_be_sent_is_refused (void)
{
  g_autofree char *long_id = g_strnfill (256, 'x');
  json_t *array = json_array ();
  GtTask bad[] = {
    { .task = "", .id = "i" },
    { .task = "t", .id = "" },
    { .task = "t", .id = long_id },
    { .task = "t", .id = "i", .kwargs = array },
    { .task = "t", .id = "i", .priority = 256 },
    { .task = "t", .id = "i", .countdown = { GT_FIELD_DOUBLE, 1e12 } },
    { .task = "t", .id = "i", .expires = { GT_FIELD_DOUBLE, (double) NAN } },
    { .task = "t", .id = "i", .time_limit = { GT_FIELD_INT, 3e9 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_message_new (&bad[i], &error));
    g_assert_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE);
  }
  json_decref (array);
}

static void
dates_have_a_fraction_only_when_it_is_not_zero (void)
{
  static const struct {
    gint64 unix_us;
    const char *text;
  } rows[] = {
    { 0, "1970-01-01T00:00:00+00:00" },
    { 1, "1970-01-01T00:00:00.000001+00:00" },
    { -1, "1969-12-31T23:59:59.999999+00:00" },
    { G_GINT64_CONSTANT (1790000000123456), "2026-09-21T14:13:20.123456+00:00" },
    { G_GINT64_CONSTANT (253402300799000000), "9999-12-31T23:59:59+00:00" },
    { G_GINT64_CONSTANT (253402300800000000), NULL },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = gt_message_date (rows[i].unix_us);
    g_assert_cmpstr (text, ==, rows[i].text);
  }
}

static void
a_nul_in_a_text_does_not_cut_what_monitors_see (void)
{
  json_t *args = json_pack ("[s%]", "a\0b", (size_t) 3);
  g_autofree char *text = gt_pyrepr (args, GT_PYREPR_TUPLE, 100);
  g_assert_cmpstr (text, ==, "('a\\x00b',)");
  json_decref (args);
}

static void
the_envelope_reads_back_as_it_was (void)
{
  GtTask task = { .task = "t",
                  .id = "i",
                  .origin = "o",
                  .reply_to = "r",
                  .time_limit = { GT_FIELD_INT, 20 },
                  .expires = { GT_FIELD_DOUBLE, 1.5 } };
  g_autoptr (GtMessage) message = gt_message_new (&task, NULL);
  g_autofree char *text = gt_envelope_encode (message, "queue", "tag");
  g_autoptr (GError) error = NULL;
  g_autoptr (GtEnvelope) e = gt_envelope_decode (text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (json_object_size (e->headers), ==, GT_N_HEADERS);
  g_assert_cmpstr (e->correlation_id, ==, "i");
  g_assert_cmpstr (e->content_type, ==, GT_CONTENT_TYPE);
  g_autoptr (GBytes) body = g_bytes_new (message->body, message->body_len);
  g_assert_true (g_bytes_equal (e->body, body));
  assert_text (e->properties, "reply_to", "r");
  assert_text (e->properties, "expiration", "1500");
  json_t *info = json_object_get (e->properties, "delivery_info");
  assert_text (info, "routing_key", "queue");
  assert_text (info, "exchange", "");
}

static void
broken_envelopes_are_errors (void)
{
  static const char *const broken[] = {
    "",
    "{",
    "[]",
    "{\"body\": 1, \"headers\": {}, \"properties\": {}}",
    "{\"body\": \"\", \"headers\": [], \"properties\": {}}",
    "{\"body\": \"\", \"headers\": {}}",
    "{\"body\": \"!!!!\", \"headers\": {}, \"properties\": {\"body_encoding\": \"base64\"}}",
    "{\"body\": \"abc\", \"headers\": {}, \"properties\": {\"body_encoding\": \"base64\"}}",
    "{\"body\": \"a===\", \"headers\": {}, \"properties\": {\"body_encoding\": \"base64\"}}",
    "{\"body\": \"=abc\", \"headers\": {}, \"properties\": {\"body_encoding\": \"base64\"}}",
    "{\"body\": \"\", \"headers\": {}, \"properties\": {\"body_encoding\": \"rot13\"}}",
    "{\"body\": \"\", \"headers\": {}, \"properties\": {\"correlation_id\": 7}}",
    "{\"body\": \"\", \"headers\": {}, \"properties\": {}, \"content-type\": []}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_envelope_decode (broken[i], strlen (broken[i]), &error));
    g_assert_nonnull (error);
    g_assert_true (error->domain == GT_CELERY_ERROR);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/message/like-celery", every_captured_call_gives_the_same_message);
  g_test_add_func ("/message/set-id", another_id_changes_its_three_places_only);
  g_test_add_func ("/message/refused", what_cannot_be_sent_is_refused);
  g_test_add_func ("/message/date", dates_have_a_fraction_only_when_it_is_not_zero);
  g_test_add_func ("/message/nul", a_nul_in_a_text_does_not_cut_what_monitors_see);
  g_test_add_func ("/message/envelope", the_envelope_reads_back_as_it_was);
  g_test_add_func ("/message/envelope-broken", broken_envelopes_are_errors);
  return g_test_run ();
}
