#include "lab/tools_verdict.h"

/* What a kernel's clock tick may take away: not early. */
#define EARLY_NS G_GINT64_CONSTANT (1000000)

static const struct {
  char letter;
  const char *name, *meaning;
} fault_rows[] = {
#define X(id, letter, name, meaning) { letter, name, meaning },
  GT_TOOL_FAULTS (X)
#undef X
};

char
gt_tool_fault_letter (GtToolFault fault)
{
  return fault_rows[fault].letter;
}

const char *
gt_tool_fault_name (GtToolFault fault)
{
  return fault_rows[fault].name;
}

const char *
gt_tool_fault_meaning (GtToolFault fault)
{
  return fault_rows[fault].meaning;
}

gint64
gt_tool_due_ns (const GtToolSeries *tool, const GtToolTrial *trial)
{
  if (trial->signal_ns != 0)
    return trial->signal_ns + (trial->tested->drive == GT_TOOL_TERMINATE ? tool->grace_ns : 0);
  if (!gt_tool_case_times_out (trial->tested) || trial->start_ns == 0)
    return 0;
  return trial->start_ns + trial->limit_ns
         + (trial->tested->promise == GT_TOOL_TIMES_OUT_HARD ? tool->grace_ns : 0);
}

gint64
gt_tool_over_ns (const GtToolTrial *trial)
{
  gboolean alive = trial->begin_ns != 0 && trial->dead_ns == 0;
  return trial->told_ns == 0 || alive ? 0 : MAX (trial->told_ns, trial->dead_ns);
}

static gboolean
code_is_right (const GtToolSeries *tool, const GtToolTrial *trial)
{
  int code = (int) trial->code;
  switch (trial->tested->promise) {
  case GT_TOOL_PASSES:
  case GT_TOOL_LETS_GO:
    return code == trial->tested->number;
  case GT_TOOL_TIMES_OUT:
  case GT_TOOL_TIMES_OUT_HARD:
    return gt_tool_codes_have (&tool->timed_out, code);
  case GT_TOOL_GIVES_UP:
    return code != 0;
  case GT_TOOL_FINDS_NOTHING:
    return gt_tool_codes_have (&tool->not_found, code);
  case GT_TOOL_CANNOT_EXECUTE:
    return gt_tool_codes_have (&tool->not_executable, code);
  case GT_TOOL_IS_GONE:
    break;
  }
  return TRUE;
}

/* Whether the case took place. */
static gboolean
is_broken (const GtToolTrial *trial)
{
  const GtToolCase *tested = trial->tested;
  if (tested->act == NULL)
    return trial->begin_ns != 0;
  return trial->begin_ns == 0 || (gt_tool_case_times_out (tested) && trial->ready_ns == 0)
         || (tested->drive >= GT_TOOL_KILL && trial->signal_ns == 0);
}

guint
gt_tool_judge (const GtToolSeries *tool, const GtToolTrial *trial, const double *settings)
{
  gint64 due_ns = gt_tool_due_ns (tool, trial);
  gint64 over_ns = gt_tool_over_ns (trial);
  guint faults = 0;
  if (trial->told_ns == 0)
    return 1 << GT_TOOL_FAULT_HUNG;
  if (is_broken (trial))
    faults |= 1 << GT_TOOL_FAULT_BROKEN;
  if (trial->survivors > 0)
    faults |= 1 << (trial->begin_ns != 0 && trial->dead_ns == 0 ? GT_TOOL_FAULT_SURVIVED
                                                                : GT_TOOL_FAULT_HELPER);
  if (trial->tested->promise == GT_TOOL_LETS_GO && trial->piped_ns == 0)
    faults |= 1 << GT_TOOL_FAULT_PIPE;
  if (due_ns != 0 && over_ns > due_ns + gt_tool_setting_ns (settings, GT_TOOL_SETTING_TOLERANCE))
    faults |= 1 << GT_TOOL_FAULT_LATE;
  if (gt_tool_case_times_out (trial->tested)
      && trial->told_ns < trial->start_ns + trial->limit_ns - EARLY_NS)
    faults |= 1 << GT_TOOL_FAULT_EARLY;
  if (!code_is_right (tool, trial))
    faults |= 1 << GT_TOOL_FAULT_CODE;
  return faults;
}

/* --- figures -------------------------------------------------------------------------------- */

static gint
compare_ns (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;
  return (x > y) - (x < y);
}

/* Sorts. */
static gint64
median_ns (GArray *values)
{
  if (values->len == 0)
    return G_MININT64;
  g_array_sort (values, compare_ns);
  return g_array_index (values, gint64, values->len / 2);
}

void
gt_tool_figures (const GtToolRun *run, const GtToolSeries *tool, GtToolFigures *figures)
{
  g_autoptr (GArray) late = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) cost = g_array_new (FALSE, FALSE, sizeof (gint64));
  *figures = (GtToolFigures){ .tool = tool, .n_trials = tool->trials->len };
  for (guint i = 0; i < tool->trials->len; i++) {
    const GtToolTrial *trial = tool->trials->pdata[i];
    gint64 due_ns = gt_tool_due_ns (tool, trial);
    gint64 over_ns = gt_tool_over_ns (trial);
    figures->n_failed += gt_tool_judge (tool, trial, run->settings) != 0;
    /* Of a tool that hangs everything is alive, the tool too. */
    figures->survivors += trial->told_ns != 0 ? trial->survivors : 0;
    /* Where a grace may be used, but need not be, the lateness means nothing. */
    if (!gt_tool_case_times_out (trial->tested) || over_ns == 0
        || (tool->grace_ns > 0 && trial->tested->promise == GT_TOOL_TIMES_OUT_HARD))
      continue;
    gint64 late_ns = over_ns - due_ns;
    g_array_append_val (late, late_ns);
  }
  for (guint i = 0; i < tool->tool_ns->len; i++) {
    gint64 cost_ns
        = g_array_index (tool->tool_ns, gint64, i) - g_array_index (tool->bare_ns, gint64, i);
    g_array_append_val (cost, cost_ns);
  }
  figures->n_late = late->len;
  figures->late_p50_ns = median_ns (late);
  figures->late_max_ns = late->len > 0 ? g_array_index (late, gint64, late->len - 1) : G_MININT64;
  figures->start_p50_ns = median_ns (cost);
}
