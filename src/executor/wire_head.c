#include "executor/wire_head.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef enum { INT, NUM, BOOL, STR } FieldKind;

typedef struct {
  const char *name;
  FieldKind kind;
  gboolean required;
  gsize offset;
} Field;

static const char *const kind_names[] = { "an integer", "a number", "true or false", "a string" };

static gboolean fail (GError **error, const GtFrame *frame, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static gboolean
fail (GError **error, const GtFrame *frame, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_HEAD, "%s: its head: %s",
               gt_wire_type_name (frame->type), what);
  return FALSE;
}

static gboolean
read_field (const Field *field, const json_t *value, void *out)
{
  void *at = (char *) out + field->offset;
  switch (field->kind) {
  case INT:
    *(gint64 *) at = json_integer_value (value);
    return json_is_integer (value);
  case NUM:
    *(double *) at = json_number_value (value);
    return json_is_number (value);
  case BOOL:
    *(gboolean *) at = json_is_true (value);
    return json_is_boolean (value);
  case STR:
    *(char **) at = g_strdup (json_string_value (value));
    return json_is_string (value);
  }
  return FALSE;
}

static gboolean
read_object (const Field *fields, gsize n_fields, const json_t *object, const GtFrame *frame,
             void *out, GError **error)
{
  for (gsize i = 0; i < n_fields; i++) {
    const json_t *value = json_object_get (object, fields[i].name);
    if (value == NULL && fields[i].required)
      return fail (error, frame, "\"%s\" is missing", fields[i].name);
    if (value != NULL && !read_field (&fields[i], value, out))
      return fail (error, frame, "\"%s\" is not %s", fields[i].name, kind_names[fields[i].kind]);
  }
  return TRUE;
}

static void
clear (const Field *fields, gsize n_fields, void *out, gsize bytes)
{
  for (gsize i = 0; i < n_fields; i++)
    if (fields[i].kind == STR)
      g_free (*(char **) ((char *) out + fields[i].offset));
  memset (out, 0, bytes);
}

static gboolean
parse (const Field *fields, gsize n_fields, const GtFrame *frame, void *out, gsize bytes,
       GError **error)
{
  json_error_t where;
  memset (out, 0, bytes);
  if (frame->head_bytes == 0)
    return read_object (fields, n_fields, NULL, frame, out, error);
  json_t *object = json_loadb (frame->head, frame->head_bytes, JSON_REJECT_DUPLICATES, &where);
  if (object == NULL)
    return fail (error, frame, "%s", where.text);
  gboolean good = read_object (fields, n_fields, object, frame, out, error);
  json_decref (object);
  if (!good)
    clear (fields, n_fields, out, bytes);
  return good;
}

/* UTF-8 as it is; what is not UTF-8 must not reach the wire. */
static void
append_string (GString *out, const char *text)
{
  g_autofree char *valid = g_utf8_validate (text, -1, NULL) ? NULL : g_utf8_make_valid (text, -1);
  g_string_append_c (out, '"');
  for (const char *at = valid != NULL ? valid : text; *at != '\0'; at++) {
    if (*at == '"' || *at == '\\')
      g_string_append_c (out, '\\');
    if ((guchar) *at < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *at);
    else
      g_string_append_c (out, *at);
  }
  g_string_append_c (out, '"');
}

static void
append_value (GString *out, const Field *field, const void *head)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  const void *at = (const char *) head + field->offset;
  switch (field->kind) {
  case INT:
    g_string_append_printf (out, "%" G_GINT64_FORMAT, *(const gint64 *) at);
    break;
  case NUM: /* JSON knows no others */
    g_string_append (out, isfinite (*(const double *) at)
                              ? g_ascii_dtostr (number, sizeof number, *(const double *) at)
                              : "-1");
    break;
  case BOOL:
    g_string_append (out, *(const gboolean *) at ? "true" : "false");
    break;
  case STR:
    append_string (out, *(char *const *) at == NULL ? "" : *(char *const *) at);
    break;
  }
}

/* Zeros that nobody requires are left out: absent means the same. */
static gboolean
is_default (const Field *field, const void *head)
{
  const void *at = (const char *) head + field->offset;
  switch (field->kind) {
  case INT:
    return *(const gint64 *) at == 0;
  case NUM:
    return *(const double *) at == 0;
  case BOOL:
    return !*(const gboolean *) at;
  case STR:
    return *(char *const *) at == NULL;
  }
  return FALSE;
}

/* By hand: every job costs four of these, and a tree of objects costs more than its text. */
static char *
text (const Field *fields, gsize n_fields, const void *head)
{
  GString *out = g_string_sized_new (256);
  g_string_append_c (out, '{');
  for (gsize i = 0; i < n_fields; i++) {
    if (!fields[i].required && is_default (&fields[i], head))
      continue;
    g_string_append_printf (out, "%s\"%s\":", out->len > 1 ? "," : "", fields[i].name);
    append_value (out, &fields[i], head);
  }
  g_string_append_c (out, '}');
  return g_string_free (out, FALSE);
}

#define MEMBER(kind, member, required) { #member, kind, required, G_STRUCT_OFFSET (HEAD, member) },
/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in them */
#define FUNCTIONS(Type, name)                                                                      \
  gboolean gt_##name##_parse (const GtFrame *frame, Type *out, GError **error)                     \
  {                                                                                                \
    return parse (name##_fields, G_N_ELEMENTS (name##_fields), frame, out, sizeof *out, error);    \
  }                                                                                                \
  char *gt_##name##_text (const Type *head)                                                        \
  {                                                                                                \
    return text (name##_fields, G_N_ELEMENTS (name##_fields), head);                               \
  }                                                                                                \
  void gt_##name##_clear (Type *head)                                                              \
  {                                                                                                \
    clear (name##_fields, G_N_ELEMENTS (name##_fields), head, sizeof *head);                       \
  }

/* NOLINTEND(bugprone-macro-parentheses) */

#define HEAD GtHello
static const Field hello_fields[] = { GT_HELLO_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtReady
static const Field ready_fields[] = { GT_READY_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtJobHead
static const Field job_fields[] = { GT_JOB_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtAck
static const Field ack_fields[] = { GT_ACK_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtProgress
static const Field progress_fields[] = { GT_PROGRESS_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtChunk
static const Field chunk_fields[] = { GT_CHUNK_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtMemfd
static const Field memfd_fields[] = { GT_MEMFD_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtResultHead
static const Field result_fields[] = { GT_RESULT_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtFailure
static const Field failure_fields[] = { GT_FAILURE_FIELDS (MEMBER) };
#undef HEAD
#define HEAD GtEnd
static const Field end_fields[] = { GT_END_FIELDS (MEMBER) };
#undef HEAD

/* The tables above are named as the functions below: a head without a table does not compile. */
#define X(Type, name, FIELDS) FUNCTIONS (Type, name)
GT_WIRE_HEADS (X)
#undef X

const char *
gt_wire_class_name (GtWireClass class_id)
{
  switch (class_id) {
#define X(name, text, meaning)                                                                     \
  case GT_WIRE_CLASS_##name:                                                                       \
    return text;
    GT_WIRE_CLASSES (X)
#undef X
  }
  return "internal";
}
