#include "lab/interrupt_session.h"

#include "deadline/engine.h"
#include "lab/error.h"
#include "lab/interrupt_data.h"
#include "lab/raw.h"
#include "lab/stop.h"
#include "os/family.h"
#include "os/paths.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set-up and checks are not what is measured; they may take as long as a slow machine needs. */
#define AROUND_NS (300 * GT_NSEC_PER_SEC)
#define WARM_NS   (60 * GT_NSEC_PER_SEC)

/* A gilotine-duckdb, and the DuckDB that it is built with. */
typedef struct {
  char *version, *program;
} Executor;

typedef struct {
  const GtInterruptPlan *plan;
  GtRaw *raw;
  GtStop stop;
  GtFamily *janitor; /* removes `dir` when we end, in whatever way */
  char *dir, *database;
  GPtrArray *executors; /* of Executor */
  const Executor *executor;
  GtEngine *engine; /* of `executor` */
  gboolean show_progress, terminal;
  guint done, total; /* trials */
} Session;

static void
executor_free (Executor *executor)
{
  g_free (executor->version);
  g_free (executor->program);
  g_free (executor);
}

/* --- DuckDBs at hand ----------------------------------------------------------------------------
 */

/* "1.5.6" of "gilotine-duckdb 0.1.0, DuckDB v1.5.6"; NULL when it does not start. */
static char *
version_of (const char *program)
{
  char *argv[] = { (char *) program, (char *) "--version", NULL };
  g_autofree char *out = NULL;
  int status = 0;
  if (!g_spawn_sync (NULL, argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, &status,
                     NULL)
      || status != 0)
    return NULL;
  const char *at = strstr (out, "DuckDB ");
  if (at == NULL)
    return NULL;
  at += strlen ("DuckDB ");
  return g_strstrip (g_strdup (*at == 'v' ? at + 1 : at));
}

/* Its version goes to the end of `all`, whether it is wanted or not. */
static void
add_executor (Session *s, const char *program, GString *all)
{
  g_autofree char *version = version_of (program);
  if (version == NULL)
    return;
  g_string_append_printf (all, "%s%s", all->len > 0 ? ", " : "", version);
  if (!gt_interrupt_plan_takes (s->plan, version))
    return;
  for (guint i = 0; i < s->executors->len; i++)
    if (g_str_equal (((Executor *) s->executors->pdata[i])->version, version))
      return;
  Executor *executor = g_new0 (Executor, 1);
  executor->version = g_steal_pointer (&version);
  executor->program = g_strdup (program);
  g_ptr_array_add (s->executors, executor);
}

static gboolean
find_executors (Session *s, GError **error)
{
  g_autoptr (GString) all = g_string_new (NULL);
  g_autofree char *program = gt_path_program ("gilotine-duckdb", error);
  if (program == NULL) {
    g_prefix_error (error, "DuckDB is not at hand (tools/fetch-duckdb gets it, then build): ");
    return FALSE;
  }
  g_auto (GStrv) others = gt_path_variants (program);
  s->executors = g_ptr_array_new_with_free_func ((GDestroyNotify) executor_free);
  add_executor (s, program, all);
  for (char **other = others; *other != NULL; other++)
    add_executor (s, *other, all);
  if (s->executors->len > 0)
    return TRUE;
  g_autofree char *globs
      = s->plan->versions != NULL ? g_strjoinv (";", s->plan->versions) : g_strdup ("*");
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "no DuckDB %s is at hand; there is %s",
               globs, all->len > 0 ? all->str : "none: gilotine-duckdb does not start");
  return FALSE;
}

/* --- jobs ---------------------------------------------------------------------------------------
 */

static gboolean
start_engine (Session *s, GError **error)
{
  const char *argv[] = { s->executor->program, "--temp-dir", "{temp}", NULL };
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.argv = argv;
  options.temp_root = s->dir;
  s->engine = gt_engine_new (&options, error);
  return s->engine != NULL;
}

/* NULL with `error`; an outcome of any kind is a result. */
static GtJobResult *
run_job (Session *s, const char *sql, gboolean in_file, gint64 soft_ns, gint64 hard_ns,
         GError **error)
{
  GtLimitsAsked asked = { .soft_ns = soft_ns, .hard_ns = hard_ns };
  GtLimitsWorld world = { .now = gt_instant_now (), .inherited = GT_NEVER };
  GtJobSpec spec = { .kind = "sql", .threads = (gint64) s->plan->settings[GT_INTERRUPT_THREADS] };
  g_autoptr (GString) text = g_string_new (sql);
  g_string_replace (text, "{dir}", s->dir, 0);
  json_t *body = json_pack ("{ss}", "sql", text->str);
  if (in_file)
    json_object_set_new (body, "database", json_string (s->database));
  char *json = json_dumps (body, JSON_COMPACT);
  json_decref (body);
  spec.body = g_bytes_new_with_free_func (json, strlen (json), free, json);
  GtJobResult *result = NULL;
  if (gt_limits_make (&asked, &world, &spec.limits, error))
    result = gt_engine_run (s->engine, &spec, error);
  g_bytes_unref (spec.body);
  return result;
}

static gboolean
expect_value (const GtJobResult *result, const GtInterruptQuery *query, const char *what,
              GError **error)
{
  if (result->record.outcome == GT_OUTCOME_VALUE)
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "[query %s]: its %s failed: %s",
               query->name, what,
               result->record.message != NULL ? result->record.message
                                              : gt_outcome_info (result->record.outcome)->text);
  return FALSE;
}

/* The one number of the check. */
static gboolean
check (Session *s, const GtInterruptQuery *query, json_t **number, GError **error)
{
  *number = NULL;
  if (query->check == NULL)
    return TRUE;
  g_autoptr (GtJobResult) result = run_job (s, query->check, query->in_file, 0, AROUND_NS, error);
  if (result == NULL || !expect_value (result, query, "check", error))
    return FALSE;
  for (guint i = 0; i < result->parts->len; i++) {
    const GtPart *part = result->parts->pdata[i];
    gsize bytes = 0;
    const char *text = part->body != NULL ? g_bytes_get_data (part->body, &bytes) : "";
    json_t *row = json_loadb (text, bytes, 0, NULL);
    if (json_is_integer (json_array_get (row, 0)))
      *number = json_incref (json_array_get (row, 0));
    json_decref (row);
  }
  if (*number != NULL)
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "[query %s]: its check does not answer with one number", query->name);
  return FALSE;
}

static gboolean
set_up_trial (Session *s, const GtInterruptQuery *query, GError **error)
{
  static const char *const files[] = { "trial.db", "trial.db.wal", "out.csv", "out.parquet" };
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *path = g_build_filename (s->dir, files[i], NULL);
    (void) g_unlink (path);
  }
  if (query->setup == NULL)
    return TRUE;
  g_autoptr (GtJobResult) result = run_job (s, query->setup, query->in_file, 0, AROUND_NS, error);
  return result != NULL && expect_value (result, query, "setup", error);
}

/* --- trials -------------------------------------------------------------------------------------
 */

static void
show (const Session *s, const GtInterruptQuery *query, gint64 offset_ns)
{
  if (!s->show_progress)
    return;
  fprintf (stderr, "%s[%3u/%u] DuckDB %s  %s  %.2f s%s", s->terminal ? "\r\033[K" : "", s->done + 1,
           s->total, s->executor->version, query->name,
           (double) offset_ns / (double) GT_NSEC_PER_SEC, s->terminal ? "" : "\n");
  fflush (stderr);
}

static gboolean
record_trial (Session *s, const GtInterruptQuery *query, gint64 offset_ns, int n,
              const GtJobResult *result, json_t *before, json_t *after, GError **error)
{
  g_autofree char *text = gt_outcome_record_json (&result->record);
  json_t *record = json_pack ("{ss ss ss si sI so}", "k", "trial", "duckdb", s->executor->version,
                              "s", query->name, "n", n, "offset_ns", (json_int_t) offset_ns,
                              "record", json_loads (text, 0, NULL));
  json_object_set (record, "before", before != NULL ? before : json_null ());
  json_object_set (record, "after", after != NULL ? after : json_null ());
  return gt_raw_write (s->raw, record, error) && gt_raw_flush (s->raw, error);
}

static gboolean
run_trial (Session *s, const GtInterruptQuery *query, gint64 offset_ns, int n, GError **error)
{
  gint64 patience = (gint64) (s->plan->settings[GT_INTERRUPT_PATIENCE] * (double) GT_NSEC_PER_SEC);
  json_t *before = NULL, *after = NULL;
  show (s, query, offset_ns);
  gboolean ok
      = set_up_trial (s, query, error) && check (s, query, &before, error)
        && gt_engine_wait_warm (s->engine, 0, gt_instant_add (gt_instant_now (), WARM_NS), error);
  g_autoptr (GtJobResult) result
      = ok ? run_job (s, query->sql, query->in_file, offset_ns, offset_ns + patience, error) : NULL;
  ok = result != NULL && check (s, query, &after, error)
       && record_trial (s, query, offset_ns, n, result, before, after, error);
  json_decref (before);
  json_decref (after);
  s->done++;
  if (ok && gt_stop_asked (&s->stop)) {
    g_set_error_literal (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
    ok = FALSE;
  }
  return ok;
}

static gboolean
run_query (Session *s, const GtInterruptQuery *query, GError **error)
{
  int repeat = (int) s->plan->settings[GT_INTERRUPT_REPEAT];
  for (guint i = 0; i < s->plan->offsets_ns->len; i++)
    for (int n = 0; n < repeat; n++)
      if (!run_trial (s, query, g_array_index (s->plan->offsets_ns, gint64, i), n, error))
        return FALSE;
  return TRUE;
}

static gboolean
run_executor (Session *s, const Executor *executor, GError **error)
{
  s->executor = executor;
  gboolean ok = gt_raw_write (s->raw,
                              json_pack ("{ss ss ss}", "k", "duckdb", "s", executor->version,
                                         "program", executor->program),
                              error)
                && start_engine (s, error);
  for (guint i = 0; ok && i < s->plan->queries->len; i++)
    ok = run_query (s, s->plan->queries->pdata[i], error);
  g_clear_pointer (&s->engine, gt_engine_free);
  return ok;
}

/* --- set-up and tear-down -----------------------------------------------------------------------
 */

static gboolean
write_queries (Session *s, GError **error)
{
  for (guint i = 0; i < s->plan->queries->len; i++) {
    const GtInterruptQuery *query = s->plan->queries->pdata[i];
    /* Repeated statements say nothing that their beginning does not. */
    g_autofree char *sql
        = g_utf8_substring (query->sql, 0, MIN (g_utf8_strlen (query->sql, -1), 400));
    if (!gt_raw_write (s->raw,
                       json_pack ("{ss ss ss ss sb}", "k", "query", "s", query->name, "class",
                                  query->class_name, "sql", sql, "in_file", query->in_file),
                       error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
set_up (Session *s, const char *out_dir, GError **error)
{
  gt_stop_begin (&s->stop);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *started = g_date_time_format_iso8601 (now);
  if (!find_executors (s, error))
    return FALSE;
  s->terminal = isatty (STDERR_FILENO);
  s->total = s->executors->len * s->plan->queries->len * s->plan->offsets_ns->len
             * (guint) s->plan->settings[GT_INTERRUPT_REPEAT];
  s->raw = gt_raw_create (out_dir, error);
  if (s->raw == NULL || !gt_raw_write (s->raw, gt_interrupt_record_run (s->plan, started), error)
      || !write_queries (s, error))
    return FALSE;
  s->dir = g_dir_make_tmp ("gilotine-lab.XXXXXX", error);
  if (s->dir == NULL)
    return FALSE;
  s->database = g_build_filename (s->dir, "trial.db", NULL);
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.remove_dir = s->dir;
  s->janitor = gt_family_spawn (&spec, error);
  return s->janitor != NULL;
}

static gboolean
tear_down (Session *s, gboolean ok, GError **error)
{
  if (s->show_progress && s->terminal)
    fputs ("\r\033[K", stderr);
  g_clear_pointer (&s->janitor, gt_family_free);
  if (s->raw != NULL) {
    ok = gt_raw_write (s->raw,
                       json_pack ("{ss sI sb}", "k", "final", "t",
                                  (json_int_t) gt_instant_now ().ns, "interrupted", !ok),
                       ok ? error : NULL)
         && ok;
    ok = gt_raw_close (s->raw, ok ? error : NULL) && ok;
  }
  g_clear_pointer (&s->executors, g_ptr_array_unref);
  g_free (s->dir);
  g_free (s->database);
  gt_stop_end (&s->stop);
  return ok;
}

gboolean
gt_interrupt_session_run (const GtInterruptPlan *plan, const char *out_dir, gboolean show_progress,
                          GError **error)
{
  Session session = { .plan = plan, .stop = { .fd = -1 }, .show_progress = show_progress };
  gboolean ok = set_up (&session, out_dir, error);
  for (guint i = 0; ok && i < session.executors->len; i++)
    ok = run_executor (&session, session.executors->pdata[i], error);
  return tear_down (&session, ok, error);
}
