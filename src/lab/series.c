#include "lab/series.h"

#include "lab/error.h"
#include "lab/raw.h"

#include <string.h>

/* --- life cycle ----------------------------------------------------------------------------- */

static void
process_free (gpointer data)
{
  GtProcessSeries *process = data;
  g_free (process->cmdline);
  g_array_unref (process->points);
  g_free (process);
}

static void
release_json (gpointer data)
{
  json_decref (data);
}

static void
series_free (gpointer data)
{
  GtSeries *series = data;
  gt_subject_free (series->subject);
  g_free (series->python);
  g_free (series->duckdb);
  g_free (series->reaper);
  g_free (series->skip_why);
  g_free (series->exit_how);
  g_array_unref (series->sample_ns);
  g_ptr_array_unref (series->processes);
  g_ptr_array_unref (series->events);
  g_ptr_array_unref (series->log_lines);
  g_hash_table_unref (series->by_identity);
  json_decref (series->result);
  g_free (series);
}

static GtSeries *
series_new (const char *name)
{
  GtSeries *series = g_new0 (GtSeries, 1);
  series->subject = g_new0 (GtSubject, 1);
  series->subject->name = g_strdup (name);
  series->sample_ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  series->processes = g_ptr_array_new_with_free_func (process_free);
  series->events = g_ptr_array_new_with_free_func (release_json);
  series->log_lines = g_ptr_array_new_with_free_func (g_free);
  series->by_identity = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return series;
}

GtRun *
gt_run_new (void)
{
  GtRun *run = g_new0 (GtRun, 1);
  run->series = g_ptr_array_new_with_free_func (series_free);
  return run;
}

void
gt_run_free (GtRun *run)
{
  char *const texts[]
      = { run->experiment, run->title, run->question, run->broker, run->started, run->version };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_ptr_array_unref (run->series);
  g_free (run);
}

/* --- records -------------------------------------------------------------------------------- */

static gboolean
bad_record (GError **error, const char *kind, const char *problem)
{
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "'%s' record: %s", kind, problem);
  return FALSE;
}

static char *
text_of (const json_t *record, const char *key)
{
  return g_strdup (json_string_value (json_object_get (record, key)));
}

static gint64
integer_of (const json_t *record, const char *key)
{
  return json_integer_value (json_object_get (record, key));
}

static GtProcessSeries *
process_of (GtSeries *series, gint64 pid, gint64 start_ticks)
{
  char key[64];
  g_snprintf (key, sizeof key, "%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, pid, start_ticks);
  GtProcessSeries *process = g_hash_table_lookup (series->by_identity, key);
  if (process == NULL) {
    process = g_new0 (GtProcessSeries, 1);
    process->pid = pid;
    process->start_ticks = start_ticks;
    process->points = g_array_new (FALSE, FALSE, sizeof (GtPoint));
    g_ptr_array_add (series->processes, process);
    g_hash_table_insert (series->by_identity, g_strdup (key), process);
  }
  return process;
}

static gboolean
on_run (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) series;
  if (run->experiment != NULL)
    return bad_record (error, "run", "there is one already");
  run->version = text_of (record, "version");
  run->experiment = text_of (record, "experiment");
  run->title = text_of (record, "title");
  run->question = text_of (record, "question");
  run->broker = text_of (record, "broker");
  run->started = text_of (record, "started");
  run->cpus = (guint) integer_of (record, "cpus");
  if (run->experiment == NULL || run->broker == NULL || run->started == NULL)
    return bad_record (error, "run", "it does not name experiment, broker and start");
  return TRUE;
}

static gboolean
on_subject (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  const json_t *factors = json_object_get (record, "factors");
  if (series->python != NULL || series->rows != 0)
    return bad_record (error, "subject", "it is there twice");
  const json_t *settings = json_object_get (record, "settings");
  for (GtFactor f = 0; f < GT_N_FACTORS; f++) {
    const char *value = json_string_value (json_object_get (factors, gt_factor_key (f)));
    /* Runs from before there were containers do not know the factors that came with them. */
    if (value == NULL && f >= GT_FACTOR_REAPER)
      value = gt_factor_default (f);
    if (value == NULL)
      return bad_record (error, "subject", gt_factor_key (f));
    series->subject->factors[f] = g_intern_string (value);
  }
  for (GtSetting s = 0; s < GT_N_SETTINGS; s++) {
    const json_t *value = json_object_get (settings, gt_setting_key (s));
    if (!json_is_number (value) || !gt_setting_allows (s, json_number_value (value)))
      return bad_record (error, "subject", gt_setting_key (s));
    series->subject->settings[s] = json_number_value (value);
  }
  series->index = (guint) integer_of (record, "index");
  series->rows = integer_of (record, "rows");
  series->python = text_of (record, "python");
  series->duckdb = text_of (record, "duckdb");
  series->reaper = text_of (record, "reaper");
  return TRUE;
}

static gboolean
on_skip (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  series->skip_why = text_of (record, "why");
  return series->skip_why != NULL || bad_record (error, "skip", "it has no 'why'");
}

static gboolean
on_spawn (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  series->root_pid = integer_of (record, "root");
  return series->root_pid > 0 || bad_record (error, "spawn", "it has no 'root'");
}

static gboolean
on_proc (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  char *cmdline = text_of (record, "cmd");
  if (cmdline == NULL)
    return bad_record (error, "proc", "it has no 'cmd'");
  GtProcessSeries *process
      = process_of (series, integer_of (record, "pid"), integer_of (record, "start"));
  g_free (process->cmdline);
  process->cmdline = cmdline;
  return TRUE;
}

static gboolean
add_point (GtSeries *series, const json_t *row)
{
  if (!json_is_array (row) || json_array_size (row) != 8)
    return FALSE;
  const char *state = json_string_value (json_array_get (row, 3));
  const char *sigterm = json_string_value (json_array_get (row, 7));
  if (state == NULL || sigterm == NULL)
    return FALSE;
  const GtPoint point = { .sample = series->sample_ns->len - 1,
                          .state = *state,
                          .sigterm = *sigterm,
                          .ppid = json_integer_value (json_array_get (row, 2)),
                          .cpu_ns = json_integer_value (json_array_get (row, 4)) };
  GtProcessSeries *process = process_of (series, json_integer_value (json_array_get (row, 0)),
                                         json_integer_value (json_array_get (row, 1)));
  g_array_append_val (process->points, point);
  return TRUE;
}

static gboolean
on_sample (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  gint64 at = integer_of (record, "t");
  gint64 last = series->sample_ns->len > 0
                    ? g_array_index (series->sample_ns, gint64, series->sample_ns->len - 1)
                    : 0;
  if (at <= last)
    return bad_record (error, "sample", "its 't' is not later than the one before");
  g_array_append_val (series->sample_ns, at);
  const json_t *rows = json_object_get (record, "p");
  for (size_t i = 0; i < json_array_size (rows); i++)
    if (!add_point (series, json_array_get (rows, i)))
      return bad_record (error, "sample", "a row of 'p' is malformed");
  return TRUE;
}

static gboolean
on_trace (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  json_t *event = json_object_get (record, "e");
  if (!json_is_object (event))
    return bad_record (error, "trace", "it has no 'e'");
  g_ptr_array_add (series->events, json_incref (event));
  return TRUE;
}

static gboolean
on_log (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  char *line = text_of (record, "line");
  if (line == NULL)
    return bad_record (error, "log", "it has no 'line'");
  g_ptr_array_add (series->log_lines, line);
  return TRUE;
}

static gboolean
on_result (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run, (void) error;
  json_decref (series->result);
  series->result = json_deep_copy (record);
  return TRUE;
}

static gboolean
on_exit_record (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run;
  g_free (series->exit_how);
  series->exit_how = text_of (record, "how");
  return series->exit_how != NULL || bad_record (error, "exit", "it has no 'how'");
}

static gboolean
on_end (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run, (void) error;
  series->end_ns = integer_of (record, "t");
  series->left = integer_of (record, "left");
  return TRUE;
}

static gboolean
on_final (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) series, (void) error;
  run->complete = TRUE;
  run->left = integer_of (record, "left");
  run->interrupted = json_is_true (json_object_get (record, "interrupted"));
  run->failed = run->interrupted || json_is_string (json_object_get (record, "error"));
  return TRUE;
}

static gboolean
on_sent (GtRun *run, GtSeries *series, const json_t *record, GError **error)
{
  (void) run, (void) series, (void) record, (void) error;
  return TRUE;
}

/* X (kind, function, belongs to a subject) */
#define RECORD_KINDS(X)                                                                            \
  X (run, on_run, FALSE)                                                                           \
  X (subject, on_subject, TRUE)                                                                    \
  X (skip, on_skip, TRUE)                                                                          \
  X (spawn, on_spawn, TRUE)                                                                        \
  X (sent, on_sent, TRUE)                                                                          \
  X (proc, on_proc, TRUE)                                                                          \
  X (sample, on_sample, TRUE)                                                                      \
  X (trace, on_trace, TRUE)                                                                        \
  X (log, on_log, TRUE)                                                                            \
  X (result, on_result, TRUE)                                                                      \
  X (exit, on_exit_record, TRUE)                                                                   \
  X (end, on_end, TRUE)                                                                            \
  X (final, on_final, FALSE)

static const struct {
  const char *kind;
  gboolean (*func) (GtRun *, GtSeries *, const json_t *, GError **);
  gboolean of_subject;
} record_kinds[] = {
#define X(kind, func, of_subject) { #kind, func, of_subject },
  RECORD_KINDS (X)
#undef X
};

/* Records of one subject follow each other: it is the last one, or a new one. */
static GtSeries *
series_of (GtRun *run, const char *kind, const char *name)
{
  GtSeries *last = run->series->len > 0 ? run->series->pdata[run->series->len - 1] : NULL;
  if (last != NULL && name != NULL && strcmp (last->subject->name, name) == 0)
    return last;
  if (name == NULL || strcmp (kind, "subject") != 0)
    return NULL;
  for (guint i = 0; i < run->series->len; i++)
    if (strcmp (((GtSeries *) run->series->pdata[i])->subject->name, name) == 0)
      return NULL;
  g_ptr_array_add (run->series, series_new (name));
  return run->series->pdata[run->series->len - 1];
}

gboolean
gt_run_add (GtRun *run, const json_t *record, GError **error)
{
  const char *kind = json_string_value (json_object_get (record, "k"));
  const char *name = json_string_value (json_object_get (record, "s"));
  if (kind == NULL)
    return bad_record (error, "?", "it has no 'k'");
  for (gsize i = 0; i < G_N_ELEMENTS (record_kinds); i++) {
    if (strcmp (kind, record_kinds[i].kind) != 0)
      continue;
    GtSeries *series = record_kinds[i].of_subject ? series_of (run, kind, name) : NULL;
    if (record_kinds[i].of_subject && series == NULL)
      return bad_record (error, kind, "it belongs to no subject, or to one that is over");
    return record_kinds[i].func (run, series, record, error);
  }
  return bad_record (error, kind, "no such kind");
}

static gboolean
add_to_run (const json_t *record, gpointer run, GError **error)
{
  return gt_run_add (run, record, error);
}

GtRun *
gt_run_load (const char *dir, GError **error)
{
  g_autoptr (GtRun) run = gt_run_new ();
  if (!gt_raw_read (dir, add_to_run, run, error))
    return NULL;
  if (run->experiment == NULL) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s/raw.jsonl: it has no 'run' record",
                 dir);
    return NULL;
  }
  return g_steal_pointer (&run);
}

/* --- questions ------------------------------------------------------------------------------ */

const GtPoint *
gt_process_at (const GtProcessSeries *process, guint sample)
{
  guint low = 0, high = process->points->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const GtPoint *point = &g_array_index (process->points, GtPoint, middle);
    if (point->sample == sample)
      return point;
    if (point->sample < sample)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

gint64
gt_process_cpu_at (const GtSeries *series, const GtProcessSeries *process, gint64 at_ns)
{
  gint64 previous_ns = 0, previous_cpu = 0;
  for (guint i = 0; i < process->points->len; i++) {
    const GtPoint *point = &g_array_index (process->points, GtPoint, i);
    gint64 sample_ns = g_array_index (series->sample_ns, gint64, point->sample);
    if (sample_ns >= at_ns) {
      if (i == 0)
        return sample_ns == at_ns ? point->cpu_ns : 0;
      double share = (double) (at_ns - previous_ns) / (double) (sample_ns - previous_ns);
      return previous_cpu + (gint64) (share * (double) (point->cpu_ns - previous_cpu));
    }
    previous_ns = sample_ns;
    previous_cpu = point->cpu_ns;
  }
  return previous_cpu;
}
