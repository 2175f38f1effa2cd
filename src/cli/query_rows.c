#include "cli/query_rows.h"

#include "os/error.h"

#include <jansson.h>
#include <string.h>

void
gt_query_column_free (GtQueryColumn *column)
{
  g_free (column->name);
  g_free (column->type_name);
  gt_query_type_free (column->type);
  g_free (column);
}

void
gt_query_rows_init (GtQueryRows *self, const GtQuerySink *sink, gpointer data)
{
  *self = (GtQueryRows){ .sink = sink, .data = data, .pending = g_string_new (NULL) };
}

void
gt_query_rows_clear (GtQueryRows *self)
{
  g_clear_pointer (&self->columns, g_ptr_array_unref);
  g_clear_pointer (&self->cells, g_free);
  if (self->pending != NULL)
    g_string_free (self->pending, TRUE);
  self->pending = NULL;
}

static gboolean
broken (GError **error, const char *what)
{
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM,
               "the executor sent %s: gilotine and gilotine-duckdb must be of one release", what);
  return FALSE;
}

void
gt_query_rows_finish (GtQueryRows *self)
{
  if (self->columns == NULL)
    return;
  self->sink->end (self->data, self->rows);
  g_clear_pointer (&self->columns, g_ptr_array_unref);
  g_clear_pointer (&self->cells, g_free);
}

static gboolean
take_columns (GtQueryRows *self, const json_t *list)
{
  gsize i;
  json_t *item;
  json_array_foreach (list, i, item) {
    const char *name = json_string_value (json_object_get (item, "name"));
    const char *type = json_string_value (json_object_get (item, "type"));
    if (name == NULL || type == NULL)
      return FALSE;
    GtQueryColumn *column = g_new0 (GtQueryColumn, 1);
    column->name = g_strdup (name);
    column->type_name = g_strdup (type);
    column->type = gt_query_type_new (type);
    g_ptr_array_add (self->columns, column);
  }
  return self->columns->len > 0;
}

static gboolean
take_schema (GtQueryRows *self, const char *body, gsize bytes, GError **error)
{
  gt_query_rows_finish (self);
  json_t *schema = json_loadb (body, bytes, 0, NULL);
  self->columns = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_query_column_free);
  gboolean good = take_columns (self, json_object_get (schema, "columns"));
  json_decref (schema);
  if (!good) {
    g_clear_pointer (&self->columns, g_ptr_array_unref);
    return broken (error, "a schema that is none");
  }
  self->cells = g_new0 (GtQueryCell, self->columns->len);
  self->rows = 0;
  self->sink->begin (self->data, self->columns);
  return TRUE;
}

static gboolean
take_row (GtQueryRows *self, const char *row, gsize bytes, GError **error)
{
  const char *at = row + 1, *end = row + bytes;
  guint n = 0;
  if (bytes < 2 || row[0] != '[' || row[bytes - 1] != ']')
    return broken (error, "a row that is none");
  while (n < self->columns->len && gt_query_cell_next (&at, end, NULL, &self->cells[n]))
    n++;
  if (n < self->columns->len || at != end - 1)
    return broken (error, "a row of another length than its schema");
  self->rows++;
  self->all_rows++;
  self->sink->row (self->data, self->cells);
  return TRUE;
}

/* Rows end with a newline; none is within one: JSON escapes it. */
static gboolean
take_rows (GtQueryRows *self, const char *body, gsize bytes, GError **error)
{
  const char *end = body + bytes;
  if (self->columns == NULL)
    return broken (error, "rows before their schema");
  while (body < end) {
    const char *stop = memchr (body, '\n', (gsize) (end - body));
    const char *until = stop != NULL ? stop : end;
    gboolean whole = stop != NULL && self->pending->len == 0;
    gboolean good = TRUE;
    if (!whole)
      g_string_append_len (self->pending, body, until - body);
    if (whole)
      good = take_row (self, body, (gsize) (until - body), error);
    else if (stop != NULL)
      good = take_row (self, self->pending->str, self->pending->len, error);
    if (!good)
      return FALSE;
    if (stop != NULL)
      g_string_truncate (self->pending, 0);
    body = stop != NULL ? stop + 1 : end;
  }
  return TRUE;
}

gboolean
gt_query_rows_chunk (GtQueryRows *self, const char *format, const char *body, gsize bytes,
                     GError **error)
{
  if (g_strcmp0 (format, "schema") == 0)
    return take_schema (self, body, bytes, error);
  if (g_strcmp0 (format, "rows") == 0)
    return take_rows (self, body, bytes, error);
  return broken (error, "chunks of an unknown format");
}
