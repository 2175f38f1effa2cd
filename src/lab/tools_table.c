#include "lab/tools_table.h"

#include "os/clock.h"

#include <string.h>

#define RED   "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

enum { NAME_WIDTH = 21, FIGURE_WIDTH = 9 };

static double
ms (gint64 ns)
{
  return (double) ns / (double) GT_NSEC_PER_MSEC;
}

static GtToolSeries *
tool_at (const GtToolRun *run, guint index)
{
  return run->tools->pdata[index];
}

/* --- columns: cases that share one stand together in the table of cases ---------------------- */

static gboolean
is_in_run (const GtToolRun *run, const GtToolCase *tested)
{
  for (guint i = 0; i < run->tools->len; i++)
    for (guint t = 0; t < tool_at (run, i)->trials->len; t++)
      if (((GtToolTrial *) tool_at (run, i)->trials->pdata[t])->tested == tested)
        return TRUE;
  return FALSE;
}

/* Names of the columns that the run has, static strings. */
static GPtrArray *
columns_of (const GtToolRun *run)
{
  GPtrArray *columns = g_ptr_array_new ();
  const GtToolCase *tested;
  for (guint i = 0; (tested = gt_tool_case (i)) != NULL; i++)
    if (is_in_run (run, tested)
        && (columns->len == 0 || strcmp (columns->pdata[columns->len - 1], tested->column) != 0))
      g_ptr_array_add (columns, (gpointer) tested->column);
  return columns;
}

/* Faults of all trials in a column; *any: there were some trials. */
static guint
column_faults (const GtToolRun *run, const GtToolSeries *tool, const char *column, gboolean *any)
{
  guint faults = 0;
  *any = FALSE;
  for (guint i = 0; i < tool->trials->len; i++) {
    const GtToolTrial *trial = tool->trials->pdata[i];
    if (strcmp (trial->tested->column, column) != 0)
      continue;
    *any = TRUE;
    faults |= gt_tool_judge (tool, trial, run->settings);
  }
  return faults;
}

/* --- rows ----------------------------------------------------------------------------------- */

static void
add_header (GString *out, const GPtrArray *columns)
{
  g_string_append_printf (out, "%-*s", NAME_WIDTH, "tool");
  for (guint i = 0; i < columns->len; i++)
    g_string_append_printf (out, " %s", (char *) columns->pdata[i]);
  g_string_append_printf (out, "%*s%*s%*s%6s%8s\n", FIGURE_WIDTH, "late p50", FIGURE_WIDTH, "max",
                          FIGURE_WIDTH, "start", "left", "passed");
}

static void
add_cell (GString *out, const char *column, guint faults, gboolean any, gboolean colour)
{
  char text = any ? '.' : ' ';
  for (GtToolFault f = GT_N_TOOL_FAULTS; f-- > 0;)
    if ((faults >> f & 1) != 0)
      text = gt_tool_fault_letter (f);
  int width = (int) strlen (column);
  g_string_append_printf (out, " %s%c%s%*s",
                          !colour       ? ""
                          : faults != 0 ? RED
                                        : GREEN,
                          text, colour ? PLAIN : "", width - 1, "");
}

static void
add_figure (GString *out, gint64 ns)
{
  if (ns == G_MININT64)
    g_string_append_printf (out, "%*s", FIGURE_WIDTH, "-");
  else
    g_string_append_printf (out, "%*.2f", FIGURE_WIDTH, ms (ns));
}

static void
add_tool (GString *out, const GtToolRun *run, const GtToolSeries *tool, const GPtrArray *columns,
          gboolean colour)
{
  GtToolFigures figures;
  gt_tool_figures (run, tool, &figures);
  g_string_append_printf (out, "%-*s", NAME_WIDTH, tool->name);
  for (guint i = 0; i < columns->len; i++) {
    gboolean any;
    guint faults = column_faults (run, tool, columns->pdata[i], &any);
    add_cell (out, columns->pdata[i], faults, any, colour);
  }
  add_figure (out, figures.late_p50_ns);
  add_figure (out, figures.late_max_ns);
  add_figure (out, figures.start_p50_ns);
  g_string_append_printf (out, "%6d%5u/%u\n", (int) figures.survivors,
                          figures.n_trials - figures.n_failed, figures.n_trials);
}

/* --- below the table ------------------------------------------------------------------------ */

static guint
all_faults (const GtToolRun *run)
{
  guint faults = 0;
  for (guint i = 0; i < run->tools->len; i++)
    for (guint t = 0; t < tool_at (run, i)->trials->len; t++)
      faults |= gt_tool_judge (tool_at (run, i), tool_at (run, i)->trials->pdata[t], run->settings);
  return faults;
}

static void
add_legend (GString *out, const GtToolRun *run, const GPtrArray *columns)
{
  guint faults = all_faults (run);
  const double *set = run->settings;
  g_string_append (out, "\n. kept its promise\n");
  for (GtToolFault f = 0; f < GT_N_TOOL_FAULTS; f++)
    if ((faults >> f & 1) != 0)
      g_string_append_printf (out, "%c %s\n", gt_tool_fault_letter (f), gt_tool_fault_meaning (f));
  g_string_append_printf (
      out,
      "Late: ms from the limit (%g s after the tool was executed) until the tool had ended and its "
      "command was dead,\nwhere the limit fired and nothing survived; beyond %g ms is L; a grace "
      "(%g s) counts as promised.\nStart: ms that the tool adds to a command that does nothing, "
      "p50. Left: processes alive %g ms after the tool had ended.\n\n",
      set[GT_TOOL_SETTING_SECONDS], set[GT_TOOL_SETTING_TOLERANCE] * 1000,
      set[GT_TOOL_SETTING_GRACE], set[GT_TOOL_SETTING_SETTLE] * 1000);
  const GtToolCase *tested;
  for (guint c = 0; c < columns->len; c++) {
    g_string_append_printf (out, "%-7s ", (char *) columns->pdata[c]);
    const char *comma = "";
    for (guint i = 0; (tested = gt_tool_case (i)) != NULL; i++)
      if (strcmp (tested->column, columns->pdata[c]) == 0 && is_in_run (run, tested)) {
        g_string_append_printf (out, "%s%s", comma, tested->text);
        comma = "; ";
      }
    g_string_append_c (out, '\n');
  }
}

static void
add_skipped (GString *out, const GtToolRun *run)
{
  const char *heading = "\nSkipped\n";
  for (guint i = 0; i < run->tools->len; i++) {
    const GtToolSeries *tool = tool_at (run, i);
    if (tool->skip_why == NULL)
      continue;
    g_string_append_printf (out, "%s%-*s %s\n", heading, NAME_WIDTH, tool->name, tool->skip_why);
    heading = "";
  }
}

/* What a trial did, in words. */
static void
add_trial (GString *out, const GtToolRun *run, const GtToolSeries *tool, const GtToolTrial *trial)
{
  guint faults = gt_tool_judge (tool, trial, run->settings);
  gint64 due_ns = gt_tool_due_ns (tool, trial);
  gint64 over_ns = gt_tool_over_ns (trial);
  g_string_append_printf (out, "%-*s %-15s", NAME_WIDTH, tool->name, trial->tested->name);
  for (GtToolFault f = 0; f < GT_N_TOOL_FAULTS; f++)
    if ((faults >> f & 1) != 0)
      g_string_append_printf (out, " %s", gt_tool_fault_name (f));
  if (faults == 0)
    g_string_append (out, " kept");
  if (trial->told_ns != 0)
    g_string_append_printf (out, ", code %d", (int) trial->code);
  if (trial->told_ns != 0 && trial->survivors > 0)
    g_string_append_printf (out, ", %d alive", (int) trial->survivors);
  if (over_ns != 0 && due_ns != 0)
    g_string_append_printf (out, ", over %.2f ms %s its time", ms (ABS (over_ns - due_ns)),
                            over_ns < due_ns ? "before" : "after");
  if (faults != 0 && trial->said != NULL)
    g_string_append_printf (out, ": %s", trial->said);
  g_string_append_c (out, '\n');
}

static void
add_details (GString *out, const GtToolRun *run)
{
  g_string_append_c (out, '\n');
  for (guint i = 0; i < run->tools->len; i++)
    for (guint t = 0; t < tool_at (run, i)->trials->len; t++)
      add_trial (out, run, tool_at (run, i), tool_at (run, i)->trials->pdata[t]);
}

/* The tools that kept every promise, in one sentence. */
static void
add_answer (GString *out, const GtToolRun *run)
{
  g_autoptr (GString) kept = g_string_new (NULL);
  for (guint i = 0; i < run->tools->len; i++) {
    GtToolFigures figures;
    gt_tool_figures (run, tool_at (run, i), &figures);
    if (figures.n_trials > 0 && figures.n_failed == 0)
      g_string_append_printf (kept, "%s%s", kept->len > 0 ? ", " : "", figures.tool->name);
  }
  g_string_append_printf (out, "\nKept every promise: %s.\n", kept->len > 0 ? kept->str : "none");
}

char *
gt_tool_table_text (const GtToolRun *run, gboolean detail, gboolean colour)
{
  GString *out = g_string_new (NULL);
  g_autoptr (GPtrArray) columns = columns_of (run);
  g_string_append_printf (out, "%s\n%s\n\n", run->title != NULL ? run->title : run->experiment,
                          run->question != NULL ? run->question : "");
  add_header (out, columns);
  for (guint i = 0; i < run->tools->len; i++)
    if (tool_at (run, i)->skip_why == NULL)
      add_tool (out, run, tool_at (run, i), columns, colour);
  add_legend (out, run, columns);
  add_skipped (out, run);
  if (detail)
    add_details (out, run);
  add_answer (out, run);
  if (!run->complete)
    g_string_append (out, "The run is not complete.\n");
  return g_string_free (out, FALSE);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static json_t *
ms_or_null (gint64 ns)
{
  return ns == G_MININT64 ? json_null () : json_real (ms (ns));
}

static json_t *
trial_json (const GtToolRun *run, const GtToolSeries *tool, const GtToolTrial *trial)
{
  guint faults = gt_tool_judge (tool, trial, run->settings);
  gint64 due_ns = gt_tool_due_ns (tool, trial);
  gint64 over_ns = gt_tool_over_ns (trial);
  json_t *names = json_array ();
  for (GtToolFault f = 0; f < GT_N_TOOL_FAULTS; f++)
    if ((faults >> f & 1) != 0)
      json_array_append_new (names, json_string (gt_tool_fault_name (f)));
  json_t *object
      = json_pack ("{ss si sb so so ss?}", "case", trial->tested->name, "n", trial->n, "kept",
                   faults == 0, "faults", names, "late_ms",
                   ms_or_null (due_ns != 0 && over_ns != 0 ? over_ns - due_ns : G_MININT64), "said",
                   trial->said);
#define X(name) json_object_set_new (object, #name, json_integer (trial->name));
  GT_TOOL_TRIAL_FIELDS (X)
#undef X
  return object;
}

static json_t *
tool_json (const GtToolRun *run, const GtToolSeries *tool)
{
  GtToolFigures figures;
  gt_tool_figures (run, tool, &figures);
  json_t *trials = json_array ();
  for (guint i = 0; i < tool->trials->len; i++)
    json_array_append_new (trials, trial_json (run, tool, tool->trials->pdata[i]));
  return json_pack ("{ss ss? ss? si si sI si so so so so}", "tool", tool->name, "command",
                    tool->command, "skipped", tool->skip_why, "trials", (int) figures.n_trials,
                    "failed", (int) figures.n_failed, "survivors", (json_int_t) figures.survivors,
                    "late_samples", (int) figures.n_late, "late_p50_ms",
                    ms_or_null (figures.late_p50_ns), "late_max_ms",
                    ms_or_null (figures.late_max_ns), "start_p50_ms",
                    ms_or_null (figures.start_p50_ns), "cases", trials);
}

json_t *
gt_tool_table_json (const GtToolRun *run)
{
  json_t *tools = json_array ();
  json_t *settings = json_object ();
  for (guint i = 0; i < run->tools->len; i++)
    json_array_append_new (tools, tool_json (run, tool_at (run, i)));
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS; s++)
    json_object_set_new (settings, gt_tool_setting_key (s), json_real (run->settings[s]));
  return json_pack ("{ss ss ss? si sb sb sI so so}", "kind", "run-tools", "experiment",
                    run->experiment, "started", run->started, "cpus", (int) run->cpus, "complete",
                    run->complete, "interrupted", run->interrupted, "left", (json_int_t) run->left,
                    "settings", settings, "tools", tools);
}
