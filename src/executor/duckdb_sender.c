#include "executor/duckdb_sender.h"

#include "executor/duckdb_fail.h"
#include "executor/duckdb_type.h"

#include <stdlib.h>
#include <string.h>

/* Big enough to be cheap, small enough to be stopped between two. */
#define CHUNK_BYTES 262144

gboolean
gt_sender_head (GtSender *self, GtWireType type, char *head, int fd)
{
  GtFrame frame
      = { .type = type, .job = self->job, .head = head, .head_bytes = strlen (head), .fd = fd };
  gboolean last = type == GT_WIRE_END || fd >= 0;
  gboolean sent = last ? gt_control_send (self->control, &frame, NULL)
                       : gt_control_queue (self->control, &frame, NULL);
  free (head);
  return sent;
}

gboolean
gt_sender_count (GtSender *self, gint64 bytes, GtFailure *failure)
{
  self->sent_bytes += bytes;
  return self->limit_bytes == 0 || self->sent_bytes <= self->limit_bytes
         || gt_failure_set (failure, GT_WIRE_CLASS_RESULT_LIMIT,
                            "the result is bigger than the %" G_GINT64_FORMAT
                            " bytes that are allowed; ask for fewer rows or a higher limit",
                            self->limit_bytes);
}

/* What is in `text`, and empties it. A row may go on in the next chunk: they are one stream. */
static gboolean
flush (GtSender *self, const char *format, gint64 statement, gint64 rows, GString *text,
       GtFailure *failure)
{
  if (!gt_sender_count (self, (gint64) text->len, failure))
    return FALSE;
  for (gsize at = 0; at < text->len; at += CHUNK_BYTES) {
    gsize bytes = MIN (text->len - at, CHUNK_BYTES);
    GtChunk chunk = { .format = (char *) format, .statement = statement };
    chunk.rows = at + bytes == text->len ? rows : 0;
    char *head = gt_chunk_text (&chunk);
    GtFrame frame = { .type = GT_WIRE_CHUNK,
                      .job = self->job,
                      .head = head,
                      .head_bytes = strlen (head),
                      .body = (const guint8 *) text->str + at,
                      .body_bytes = bytes,
                      .fd = -1 };
    gboolean sent = gt_control_queue (self->control, &frame, NULL);
    free (head);
    if (!sent)
      return gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "the engine does not take chunks");
  }
  g_string_truncate (text, 0);
  return TRUE;
}

static void
append_column (GString *text, duckdb_result *result, idx_t column, const GtType *type)
{
  const char *name = duckdb_column_name (result, column);
  g_string_append (text, column == 0 ? "{\"name\":" : ",{\"name\":");
  gt_json_append_string (text, name, strlen (name));
  g_string_append (text, ",\"type\":");
  gt_json_append_string (text, type->name, strlen (type->name));
  if (type->dictionary != NULL) {
    g_string_append (text, ",\"values\":[");
    for (guint i = 0; type->dictionary[i] != NULL; i++) {
      g_string_append (text, i == 0 ? "" : ",");
      gt_json_append_string (text, type->dictionary[i], strlen (type->dictionary[i]));
    }
    g_string_append_c (text, ']');
  }
  g_string_append_c (text, '}');
}

/* The columns' types; the schema goes out. */
static gboolean
send_schema (GtSender *self, duckdb_result *result, gint64 statement, GPtrArray *types,
             GString *text, GtFailure *failure)
{
  g_string_append (text, "{\"columns\":[");
  for (idx_t i = 0; i < duckdb_column_count (result); i++) {
    g_autofree char *unsupported = NULL;
    duckdb_logical_type logical = duckdb_column_logical_type (result, i);
    GtType *type = gt_type_new (logical, &unsupported);
    duckdb_destroy_logical_type (&logical);
    if (type == NULL)
      return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                             "column \"%s\" has a type that rows cannot carry (%s); cast it, for "
                             "example to VARCHAR",
                             duckdb_column_name (result, i), unsupported);
    g_ptr_array_add (types, type);
    append_column (text, result, i, type);
  }
  g_string_append (text, "]}\n");
  return flush (self, "schema", statement, 0, text, failure);
}

static void
append_row (duckdb_data_chunk chunk, idx_t row, const GPtrArray *types, GString *text)
{
  g_string_append_c (text, '[');
  for (guint i = 0; i < types->len; i++) {
    if (i > 0)
      g_string_append_c (text, ',');
    gt_type_append (types->pdata[i], duckdb_data_chunk_get_vector (chunk, i), row, text);
  }
  g_string_append (text, "]\n");
}

static gboolean
send_chunk (GtSender *self, duckdb_data_chunk chunk, gint64 statement, const GPtrArray *types,
            GString *text, gint64 *rows, GtFailure *failure)
{
  idx_t size = duckdb_data_chunk_get_size (chunk);
  for (idx_t row = 0; row < size; row++) {
    append_row (chunk, row, types, text);
    ++*rows;
    if (text->len < CHUNK_BYTES)
      continue;
    if (gt_control_interrupted (self->control))
      return gt_failure_set (failure, GT_WIRE_CLASS_INTERRUPTED,
                             "interrupted while the rows were sent");
    if (!flush (self, "rows", statement, *rows, text, failure))
      return FALSE;
    *rows = 0;
  }
  self->rows += (gint64) size;
  return TRUE;
}

/* A stream that failed ends like one that is complete, but for its message. */
static gboolean
next_chunk (duckdb_result *result, duckdb_data_chunk *chunk, GtFailure *failure)
{
  *chunk = duckdb_fetch_chunk (*result);
  const char *message = *chunk == NULL ? duckdb_result_error (result) : NULL;
  return message == NULL || gt_failure_from_duckdb (failure, message);
}

static gboolean
send_stream (GtSender *self, duckdb_result *result, gint64 statement, GtFailure *failure)
{
  g_autoptr (GPtrArray) types = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_type_free);
  g_autoptr (GString) text = g_string_new (NULL);
  gint64 rows = 0;
  duckdb_data_chunk chunk = NULL;
  /* The first rows before the schema: what fails has answered nothing (duckdb_api.h). */
  gboolean good = next_chunk (result, &chunk, failure)
                  && send_schema (self, result, statement, types, text, failure);
  while (good && chunk != NULL) {
    good = send_chunk (self, chunk, statement, types, text, &rows, failure);
    duckdb_destroy_data_chunk (&chunk);
    good = good && next_chunk (result, &chunk, failure);
  }
  if (chunk != NULL)
    duckdb_destroy_data_chunk (&chunk);
  return good && flush (self, "rows", statement, rows, text, failure);
}

gboolean
gt_sender_rows (GtSender *self, duckdb_result *result, gint64 statement, GtFailure *failure)
{
  duckdb_result_type type = duckdb_result_return_type (*result);
  if (type == DUCKDB_RESULT_TYPE_CHANGED_ROWS)
    self->changed += (gint64) duckdb_rows_changed (result);
  return type != DUCKDB_RESULT_TYPE_QUERY_RESULT || send_stream (self, result, statement, failure);
}
