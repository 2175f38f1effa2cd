#include "lab/interrupt_data.h"

#include "lab/error.h"
#include "lab/raw.h"

#include <string.h>

#define KIND "interrupt"

static const struct {
  const char *name, *meaning;
} ends[] = {
#define X(id, name, meaning) { name, meaning },
  GT_INTERRUPT_ENDS (X)
#undef X
};

const char *
gt_interrupt_end_name (GtInterruptEnd end)
{
  return ends[end].name;
}

const char *
gt_interrupt_end_meaning (GtInterruptEnd end)
{
  return ends[end].meaning;
}

json_t *
gt_interrupt_record_run (const GtInterruptPlan *plan, const char *started)
{
  json_t *settings = json_object ();
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    json_object_set_new (settings, gt_interrupt_setting_key ((GtInterruptSetting) s),
                         json_real (plan->settings[s]));
  return json_pack ("{ss ss ss ss ss? ss? si ss so}", "k", "run", "kind", KIND, "version",
                    GT_VERSION, "experiment", plan->name, "title", plan->title, "question",
                    plan->question, "cpus", (int) g_get_num_processors (), "started", started,
                    "settings", settings);
}

/* --- figures -------------------------------------------------------------------------------------
 */

static gint64
instant (const json_t *record, const char *key)
{
  const json_t *value = json_object_get (record, key);
  return json_is_integer (value) ? json_integer_value (value) : -1;
}

/* The engine's outcomes as ends of a trial. */
static GtInterruptEnd
end_of (const json_t *record)
{
  static const struct {
    const char *outcome;
    GtInterruptEnd end;
  } rows[] = {
    { "soft-timeout", GT_INTERRUPT_END_STOPPED }, { "late-value", GT_INTERRUPT_END_VALUE },
    { "committed", GT_INTERRUPT_END_COMMITTED },  { "hard-timeout", GT_INTERRUPT_END_KILLED },
    { "undead", GT_INTERRUPT_END_KILLED },
  };
  const char *outcome = json_string_value (json_object_get (record, "outcome"));
  if (g_strcmp0 (outcome, "value") == 0 && instant (record, "interrupted_ns") < 0)
    return GT_INTERRUPT_END_EARLY;
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (g_strcmp0 (outcome, rows[i].outcome) == 0)
      return rows[i].end;
  return GT_INTERRUPT_END_FAILED;
}

static void
judge (GtInterruptTrial *trial)
{
  gint64 soft = instant (trial->record, "soft_ns");
  gint64 answered = instant (trial->record, "answered_ns");
  gint64 dead = instant (trial->record, "dead_ns");
  const char *committed = json_string_value (json_object_get (trial->record, "committed"));
  trial->end = end_of (trial->record);
  gint64 over = answered >= 0 ? answered : dead;
  trial->late_ns = trial->end == GT_INTERRUPT_END_EARLY || soft < 0 || over < 0 ? -1 : over - soft;
  trial->wrote = trial->checked && trial->after != trial->before;
  trial->misstated = trial->wrote && g_strcmp0 (committed, "no") == 0;
}

/* --- reading -------------------------------------------------------------------------------------
 */

static void
trial_free (GtInterruptTrial *trial)
{
  g_free (trial->duckdb);
  g_free (trial->query);
  json_decref (trial->record);
  g_free (trial);
}

GtInterruptRun *
gt_interrupt_run_new (void)
{
  GtInterruptRun *run = g_new0 (GtInterruptRun, 1);
  run->duckdbs = g_ptr_array_new_with_free_func (g_free);
  run->queries = g_ptr_array_new_with_free_func (g_free);
  run->classes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  run->trials = g_ptr_array_new_with_free_func ((GDestroyNotify) trial_free);
  return run;
}

void
gt_interrupt_run_free (GtInterruptRun *run)
{
  g_free (run->experiment);
  g_free (run->title);
  g_free (run->question);
  g_free (run->started);
  g_free (run->version);
  g_ptr_array_unref (run->duckdbs);
  g_ptr_array_unref (run->queries);
  g_hash_table_unref (run->classes);
  g_ptr_array_unref (run->trials);
  g_free (run);
}

static const char *
text_of (const json_t *record, const char *key)
{
  return json_string_value (json_object_get (record, key));
}

static gboolean
refuse (GError **error, const char *what)
{
  g_set_error_literal (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, what);
  return FALSE;
}

static gboolean
add_run (GtInterruptRun *run, const json_t *record, GError **error)
{
  if (g_strcmp0 (text_of (record, "kind"), KIND) != 0 || text_of (record, "experiment") == NULL
      || run->experiment != NULL)
    return refuse (error, "not one run record of the kind " KIND);
  run->experiment = g_strdup (text_of (record, "experiment"));
  run->title = g_strdup (text_of (record, "title"));
  run->question = g_strdup (text_of (record, "question"));
  run->started = g_strdup (text_of (record, "started"));
  run->version = g_strdup (text_of (record, "version"));
  run->cpus = (guint) json_integer_value (json_object_get (record, "cpus"));
  const json_t *settings = json_object_get (record, "settings");
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    run->settings[s] = json_number_value (
        json_object_get (settings, gt_interrupt_setting_key ((GtInterruptSetting) s)));
  return TRUE;
}

static gboolean
add_name (GPtrArray *names, const json_t *record, GError **error)
{
  const char *name = text_of (record, "s");
  if (name == NULL || g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
    return refuse (error, "a DuckDB or query without a name, or there twice");
  g_ptr_array_add (names, g_strdup (name));
  return TRUE;
}

static gboolean
add_duckdb (GtInterruptRun *run, const json_t *record, GError **error)
{
  return add_name (run->duckdbs, record, error);
}

static gboolean
add_query (GtInterruptRun *run, const json_t *record, GError **error)
{
  if (!add_name (run->queries, record, error))
    return FALSE;
  const char *class_name = text_of (record, "class");
  g_hash_table_insert (run->classes, g_strdup (text_of (record, "s")),
                       g_strdup (class_name != NULL ? class_name : ""));
  return TRUE;
}

static gboolean
add_trial (GtInterruptRun *run, const json_t *record, GError **error)
{
  const char *duckdb = text_of (record, "duckdb"), *query = text_of (record, "s");
  json_t *outcome = json_object_get (record, "record");
  const json_t *offset = json_object_get (record, "offset_ns");
  if (duckdb == NULL || query == NULL || !json_is_object (outcome) || !json_is_integer (offset)
      || !g_ptr_array_find_with_equal_func (run->duckdbs, duckdb, g_str_equal, NULL)
      || !g_ptr_array_find_with_equal_func (run->queries, query, g_str_equal, NULL))
    return refuse (error, "a trial without its DuckDB, query, offset or outcome record");
  GtInterruptTrial *trial = g_new0 (GtInterruptTrial, 1);
  trial->duckdb = g_strdup (duckdb);
  trial->query = g_strdup (query);
  trial->n = (int) json_integer_value (json_object_get (record, "n"));
  trial->offset_ns = json_integer_value (offset);
  trial->record = json_incref (outcome);
  trial->checked = json_is_integer (json_object_get (record, "before"))
                   && json_is_integer (json_object_get (record, "after"));
  trial->before = json_integer_value (json_object_get (record, "before"));
  trial->after = json_integer_value (json_object_get (record, "after"));
  judge (trial);
  g_ptr_array_add (run->trials, trial);
  return TRUE;
}

static gboolean
add_final (GtInterruptRun *run, const json_t *record, GError **error)
{
  (void) error;
  run->interrupted = json_is_true (json_object_get (record, "interrupted"));
  run->complete = !run->interrupted;
  return TRUE;
}

gboolean
gt_interrupt_run_add (GtInterruptRun *run, const json_t *record, GError **error)
{
  static const struct {
    const char *kind;
    gboolean (*add) (GtInterruptRun *, const json_t *, GError **);
  } kinds[] = { { "run", add_run },
                { "duckdb", add_duckdb },
                { "query", add_query },
                { "trial", add_trial },
                { "final", add_final } };
  const char *kind = text_of (record, "k");
  if (run->experiment == NULL && g_strcmp0 (kind, "run") != 0)
    return refuse (error, "the first record must be the run's");
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_strcmp0 (kind, kinds[i].kind) == 0)
      return kinds[i].add (run, record, error);
  return refuse (error, "a record of an unknown kind");
}

static gboolean
on_record (const json_t *record, gpointer data, GError **error)
{
  return gt_interrupt_run_add (data, record, error);
}

GtInterruptRun *
gt_interrupt_run_load (const char *dir, GError **error)
{
  g_autoptr (GtInterruptRun) run = gt_interrupt_run_new ();
  if (!gt_raw_read (dir, on_record, run, error))
    return NULL;
  if (run->experiment != NULL)
    return g_steal_pointer (&run);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s: raw.jsonl is empty", dir);
  return NULL;
}

typedef struct {
  gboolean seen, ours;
} Probe;

static gboolean
on_first (const json_t *record, gpointer data, GError **error)
{
  Probe *probe = data;
  probe->seen = TRUE;
  probe->ours = g_strcmp0 (text_of (record, "kind"), KIND) == 0;
  return refuse (error, "seen");
}

gboolean
gt_interrupt_results_probe (const char *dir, gboolean *ours, GError **error)
{
  Probe probe = { FALSE, FALSE };
  g_autoptr (GError) cause = NULL;
  if (gt_raw_read (dir, on_first, &probe, &cause))
    return refuse (error, "raw.jsonl has no whole record");
  if (!probe.seen)
    g_propagate_error (error, g_steal_pointer (&cause));
  *ours = probe.ours;
  return probe.seen;
}
