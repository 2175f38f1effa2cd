#include "lab/interrupt_table.h"

#include "os/clock.h"

#include <string.h>

#define CELL 22

/* The trials of one cell: the latest of them is shown, and what any of them did. */
typedef struct {
  const GtInterruptTrial *worst;
  guint n, wrote, misstated;
} Cell;

static gint
compare_offsets (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;
  return x < y ? -1 : x > y;
}

static GArray *
offsets_of (const GtInterruptRun *run)
{
  GArray *offsets = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < run->trials->len; i++) {
    gint64 offset = ((GtInterruptTrial *) run->trials->pdata[i])->offset_ns;
    gboolean known = FALSE;
    for (guint k = 0; k < offsets->len; k++)
      known = known || g_array_index (offsets, gint64, k) == offset;
    if (!known)
      g_array_append_val (offsets, offset);
  }
  g_array_sort (offsets, compare_offsets);
  return offsets;
}

static Cell
cell_of (const GtInterruptRun *run, const char *duckdb, const char *query, gint64 offset_ns)
{
  Cell cell = { 0 };
  for (guint i = 0; i < run->trials->len; i++) {
    const GtInterruptTrial *trial = run->trials->pdata[i];
    if (trial->offset_ns != offset_ns || !g_str_equal (trial->query, query)
        || !g_str_equal (trial->duckdb, duckdb))
      continue;
    cell.n++;
    cell.wrote += trial->wrote ? 1 : 0;
    cell.misstated += trial->misstated ? 1 : 0;
    if (cell.worst == NULL || trial->end > cell.worst->end
        || (trial->end == cell.worst->end && trial->late_ns > cell.worst->late_ns))
      cell.worst = trial;
  }
  return cell;
}

static void
append_duration (GString *out, gint64 ns)
{
  if (ns < GT_NSEC_PER_SEC)
    g_string_append_printf (out, "%.1f ms", (double) ns / (double) GT_NSEC_PER_MSEC);
  else
    g_string_append_printf (out, "%.2f s", (double) ns / (double) GT_NSEC_PER_SEC);
}

/* "stopped 2.1 ms", "killed 4.00 s", "committed 812 ms, wrote" */
static void
append_cell (GString *out, const GtInterruptRun *run, const Cell *cell, gboolean colour)
{
  g_autoptr (GString) text = g_string_new (NULL);
  if (cell->worst == NULL) {
    g_string_append_printf (out, "  %-*s", CELL, "-");
    return;
  }
  const GtInterruptTrial *trial = cell->worst;
  g_string_append (text, gt_interrupt_end_name (trial->end));
  if (trial->late_ns >= 0) {
    g_string_append_c (text, ' ');
    append_duration (text, trial->late_ns);
  }
  if (cell->wrote > 0 && trial->end != GT_INTERRUPT_END_EARLY)
    g_string_append (text, ", wrote");
  gint64 tolerance = (gint64) (run->settings[GT_INTERRUPT_TOLERANCE] * (double) GT_NSEC_PER_SEC);
  const char *tint = trial->end == GT_INTERRUPT_END_EARLY ? "\033[2m"
                     : trial->end == GT_INTERRUPT_END_STOPPED && trial->late_ns <= tolerance
                         ? "\033[32m"
                     : trial->end == GT_INTERRUPT_END_STOPPED ? "\033[33m"
                                                              : "\033[31m";
  g_string_append_printf (out, "  %s%s%s%*s", colour ? tint : "", text->str,
                          colour ? "\033[0m" : "", (int) MAX (CELL - (int) text->len, 0), "");
}

static void
end_line (GString *out)
{
  while (out->len > 0 && out->str[out->len - 1] == ' ')
    g_string_truncate (out, out->len - 1);
  g_string_append_c (out, '\n');
}

static void
append_head (GString *out, const GtInterruptRun *run, const GArray *offsets)
{
  g_string_append_printf (out, "%s\n%s\nDuckDB", run->title != NULL ? run->title : run->experiment,
                          run->question != NULL ? run->question : "");
  for (guint i = 0; i < run->duckdbs->len; i++)
    g_string_append_printf (out, "%s %s", i > 0 ? "," : "", (char *) run->duckdbs->pdata[i]);
  g_string_append_printf (out, "; %u CPUs, %g threads; killed %g s after the interrupt\n\n",
                          run->cpus, run->settings[GT_INTERRUPT_THREADS],
                          run->settings[GT_INTERRUPT_PATIENCE]);
  g_string_append_printf (out, "%-10s %-16s %-16s", "DuckDB", "query", "class");
  for (guint i = 0; i < offsets->len; i++) {
    g_autofree char *name = g_strdup_printf ("at %g s", (double) g_array_index (offsets, gint64, i)
                                                            / (double) GT_NSEC_PER_SEC);
    g_string_append_printf (out, "  %-*s", CELL, name);
  }
  end_line (out);
}

static void
append_rows (GString *out, const GtInterruptRun *run, const GArray *offsets, gboolean colour)
{
  for (guint q = 0; q < run->queries->len; q++)
    for (guint d = 0; d < run->duckdbs->len; d++) {
      const char *query = run->queries->pdata[q], *duckdb = run->duckdbs->pdata[d];
      g_string_append_printf (out, "%-10s %-16s %-16s", duckdb, query,
                              (char *) g_hash_table_lookup (run->classes, query));
      for (guint i = 0; i < offsets->len; i++) {
        Cell cell = cell_of (run, duckdb, query, g_array_index (offsets, gint64, i));
        append_cell (out, run, &cell, colour);
      }
      end_line (out);
    }
}

static void
append_legend (GString *out, const GtInterruptRun *run)
{
  guint counts[GT_N_INTERRUPT_ENDS] = { 0 }, misstated = 0;
  for (guint i = 0; i < run->trials->len; i++) {
    const GtInterruptTrial *trial = run->trials->pdata[i];
    counts[trial->end]++;
    misstated += trial->misstated ? 1 : 0;
  }
  g_string_append_c (out, '\n');
  for (int end = 0; end < GT_N_INTERRUPT_ENDS; end++)
    if (counts[end] > 0)
      g_string_append_printf (out, "%3u %-10s %s\n", counts[end],
                              gt_interrupt_end_name ((GtInterruptEnd) end),
                              gt_interrupt_end_meaning ((GtInterruptEnd) end));
  g_string_append (out, "Times: from the interrupt until the answer, or the death. \"wrote\": "
                        "what is in the database changed.\n");
  if (misstated > 0)
    g_string_append_printf (out,
                            "%u times the record says that nothing was committed, and "
                            "something was: a fault.\n",
                            misstated);
  if (!run->complete)
    g_string_append (out, "The run was interrupted: this is what was seen until then.\n");
}

static void
append_detail (GString *out, const GtInterruptRun *run)
{
  g_string_append (out, "\nEvery trial:\n");
  for (guint i = 0; i < run->trials->len; i++) {
    const GtInterruptTrial *trial = run->trials->pdata[i];
    const char *ack = json_string_value (json_object_get (trial->record, "acknowledged"));
    const char *committed = json_string_value (json_object_get (trial->record, "committed"));
    g_string_append_printf (out, "  %-10s %-16s at %g s  %s", trial->duckdb, trial->query,
                            (double) trial->offset_ns / (double) GT_NSEC_PER_SEC,
                            gt_interrupt_end_name (trial->end));
    if (trial->late_ns >= 0) {
      g_string_append_c (out, ' ');
      append_duration (out, trial->late_ns);
    }
    g_string_append_printf (out, "  interrupt: %s, committed: %s", ack != NULL ? ack : "-",
                            committed != NULL ? committed : "-");
    if (trial->checked)
      g_string_append_printf (out, ", check: %" G_GINT64_FORMAT " -> %" G_GINT64_FORMAT,
                              trial->before, trial->after);
    g_string_append_c (out, '\n');
  }
}

char *
gt_interrupt_table_text (const GtInterruptRun *run, gboolean detail, gboolean colour)
{
  GString *out = g_string_new (NULL);
  g_autoptr (GArray) offsets = offsets_of (run);
  append_head (out, run, offsets);
  append_rows (out, run, offsets, colour);
  append_legend (out, run);
  if (detail)
    append_detail (out, run);
  return g_string_free (out, FALSE);
}

json_t *
gt_interrupt_table_json (const GtInterruptRun *run)
{
  json_t *trials = json_array (), *duckdbs = json_array (), *settings = json_object ();
  for (guint i = 0; i < run->duckdbs->len; i++)
    json_array_append_new (duckdbs, json_string (run->duckdbs->pdata[i]));
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    json_object_set_new (settings, gt_interrupt_setting_key ((GtInterruptSetting) s),
                         json_real (run->settings[s]));
  for (guint i = 0; i < run->trials->len; i++) {
    const GtInterruptTrial *trial = run->trials->pdata[i];
    json_array_append_new (
        trials,
        json_pack ("{ss ss ss si sI ss so so so sb sb sO}", "duckdb", trial->duckdb, "query",
                   trial->query, "class", (char *) g_hash_table_lookup (run->classes, trial->query),
                   "n", trial->n, "offset_ns", (json_int_t) trial->offset_ns, "end",
                   gt_interrupt_end_name (trial->end), "late_ns",
                   trial->late_ns >= 0 ? json_integer (trial->late_ns) : json_null (), "before",
                   trial->checked ? json_integer (trial->before) : json_null (), "after",
                   trial->checked ? json_integer (trial->after) : json_null (), "wrote",
                   trial->wrote, "misstated", trial->misstated, "record", trial->record));
  }
  return json_pack ("{ss ss? ss? ss? ss? si sb so so so}", "experiment", run->experiment, "title",
                    run->title, "question", run->question, "started", run->started, "version",
                    run->version, "cpus", (int) run->cpus, "complete", run->complete, "duckdb",
                    duckdbs, "settings", settings, "trials", trials);
}
