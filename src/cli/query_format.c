#include "cli/query_format_private.h"

#include <string.h>

static const struct {
  const char *name;
} formats[] = {
#define X(id, text, rows, help) [GT_QUERY_FORMAT_##id] = { text },
  GT_QUERY_FORMATS (X)
#undef X
};

const char *
gt_query_format_name (GtQueryFormat format)
{
  return formats[format].name;
}

gboolean
gt_query_format_by_name (const char *name, GtQueryFormat *format)
{
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    if (g_str_equal (formats[i].name, name)) {
      *format = (GtQueryFormat) i;
      return TRUE;
    }
  return FALSE;
}

gboolean
gt_query_type_is_number (const GtQueryType *type)
{
  return type->kind == GT_QUERY_NUMBER || type->kind == GT_QUERY_EXACT;
}

static const GtQueryType *
type_at (const GtQueryWriter *self, guint i)
{
  return ((const GtQueryColumn *) self->columns->pdata[i])->type;
}

static const char *
name_at (const GtQueryWriter *self, guint i)
{
  return ((const GtQueryColumn *) self->columns->pdata[i])->name;
}

/* --- CSV -----------------------------------------------------------------------------------------
 */

static void
append_csv (GString *out, const char *text, gsize bytes)
{
  gboolean quoted = bytes == 0;
  for (gsize i = 0; i < bytes && !quoted; i++)
    quoted = text[i] == '"' || text[i] == ',' || text[i] == '\r' || text[i] == '\n';
  if (!quoted) {
    g_string_append_len (out, text, (gssize) bytes);
    return;
  }
  g_string_append_c (out, '"');
  for (gsize i = 0; i < bytes; i++) {
    if (text[i] == '"')
      g_string_append_c (out, '"');
    g_string_append_c (out, text[i]);
  }
  g_string_append_c (out, '"');
}

static void
csv_begin (GtQueryWriter *self)
{
  for (guint i = 0; i < self->columns->len; i++) {
    if (i > 0)
      g_string_append_c (self->out, ',');
    append_csv (self->out, name_at (self, i), strlen (name_at (self, i)));
  }
  g_string_append (self->out, "\r\n");
}

static void
csv_row (GtQueryWriter *self, const GtQueryCell *cells)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < self->columns->len; i++) {
    if (i > 0)
      g_string_append_c (self->out, ',');
    if (gt_query_cell_is_null (cells[i]))
      continue;
    g_string_truncate (text, 0);
    gt_query_append_text (text, type_at (self, i), cells[i]);
    append_csv (self->out, text->str, text->len);
  }
  g_string_append (self->out, "\r\n");
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

/* Two members of one name would be one for most readers. */
static void
make_keys (GtQueryWriter *self)
{
  g_autoptr (GHashTable) used = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_strfreev (self->keys);
  self->keys = g_new0 (char *, self->columns->len + 1);
  for (guint i = 0; i < self->columns->len; i++)
    g_hash_table_add (used, g_strdup (name_at (self, i)));
  g_autoptr (GHashTable) given = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < self->columns->len; i++) {
    char *name = g_strdup (name_at (self, i));
    if (!g_hash_table_add (given, (gpointer) name_at (self, i)))
      for (guint n = 1; g_hash_table_contains (used, name); n++) {
        g_free (name);
        name = g_strdup_printf ("%s_%u", name_at (self, i), n);
      }
    GString *key = g_string_new (NULL);
    gt_query_append_quoted (key, name, strlen (name));
    g_string_append_c (key, ':');
    self->keys[i] = g_string_free (key, FALSE);
    g_hash_table_add (used, name);
  }
}

static void
append_object (GtQueryWriter *self, const GtQueryCell *cells)
{
  g_string_append_c (self->out, '{');
  for (guint i = 0; i < self->columns->len; i++) {
    if (i > 0)
      g_string_append_c (self->out, ',');
    g_string_append (self->out, self->keys[i]);
    gt_query_append_json (self->out, type_at (self, i), cells[i]);
  }
  g_string_append_c (self->out, '}');
}

static void
json_begin (GtQueryWriter *self)
{
  make_keys (self);
  g_string_append_c (self->out, '[');
}

static void
json_row (GtQueryWriter *self, const GtQueryCell *cells)
{
  g_string_append (self->out, self->rows > 0 ? ",\n" : "\n");
  append_object (self, cells);
}

static void
json_end (GtQueryWriter *self, guint64 rows)
{
  g_string_append (self->out, rows > 0 ? "\n]\n" : "]\n");
}

static void
ndjson_row (GtQueryWriter *self, const GtQueryCell *cells)
{
  append_object (self, cells);
  g_string_append_c (self->out, '\n');
}

/* --- markdown ------------------------------------------------------------------------------------
 */

/* What would be read as markup. */
static void
append_markdown (GString *out, const char *text, gsize bytes)
{
  for (gsize i = 0; i < bytes; i++) {
    char c = text[i];
    if (c == '\n')
      g_string_append (out, "<br>");
    else if (c == '\0')
      g_string_append (out, "\xEF\xBF\xBD");
    else if (c != '\r') {
      if (strchr ("\\`*_[]<>|~&#", c) != NULL)
        g_string_append_c (out, '\\');
      g_string_append_c (out, c);
    }
  }
}

static void
markdown_begin (GtQueryWriter *self)
{
  if (self->results > 1)
    g_string_append_c (self->out, '\n');
  g_string_append_c (self->out, '|');
  for (guint i = 0; i < self->columns->len; i++) {
    g_string_append_c (self->out, ' ');
    append_markdown (self->out, name_at (self, i), strlen (name_at (self, i)));
    g_string_append (self->out, " |");
  }
  g_string_append (self->out, "\n|");
  for (guint i = 0; i < self->columns->len; i++)
    g_string_append (self->out, gt_query_type_is_number (type_at (self, i)) ? " ---: |" : " --- |");
  g_string_append_c (self->out, '\n');
}

static void
markdown_row (GtQueryWriter *self, const GtQueryCell *cells)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_string_append_c (self->out, '|');
  for (guint i = 0; i < self->columns->len; i++) {
    g_string_assign (text, gt_query_cell_is_null (cells[i]) ? "NULL" : "");
    gt_query_append_text (text, type_at (self, i), cells[i]);
    g_string_append_c (self->out, ' ');
    append_markdown (self->out, text->str, text->len);
    g_string_append (self->out, " |");
  }
  g_string_append_c (self->out, '\n');
}

/* --- the writer ----------------------------------------------------------------------------------
 */

static void
nothing (GtQueryWriter *self, guint64 rows)
{
  (void) self, (void) rows;
}

static const struct {
  void (*begin) (GtQueryWriter *);
  void (*row) (GtQueryWriter *, const GtQueryCell *);
  void (*end) (GtQueryWriter *, guint64);
} hands[GT_QUERY_FORMAT_COUNT] = {
  [GT_QUERY_FORMAT_TABLE] = { gt_query_table_begin, gt_query_table_row, gt_query_table_end },
  [GT_QUERY_FORMAT_CSV] = { csv_begin, csv_row, nothing },
  [GT_QUERY_FORMAT_JSON] = { json_begin, json_row, json_end },
  [GT_QUERY_FORMAT_NDJSON] = { make_keys, ndjson_row, nothing },
  [GT_QUERY_FORMAT_MARKDOWN] = { markdown_begin, markdown_row, nothing },
  /* Rows of the statements before the last one, which DuckDB writes into a file, are not shown. */
  [GT_QUERY_FORMAT_PARQUET] = { NULL, NULL, NULL },
};

static void
on_begin (gpointer data, const GPtrArray *columns)
{
  GtQueryWriter *self = data;
  self->columns = columns;
  self->rows = 0;
  self->results++;
  if (hands[self->format].begin != NULL)
    hands[self->format].begin (self);
}

static void
on_row (gpointer data, const GtQueryCell *cells)
{
  GtQueryWriter *self = data;
  if (hands[self->format].row != NULL)
    hands[self->format].row (self, cells);
  self->rows++;
}

static void
on_end (gpointer data, guint64 rows)
{
  GtQueryWriter *self = data;
  if (hands[self->format].end != NULL)
    hands[self->format].end (self, rows);
  self->columns = NULL;
}

const GtQuerySink gt_query_writer_sink = { on_begin, on_row, on_end };

GtQueryWriter *
gt_query_writer_new (GtQueryFormat format, GtQueryLook look)
{
  GtQueryWriter *self = g_new0 (GtQueryWriter, 1);
  self->format = format;
  self->look = look;
  self->out = g_string_new (NULL);
  return self;
}

void
gt_query_writer_free (GtQueryWriter *self)
{
  if (self == NULL)
    return;
  gt_query_table_clear (&self->table);
  g_strfreev (self->keys);
  g_string_free (self->out, TRUE);
  g_free (self);
}

GString *
gt_query_writer_text (GtQueryWriter *self)
{
  return self->out;
}

void
gt_query_writer_release (GtQueryWriter *self)
{
  if (self->format == GT_QUERY_FORMAT_TABLE && self->columns != NULL)
    gt_query_table_release (self);
}
