#include "celery/envelope.h"

#include "celery/read.h"

#include <string.h>

static json_t *
field_json (const GtField *field)
{
  json_t *value;
  switch (field->kind) {
  case GT_FIELD_BOOL:
    return json_boolean (field->integer);
  case GT_FIELD_INT:
    return json_integer (field->integer);
  case GT_FIELD_DOUBLE:
    return json_real (field->real);
  case GT_FIELD_TEXT:
    return json_string (field->text);
  case GT_FIELD_ARRAY:
    value = json_array ();
    for (guint i = 0; i < field->n_items; i++)
      json_array_append_new (value, field_json (&field->items[i]));
    return value;
  case GT_FIELD_TABLE:
    value = json_object ();
    for (guint i = 0; i < field->n_items; i++)
      json_object_set_new (value, field->items[i].name, field_json (&field->items[i]));
    return value;
  case GT_FIELD_VOID:
  default:
    return json_null ();
  }
}

static json_t *
properties_json (const GtMessage *message, const char *routing_key, const char *delivery_tag)
{
  json_t *properties = json_pack (
      "{s:s, s:s*, s:i, s:s*, s:{s:s, s:s}, s:i, s:s, s:s}", "correlation_id", message->id,
      "reply_to", message->reply_to, "delivery_mode", GT_DELIVERY_MODE, "expiration",
      message->expiration, "delivery_info", "exchange", "", "routing_key", routing_key, "priority",
      (int) message->priority, "body_encoding", "base64", "delivery_tag", delivery_tag);
  return properties;
}

char *
gt_envelope_encode (const GtMessage *message, const char *routing_key, const char *delivery_tag)
{
  GtField headers = { .kind = GT_FIELD_TABLE, .items = message->headers, .n_items = GT_N_HEADERS };
  g_autofree char *body = g_base64_encode ((const guchar *) message->body, message->body_len);
  json_t *envelope = json_pack ("{s:s, s:s, s:s, s:o, s:o}", "body", body, "content-encoding",
                                GT_CONTENT_ENCODING, "content-type", GT_CONTENT_TYPE, "headers",
                                field_json (&headers), "properties",
                                properties_json (message, routing_key, delivery_tag));
  char *text = json_dumps (envelope, JSON_COMPACT);
  json_decref (envelope);
  char *copy = g_strdup (text);
  free (text);
  return copy;
}

/* Strict: g_base64_decode skips what is not base64 without a word. */
static GBytes *
base64_bytes (const char *text, GError **error)
{
  gsize len = strlen (text);
  gsize digits = strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  gsize padding = strspn (text + digits, "=");
  if (len % 4 != 0 || digits + padding != len || padding > 2) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_SYNTAX, "'body' is not base64");
    return NULL;
  }
  gsize size = 0;
  guchar *bytes = g_base64_decode (text, &size);
  return g_bytes_new_take (bytes, size);
}

static gboolean
decode_body (GtEnvelope *e, const json_t *root, GError **error)
{
  const json_t *body = json_object_get (root, "body");
  if (!json_is_string (body))
    return gt_read_error (error, "body", "a text");
  g_autofree char *encoding = NULL;
  if (!gt_read_optional (e->properties, "body_encoding", &encoding, error))
    return FALSE;
  if (encoding == NULL || g_ascii_strcasecmp (encoding, "utf-8") == 0) {
    e->body = g_bytes_new (json_string_value (body), json_string_length (body));
    return TRUE;
  }
  if (strcmp (encoding, "base64") != 0)
    return gt_read_error (error, "body_encoding", "base64 or utf-8");
  e->body = base64_bytes (json_string_value (body), error);
  return e->body != NULL;
}

static gboolean
decode_fields (GtEnvelope *e, const json_t *root, GError **error)
{
  json_t *headers = json_object_get (root, "headers");
  json_t *properties = json_object_get (root, "properties");
  if (!json_is_object (headers))
    return gt_read_error (error, "headers", "an object");
  if (!json_is_object (properties))
    return gt_read_error (error, "properties", "an object");
  e->headers = json_incref (headers);
  e->properties = json_incref (properties);
  return gt_read_optional (root, "content-type", &e->content_type, error)
         && gt_read_optional (root, "content-encoding", &e->content_encoding, error)
         && gt_read_optional (properties, "correlation_id", &e->correlation_id, error)
         && decode_body (e, root, error);
}

GtEnvelope *
gt_envelope_decode (const char *text, gsize len, GError **error)
{
  json_error_t problem;
  json_t *root = json_loadb (text, len, JSON_ALLOW_NUL, &problem);
  if (root == NULL) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_SYNTAX, "not JSON: %s at byte %d",
                 problem.text, problem.position);
    return NULL;
  }
  GtEnvelope *e = g_new0 (GtEnvelope, 1);
  gboolean ok = json_is_object (root) ? decode_fields (e, root, error)
                                      : gt_read_error (error, "envelope", "an object");
  json_decref (root);
  if (ok)
    return e;
  gt_envelope_free (e);
  return NULL;
}

void
gt_envelope_free (GtEnvelope *envelope)
{
  json_decref (envelope->headers);
  json_decref (envelope->properties);
  g_free (envelope->content_type);
  g_free (envelope->content_encoding);
  g_free (envelope->correlation_id);
  g_clear_pointer (&envelope->body, g_bytes_unref);
  g_free (envelope);
}
