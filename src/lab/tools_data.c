#include "lab/tools_data.h"

#include "lab/error.h"
#include "lab/raw.h"
#include "os/clock.h"

#include <string.h>

#define KIND "run-tools"

static const struct {
  const char *key;
  gsize offset;
} field_rows[] = {
#define X(name) { #name, G_STRUCT_OFFSET (GtToolTrial, name) },
  GT_TOOL_TRIAL_FIELDS (X)
#undef X
};

static gint64 *
field (GtToolTrial *trial, guint row)
{
  return &G_STRUCT_MEMBER (gint64, trial, field_rows[row].offset);
}

static void
trial_free (GtToolTrial *trial)
{
  g_free (trial->said);
  g_free (trial);
}

static void
series_free (GtToolSeries *series)
{
  g_free (series->name);
  g_free (series->command);
  g_free (series->skip_why);
  g_array_unref (series->bare_ns);
  g_array_unref (series->tool_ns);
  g_ptr_array_unref (series->trials);
  g_free (series);
}

/* --- writing -------------------------------------------------------------------------------- */

json_t *
gt_tool_record_run (const GtToolPlan *plan, const char *started)
{
  json_t *settings = json_object ();
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS; s++)
    json_object_set_new (settings, gt_tool_setting_key (s), json_real (plan->settings[s]));
  return json_pack ("{ss ss ss ss ss? ss? si ss so}", "k", "run", "kind", KIND, "version",
                    GT_VERSION, "experiment", plan->name, "title", plan->title, "question",
                    plan->question, "cpus", (int) g_get_num_processors (), "started", started,
                    "settings", settings);
}

json_t *
gt_tool_record_tool (const GtTool *tool)
{
  return json_pack ("{ss ss sI ss ss ss ss sI}", "k", "tool", "s", tool->name, "t",
                    (json_int_t) gt_instant_now ().ns, "command", tool->command, "timed-out",
                    tool->timed_out, "not-found", tool->not_found, "not-executable",
                    tool->not_executable, "grace_ns",
                    (json_int_t) (tool->grace * (double) GT_NSEC_PER_SEC));
}

json_t *
gt_tool_record_trial (const char *tool, const GtToolTrial *trial)
{
  GtToolTrial copy = *trial;
  json_t *record = json_pack ("{ss ss ss si ss?}", "k", "trial", "s", tool, "case",
                              trial->tested->name, "n", trial->n, "said", trial->said);
  for (guint i = 0; i < G_N_ELEMENTS (field_rows); i++)
    json_object_set_new (record, field_rows[i].key, json_integer (*field (&copy, i)));
  return record;
}

/* --- reading -------------------------------------------------------------------------------- */

static const char *
text_of (const json_t *record, const char *key)
{
  return json_string_value (json_object_get (record, key));
}

static gboolean
refuse (GError **error, const char *what)
{
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s", what);
  return FALSE;
}

static GtToolSeries *
find_tool (const GtToolRun *run, const json_t *record)
{
  const char *name = text_of (record, "s");
  for (guint i = run->tools->len; name != NULL && i-- > 0;)
    if (strcmp (((GtToolSeries *) run->tools->pdata[i])->name, name) == 0)
      return run->tools->pdata[i];
  return NULL;
}

static gboolean
add_run (GtToolRun *run, const json_t *record, GError **error)
{
  const char *kind = text_of (record, "kind");
  const char *experiment = text_of (record, "experiment");
  if (kind == NULL || strcmp (kind, KIND) != 0 || experiment == NULL || run->experiment != NULL)
    return refuse (error, "not one run record of the kind " KIND);
  run->experiment = g_strdup (experiment);
  run->title = g_strdup (text_of (record, "title"));
  run->question = g_strdup (text_of (record, "question"));
  run->started = g_strdup (text_of (record, "started"));
  run->version = g_strdup (text_of (record, "version"));
  run->cpus = (guint) json_integer_value (json_object_get (record, "cpus"));
  const json_t *settings = json_object_get (record, "settings");
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS; s++)
    run->settings[s] = json_number_value (json_object_get (settings, gt_tool_setting_key (s)));
  return TRUE;
}

static gboolean
add_tool (GtToolRun *run, const json_t *record, GError **error)
{
  const char *name = text_of (record, "s");
  const char *codes[] = { text_of (record, "timed-out"), text_of (record, "not-found"),
                          text_of (record, "not-executable") };
  GtToolCodes parsed[G_N_ELEMENTS (codes)];
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    if (codes[i] == NULL || !gt_tool_codes_parse (codes[i], &parsed[i]))
      return refuse (error, "a tool without exit codes");
  if (name == NULL || find_tool (run, record) != NULL)
    return refuse (error, "a tool without a name, or there twice");
  GtToolSeries *series = g_new0 (GtToolSeries, 1);
  series->name = g_strdup (name);
  series->command = g_strdup (text_of (record, "command"));
  series->grace_ns = json_integer_value (json_object_get (record, "grace_ns"));
  series->timed_out = parsed[0];
  series->not_found = parsed[1];
  series->not_executable = parsed[2];
  series->bare_ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  series->tool_ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  series->trials = g_ptr_array_new_with_free_func ((GDestroyNotify) trial_free);
  g_ptr_array_add (run->tools, series);
  return TRUE;
}

static gboolean
add_skip (GtToolRun *run, const json_t *record, GError **error)
{
  GtToolSeries *series = find_tool (run, record);
  if (series == NULL || series->skip_why != NULL || text_of (record, "why") == NULL)
    return refuse (error, "a skip without its tool or reason");
  series->skip_why = g_strdup (text_of (record, "why"));
  return TRUE;
}

static gboolean
add_start (GtToolRun *run, const json_t *record, GError **error)
{
  GtToolSeries *series = find_tool (run, record);
  gint64 bare_ns = json_integer_value (json_object_get (record, "bare_ns"));
  gint64 tool_ns = json_integer_value (json_object_get (record, "tool_ns"));
  if (series == NULL || bare_ns <= 0 || tool_ns <= 0)
    return refuse (error, "a start without its tool or times");
  g_array_append_val (series->bare_ns, bare_ns);
  g_array_append_val (series->tool_ns, tool_ns);
  return TRUE;
}

static gboolean
add_trial (GtToolRun *run, const json_t *record, GError **error)
{
  GtToolSeries *series = find_tool (run, record);
  const char *name = text_of (record, "case");
  const GtToolCase *tested = name != NULL ? gt_tool_case_by_name (name) : NULL;
  if (series == NULL || tested == NULL)
    return refuse (error, "a trial without its tool, or of a case that is not known");
  GtToolTrial *trial = g_new0 (GtToolTrial, 1);
  g_ptr_array_add (series->trials, trial);
  trial->tested = tested;
  trial->n = (int) json_integer_value (json_object_get (record, "n"));
  trial->said = g_strdup (text_of (record, "said"));
  for (guint i = 0; i < G_N_ELEMENTS (field_rows); i++) {
    const json_t *value = json_object_get (record, field_rows[i].key);
    if (!json_is_integer (value))
      return refuse (error, "a trial that lacks a field");
    *field (trial, i) = json_integer_value (value);
  }
  return TRUE;
}

static gboolean
add_final (GtToolRun *run, const json_t *record, GError **error)
{
  (void) error;
  run->interrupted = json_is_true (json_object_get (record, "interrupted"));
  run->complete = !run->interrupted;
  run->left = json_integer_value (json_object_get (record, "left"));
  return TRUE;
}

static const struct {
  const char *kind;
  gboolean (*add) (GtToolRun *run, const json_t *record, GError **error);
} record_rows[] = {
  { "run", add_run },     { "tool", add_tool },   { "skip", add_skip },
  { "start", add_start }, { "trial", add_trial }, { "final", add_final },
};

gboolean
gt_tool_run_add (GtToolRun *run, const json_t *record, GError **error)
{
  const char *kind = text_of (record, "k");
  for (guint i = 0; kind != NULL && i < G_N_ELEMENTS (record_rows); i++)
    if (strcmp (kind, record_rows[i].kind) == 0) {
      if (run->experiment == NULL && record_rows[i].add != add_run)
        return refuse (error, "the run record is not the first");
      return record_rows[i].add (run, record, error);
    }
  return refuse (error, "no such kind of record");
}

static gboolean
add_record (const json_t *record, gpointer run, GError **error)
{
  return gt_tool_run_add (run, record, error);
}

GtToolRun *
gt_tool_run_new (void)
{
  GtToolRun *run = g_new0 (GtToolRun, 1);
  run->tools = g_ptr_array_new_with_free_func ((GDestroyNotify) series_free);
  return run;
}

GtToolRun *
gt_tool_run_load (const char *dir, GError **error)
{
  g_autoptr (GtToolRun) run = gt_tool_run_new ();
  return gt_raw_read (dir, add_record, run, error) ? g_steal_pointer (&run) : NULL;
}

void
gt_tool_run_free (GtToolRun *run)
{
  g_free (run->experiment);
  g_free (run->title);
  g_free (run->question);
  g_free (run->started);
  g_free (run->version);
  g_ptr_array_unref (run->tools);
  g_free (run);
}

typedef struct {
  gboolean seen, ours;
} Probe;

/* The first record is enough: reading stops there, by an error that nobody sees. */
static gboolean
look_at_kind (const json_t *record, gpointer data, GError **error)
{
  Probe *probe = data;
  const char *kind = text_of (record, "kind");
  probe->seen = TRUE;
  probe->ours = kind != NULL && strcmp (kind, KIND) == 0;
  return refuse (error, "seen");
}

gboolean
gt_tool_results_probe (const char *dir, gboolean *ours, GError **error)
{
  Probe probe = { 0 };
  g_autoptr (GError) cause = NULL;
  if (gt_raw_read (dir, look_at_kind, &probe, &cause))
    return refuse (error, "raw.jsonl has no whole record");
  if (!probe.seen)
    g_propagate_error (error, g_steal_pointer (&cause));
  *ours = probe.ours;
  return probe.seen;
}
