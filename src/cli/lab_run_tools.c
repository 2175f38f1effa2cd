/* gilotine lab run-tools: command-line timeouts against cases. */
#include "cli/lab_kind.h"

#include "lab/error.h"
#include "lab/tools_session.h"
#include "lab/tools_table.h"

#include <stdio.h>

static GtToolPlan *
load (const char *path, const GtLabOptions *options, GError **error)
{
  if (options->broker == NULL && !options->keep)
    return gt_tool_plan_load (path, options->quick, (const char *const *) options->only, error);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "%s: this kind of experiment has no broker and no private folder to keep; leave "
               "--broker and --keep out",
               path);
  return NULL;
}

static gboolean
describe (const char *path, const GtLabOptions *options, GError **error)
{
  g_autoptr (GtToolPlan) plan = gt_tool_plan_load (path, options->quick, NULL, error);
  if (plan == NULL)
    return FALSE;
  printf ("%-12s %3u tools     %s\n", plan->name, plan->tools->len,
          plan->title != NULL ? plan->title : "");
  return TRUE;
}

static int
list (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtToolPlan) plan = load (path, options, &error);
  if (plan == NULL)
    return gt_lab_fail (error);
  for (guint i = 0; i < plan->tools->len; i++) {
    const GtTool *tool = plan->tools->pdata[i];
    printf ("%-22s %s\n", tool->name, tool->command);
  }
  puts ("\nCases:");
  for (guint i = 0; i < plan->cases->len; i++) {
    const GtToolCase *tested = plan->cases->pdata[i];
    printf ("%-22s %s\n", tested->name, tested->text);
  }
  return GT_EXIT_OK;
}

static int
show_results (const char *dir, const GtLabOptions *options, gboolean write)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtToolRun) run = gt_tool_run_load (dir, &error);
  if (run == NULL)
    return gt_lab_fail (error);
  g_autofree char *shown = gt_tool_table_text (run, options->detail, gt_lab_colour ());
  g_autofree char *kept = gt_tool_table_text (run, TRUE, FALSE);
  return gt_lab_print (dir, options, write, shown, kept, gt_tool_table_json (run));
}

static int
show (const char *dir, const GtLabOptions *options)
{
  return show_results (dir, options, FALSE);
}

static int
run_tools (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtToolPlan) plan = load (path, options, &error);
  g_autofree char *out = plan != NULL ? gt_lab_out_dir (plan->name, options, &error) : NULL;
  if (out == NULL)
    return gt_lab_fail (error);
  gboolean ok = gt_tool_session_run (plan, out, !options->quiet, &error);
  return gt_lab_conclude (out, options, ok ? NULL : error, show_results);
}

const GtLabKind gt_lab_kind_run_tools = { "run-tools", describe, list, run_tools, show };
