/* gilotine lab interrupt: DuckDB queries that are interrupted. */
#include "cli/lab_kind.h"

#include "lab/error.h"
#include "lab/interrupt_session.h"
#include "lab/interrupt_table.h"

#include <stdio.h>

static GtInterruptPlan *
load (const char *path, const GtLabOptions *options, GError **error)
{
  if (options->broker == NULL && !options->keep)
    return gt_interrupt_plan_load (path, options->quick, (const char *const *) options->only,
                                   error);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "%s: this kind of experiment has no broker and no private folder to keep; leave "
               "--broker and --keep out",
               path);
  return NULL;
}

static gboolean
describe (const char *path, const GtLabOptions *options, GError **error)
{
  g_autoptr (GtInterruptPlan) plan = gt_interrupt_plan_load (path, options->quick, NULL, error);
  if (plan == NULL)
    return FALSE;
  printf ("%-12s %3u queries   %s\n", plan->name, plan->queries->len,
          plan->title != NULL ? plan->title : "");
  return TRUE;
}

static int
list (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtInterruptPlan) plan = load (path, options, &error);
  if (plan == NULL)
    return gt_lab_fail (error);
  for (guint i = 0; i < plan->queries->len; i++) {
    const GtInterruptQuery *query = plan->queries->pdata[i];
    printf ("%-16s %s\n", query->name, query->class_name);
  }
  return GT_EXIT_OK;
}

static int
show_results (const char *dir, const GtLabOptions *options, gboolean write)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtInterruptRun) run = gt_interrupt_run_load (dir, &error);
  if (run == NULL)
    return gt_lab_fail (error);
  g_autofree char *shown = gt_interrupt_table_text (run, options->detail, gt_lab_colour ());
  g_autofree char *kept = gt_interrupt_table_text (run, TRUE, FALSE);
  return gt_lab_print (dir, options, write, shown, kept, gt_interrupt_table_json (run));
}

static int
show (const char *dir, const GtLabOptions *options)
{
  return show_results (dir, options, FALSE);
}

static int
interrupt (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtInterruptPlan) plan = load (path, options, &error);
  g_autofree char *out = plan != NULL ? gt_lab_out_dir (plan->name, options, &error) : NULL;
  if (out == NULL)
    return gt_lab_fail (error);
  gboolean ok = gt_interrupt_session_run (plan, out, !options->quiet, &error);
  return gt_lab_conclude (out, options, ok ? NULL : error, show_results);
}

const GtLabKind gt_lab_kind_interrupt = { "interrupt", describe, list, interrupt, show };
