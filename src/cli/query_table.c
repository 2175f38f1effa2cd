/* Tables for reading. Columns are measured on the first rows; those that come later and are wider
 * are cut on a screen and stick out elsewhere. */
#include "cli/query_format_private.h"
#include "cli/query_width.h"

#include <string.h>

#define MEASURED_ROWS  1000
#define MEASURED_BYTES (4 << 20)
/* No column of a screen is made narrower than this to make room for others. */
#define NARROW 8
#define GAP    (-1)

typedef struct {
  const char *left, *middle, *right, *line;
} Rule;

enum { TOP, HEAD, BOTTOM };

static const Rule rules[2][3] = {
  { { "┌", "┬", "┐", "─" }, { "├", "┼", "┤", "─" }, { "└", "┴", "┘", "─" } },
  { { "+", "+", "+", "-" }, { "+", "+", "+", "-" }, { "+", "+", "+", "-" } },
};

void
gt_query_table_clear (GtQueryTable *table)
{
  g_clear_pointer (&table->rows, g_ptr_array_unref);
  g_clear_pointer (&table->widths, g_free);
  g_clear_pointer (&table->shown, g_array_unref);
  table->bytes = 0;
}

static const GtQueryColumn *
column_at (const GtQueryWriter *self, guint i)
{
  return self->columns->pdata[i];
}

void
gt_query_table_begin (GtQueryWriter *self)
{
  gt_query_table_clear (&self->table);
  self->table.rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  if (self->results > 1)
    g_string_append_c (self->out, '\n');
}

/* --- the layout ----------------------------------------------------------------------------------
 */

static void
measure (GtQueryWriter *self)
{
  GtQueryTable *table = &self->table;
  guint n = self->columns->len;
  table->widths = g_new0 (guint, n);
  for (guint i = 0; i < n; i++) {
    g_autoptr (GString) name = g_string_new (NULL);
    gt_query_append_visible (name, column_at (self, i)->name, strlen (column_at (self, i)->name));
    table->widths[i] = MAX (gt_query_width (name->str), 1);
    for (guint row = 0; row < table->rows->len; row++)
      table->widths[i]
          = MAX (table->widths[i], gt_query_width (((GStrv) table->rows->pdata[row])[i]));
  }
}

/* Of the whole table when no column is wider than `cap`: "│ a │ b │". */
static guint
total_width (const GtQueryTable *table, guint n, guint cap)
{
  guint total = 1;
  for (guint i = 0; i < n; i++)
    total += MIN (table->widths[i], cap) + 3;
  return total;
}

static void
show_all (GtQueryTable *table, guint n)
{
  for (int i = 0; i < (int) n; i++)
    g_array_append_val (table->shown, i);
}

/* Columns from both ends as long as there is room, and a gap for the others. The first one is
 * always shown. */
static void
show_ends (GtQueryTable *table, guint n, guint room)
{
  guint used = 1 + 4; /* the gap */
  guint first = 0, last = n;
  for (gboolean at_start = TRUE; first < last; at_start = !at_start) {
    guint next = at_start ? first : last - 1;
    used += table->widths[next] + 3;
    if (used > room && first > 0)
      break;
    if (at_start)
      first++;
    else
      last--;
  }
  const int gap = GAP;
  for (int i = 0; i < (int) first; i++)
    g_array_append_val (table->shown, i);
  g_array_append_val (table->shown, gap);
  for (int i = (int) last; i < (int) n; i++)
    g_array_append_val (table->shown, i);
}

static void
lay_out (GtQueryWriter *self)
{
  GtQueryTable *table = &self->table;
  guint n = self->columns->len, room = self->look.screen_columns;
  measure (self);
  table->shown = g_array_new (FALSE, FALSE, sizeof (int));
  if (room == 0 || total_width (table, n, G_MAXUINT) <= room) {
    show_all (table, n);
    return;
  }
  guint cap = NARROW;
  while (total_width (table, n, cap + 1) <= room)
    cap++;
  for (guint i = 0; i < n; i++)
    table->widths[i] = MIN (table->widths[i], cap);
  if (total_width (table, n, cap) <= room)
    show_all (table, n);
  else
    show_ends (table, n, room);
}

/* --- drawing -------------------------------------------------------------------------------------
 */

static guint
shown_width (const GtQueryTable *table, guint i)
{
  int column = g_array_index (table->shown, int, i);
  return column == GAP ? 1 : table->widths[column];
}

static void
draw_rule (GtQueryWriter *self, int which)
{
  const Rule *rule = &rules[self->look.ascii ? 1 : 0][which];
  for (guint i = 0; i < self->table.shown->len; i++) {
    g_string_append (self->out, i == 0 ? rule->left : rule->middle);
    for (guint n = shown_width (&self->table, i) + 2; n > 0; n--)
      g_string_append (self->out, rule->line);
  }
  g_string_append (self->out, rule->right);
  g_string_append_c (self->out, '\n');
}

static void
draw_cell (GtQueryWriter *self, const char *text, guint width, gboolean right)
{
  g_autoptr (GString) cell = g_string_new (NULL);
  guint most = self->look.screen_columns > 0 ? width : G_MAXUINT;
  guint used = gt_query_append_cut (cell, text, most, self->look.ascii);
  guint pad = used < width ? width - used : 0;
  g_string_append_printf (self->out, " %*s%s%*s ", right ? (int) pad : 0, "", cell->str,
                          right ? 0 : (int) pad, "");
}

static void
draw_row (GtQueryWriter *self, char *const *texts, gboolean head)
{
  const char *bar = self->look.ascii ? "|" : "│";
  for (guint i = 0; i < self->table.shown->len; i++) {
    int column = g_array_index (self->table.shown, int, i);
    g_string_append (self->out, bar);
    if (column == GAP)
      draw_cell (self, self->look.ascii ? ">" : "…", 1, FALSE);
    else
      draw_cell (self, texts[column], self->table.widths[column],
                 !head && gt_query_type_is_number (column_at (self, (guint) column)->type));
  }
  g_string_append (self->out, bar);
  g_string_append_c (self->out, '\n');
}

static void
draw_head (GtQueryWriter *self)
{
  guint n = self->columns->len;
  g_auto (GStrv) names = g_new0 (char *, n + 1);
  for (guint i = 0; i < n; i++) {
    GString *name = g_string_new (NULL);
    gt_query_append_visible (name, column_at (self, i)->name, strlen (column_at (self, i)->name));
    names[i] = g_string_free (name, FALSE);
  }
  draw_rule (self, TOP);
  draw_row (self, names, TRUE);
  draw_rule (self, HEAD);
}

void
gt_query_table_release (GtQueryWriter *self)
{
  if (self->table.rows == NULL)
    return;
  lay_out (self);
  draw_head (self);
  for (guint i = 0; i < self->table.rows->len; i++)
    draw_row (self, self->table.rows->pdata[i], FALSE);
  g_clear_pointer (&self->table.rows, g_ptr_array_unref);
}

void
gt_query_table_row (GtQueryWriter *self, const GtQueryCell *cells)
{
  GtQueryTable *table = &self->table;
  guint n = self->columns->len;
  g_auto (GStrv) texts = g_new0 (char *, n + 1);
  g_autoptr (GString) plain = g_string_new (NULL);
  for (guint i = 0; i < n; i++) {
    GString *text = g_string_new (NULL);
    g_string_assign (plain, gt_query_cell_is_null (cells[i]) ? "NULL" : "");
    gt_query_append_text (plain, column_at (self, i)->type, cells[i]);
    gt_query_append_visible (text, plain->str, plain->len);
    table->bytes += text->len;
    texts[i] = g_string_free (text, FALSE);
  }
  if (table->rows == NULL) {
    draw_row (self, texts, FALSE);
    return;
  }
  g_ptr_array_add (table->rows, g_steal_pointer (&texts));
  if (table->rows->len >= MEASURED_ROWS || table->bytes >= MEASURED_BYTES)
    gt_query_table_release (self);
}

void
gt_query_table_end (GtQueryWriter *self, guint64 rows)
{
  gt_query_table_release (self);
  draw_rule (self, BOTTOM);
  guint n = self->columns->len, gaps = 0, columns = 0;
  for (guint i = 0; i < self->table.shown->len; i++) {
    gboolean gap = g_array_index (self->table.shown, int, i) == GAP;
    gaps += gap ? 1 : 0;
    columns += gap ? 0 : 1;
  }
  g_string_append_printf (self->out, "(%" G_GUINT64_FORMAT " row%s", rows, rows == 1 ? "" : "s");
  if (gaps > 0)
    g_string_append_printf (self->out, ", %u of %u columns", columns, n);
  g_string_append (self->out, ")\n");
}
