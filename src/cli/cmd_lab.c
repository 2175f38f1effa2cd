/* gilotine lab: runs an experiment, or recomputes the figures of one that ran. */
#include "cli/lab_kind.h"

#include "lab/compose_place.h"
#include "lab/error.h"
#include "lab/ini.h"
#include "lab/interrupt_data.h"
#include "lab/observe.h"
#include "lab/place_local.h"
#include "lab/session.h"
#include "lab/table.h"
#include "lab/tools_data.h"
#include "os/error.h"
#include "os/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMAND "lab"

/* As a shell answers for a command that SIGINT ended. */
enum { EXIT_INTERRUPTED = 130 };

static const char description[]
    = "EXPERIMENT is a name from --list, or a path to an .ini file; 'leak' when not given.\n"
      "\n"
      "Environment: DUCKDB_ROWS (rows of the query; calibrated to the machine when not set),\n"
      "DUCKDB_THREADS (1), LOG_LEVEL (INFO), TMPDIR, GILOTINE_CACHE (interpreters).\n"
      "\n"
      "Files in the --out folder: raw.jsonl (raw samples: every figure comes from them), "
      "table.txt,\n"
      "result.json, logs/SUBJECT.log.\n"
      "\n"
      "Exit status: 0 the run is done, whatever the verdicts; 1 a subject and the observer "
      "disagree;\n"
      "2 wrong option, experiment or raw file; 111 the system failed (disk, broker, process);\n"
      "130 interrupted: everything was ended, and what was seen until then is shown.\n"
      "\n"
      "Examples:\n"
      "  gilotine lab                          the default experiment, no server needed\n"
      "  gilotine lab --broker rabbitmq leak   the same over a private RabbitMQ\n"
      "  gilotine lab --compose leak           the same in containers (docs/docker.md)\n"
      "  gilotine lab --only 'gil-*-fork-*'    some rows of it\n"
      "  gilotine lab run-tools                command-line timeouts against each other\n"
      "  gilotine lab interrupt                DuckDB queries that are interrupted\n"
      "  gilotine lab --from lab-results/leak-20260101-120000 --detail\n";

static gboolean
parse_options (GtLabOptions *options, int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "list", 'l', 0, G_OPTION_ARG_NONE, &options->list,
      "List the experiments, or the subjects of the one named", NULL },
    { "only", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &options->only,
      "Run only the subjects that match (repeatable)", "GLOB" },
    { "quick", 'q', 0, G_OPTION_ARG_NONE, &options->quick,
      "A shorter run: what the [quick] group of the experiment says", NULL },
    { "broker", 'b', 0, G_OPTION_ARG_STRING, &options->broker,
      "filesystem (default), rabbitmq (a private one is started), or a URL", "BROKER" },
    { "compose", 0, 0, G_OPTION_ARG_NONE, &options->compose,
      "Run the workers as services of compose.yml, in containers of the run's own", NULL },
    { "project-directory", 0, 0, G_OPTION_ARG_FILENAME, &options->project_dir,
      "Where compose.yml is (default: this folder)", "DIR" },
    { "observe", 0, 0, G_OPTION_ARG_STRING, &options->observe,
      "What runs beside a worker in its container: writes samples of PID's family", "PID" },
    { "out", 0, 0, G_OPTION_ARG_FILENAME, &options->out_dir,
      "Folder for the results (default: lab-results/EXPERIMENT-DATE-TIME)", "DIR" },
    { "from", 0, 0, G_OPTION_ARG_FILENAME, &options->from_dir,
      "Run nothing: recompute every figure from the raw samples in DIR", "DIR" },
    { "detail", 'd', 0, G_OPTION_ARG_NONE, &options->detail, "Show every iteration", NULL },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print the results as JSON", NULL },
    { "keep", 'k', 0, G_OPTION_ARG_NONE, &options->keep,
      "Keep the private folder (broker, spill files) for a look", NULL },
    { "quiet", 0, 0, G_OPTION_ARG_NONE, &options->quiet, "No progress on standard error", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->experiment, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("[EXPERIMENT]");
  g_option_context_set_summary (
      context,
      "Runs an experiment on real Celery workers, or on command-line timeouts, watches it from "
      "outside and says which limits held.");
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, NULL);
  return gt_cli_parse (context, &argc, &argv);
}

static void
clear_options (GtLabOptions *options)
{
  g_strfreev (options->only);
  g_strfreev (options->experiment);
  g_free (options->broker);
  g_free (options->out_dir);
  g_free (options->from_dir);
  g_free (options->project_dir);
  g_free (options->observe);
}

/* Every error of the lab, and what the process answers to it. */
int
gt_lab_fail (const GError *error)
{
  GtExit code = GT_EXIT_SYSTEM;
  g_assert (error != NULL);
  if (g_error_matches (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT))
    code = GT_EXIT_USAGE;
  gt_cli_fail (code, COMMAND, "%s", error->message);
  return g_error_matches (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED) ? EXIT_INTERRUPTED
                                                                         : (int) code;
}

/* --- experiments ---------------------------------------------------------------------------- */

static char *
experiments_dir (GError **error)
{
  g_autofree char *lab = gt_path_data ("lab", error);
  return lab != NULL ? g_build_filename (lab, "experiments", NULL) : NULL;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names of the experiments, sorted. */
static GPtrArray *
experiment_names (const char *dir, GError **error)
{
  g_autoptr (GDir) folder = g_dir_open (dir, 0, error);
  if (folder == NULL)
    return NULL;
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  for (const char *file; (file = g_dir_read_name (folder)) != NULL;)
    if (g_str_has_suffix (file, ".ini"))
      g_ptr_array_add (names, g_strndup (file, strlen (file) - strlen (".ini")));
  g_ptr_array_sort (names, compare_names);
  return names;
}

/* Of a name of the folder, or a path. Free with g_free(). */
static char *
experiment_path (const char *name, GError **error)
{
  if (strchr (name, '/') != NULL || g_str_has_suffix (name, ".ini"))
    return g_strdup (name);
  g_autofree char *dir = experiments_dir (error);
  if (dir == NULL)
    return NULL;
  g_autofree char *file = g_strconcat (name, ".ini", NULL);
  g_autofree char *path = g_build_filename (dir, file, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  g_autoptr (GPtrArray) names = experiment_names (dir, error);
  if (names == NULL)
    return NULL;
  g_ptr_array_add (names, NULL);
  g_autofree char *known = g_strjoinv (", ", (char **) names->pdata);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "no experiment '%s'; known: %s", name,
               known);
  return NULL;
}

/* --- what kinds share ----------------------------------------------------------------------- */

/* Made here, so that two runs that start in the same second do not take the same. */
char *
gt_lab_out_dir (const char *experiment, const GtLabOptions *options, GError **error)
{
  if (options->out_dir != NULL)
    return g_strdup (options->out_dir);
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *stamp = g_date_time_format (now, "%Y%m%d-%H%M%S");
  if (g_mkdir_with_parents ("lab-results", 0777) < 0) {
    gt_os_fail (error, errno, "lab-results (--out DIR names another place)");
    return NULL;
  }
  for (int n = 1;; n++) {
    g_autofree char *again = n > 1 ? g_strdup_printf ("-%d", n) : g_strdup ("");
    g_autofree char *dir = g_strdup_printf ("lab-results/%s-%s%s", experiment, stamp, again);
    if (mkdir (dir, 0777) == 0)
      return g_steal_pointer (&dir);
    if (errno != EEXIST) {
      gt_os_fail (error, errno, "%s (--out DIR names another place)", dir);
      return NULL;
    }
  }
}

gboolean
gt_lab_colour (void)
{
  return isatty (STDOUT_FILENO) && g_getenv ("NO_COLOR") == NULL;
}

static gboolean
write_results (const char *dir, const char *table, const json_t *json, GError **error)
{
  g_autofree char *table_path = g_build_filename (dir, "table.txt", NULL);
  g_autofree char *json_path = g_build_filename (dir, "result.json", NULL);
  char *text = json_dumps (json, JSON_INDENT (2));
  if (text == NULL) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "the results cannot be written as JSON");
    return FALSE;
  }
  gboolean ok = g_file_set_contents (table_path, table, -1, error)
                && g_file_set_contents (json_path, text, -1, error);
  free (text);
  return ok;
}

int
gt_lab_print (const char *dir, const GtLabOptions *options, gboolean write, const char *shown,
              const char *kept, json_t *json)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = !write || write_results (dir, kept, json, &error);
  if (ok && options->json) {
    json_dumpf (json, stdout, JSON_INDENT (2));
    putchar ('\n');
  } else if (ok) {
    fputs (shown, stdout);
    printf ("Raw samples, logs and every iteration: %s\n", dir);
  }
  json_decref (json);
  if (!ok)
    return gt_lab_fail (error);
  if (fflush (stdout) != 0)
    return gt_cli_fail (GT_EXIT_SYSTEM, COMMAND, "standard output: %s", g_strerror (errno));
  return GT_EXIT_OK;
}

int
gt_lab_conclude (const char *dir, const GtLabOptions *options, const GError *error, GtLabShow show)
{
  if (error == NULL)
    return show (dir, options, TRUE);
  g_autofree char *raw = g_build_filename (dir, "raw.jsonl", NULL);
  if (!g_error_matches (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT)
      && g_file_test (raw, G_FILE_TEST_EXISTS))
    (void) show (dir, options, TRUE);
  return gt_lab_fail (error);
}

/* --- the kind that is not named: limits of Celery workers ------------------------------------ */

static gboolean
describe_limits (const char *path, const GtLabOptions *options, GError **error)
{
  g_autoptr (GtExperiment) e = gt_experiment_load (path, options->quick, error);
  if (e == NULL)
    return FALSE;
  printf ("%-12s %3u subjects  %s\n", e->name, e->subjects->len, e->title != NULL ? e->title : "");
  return TRUE;
}

static GtExperiment *
load_limits (const char *path, const GtLabOptions *options, GError **error)
{
  g_autoptr (GtExperiment) e = gt_experiment_load (path, options->quick, error);
  return e != NULL && gt_experiment_filter (e, (const char *const *) options->only, error)
             ? g_steal_pointer (&e)
             : NULL;
}

static int
list_limits (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtExperiment) experiment = load_limits (path, options, &error);
  if (experiment == NULL)
    return gt_lab_fail (error);
  for (guint i = 0; i < experiment->subjects->len; i++) {
    const GtSubject *subject = experiment->subjects->pdata[i];
    printf ("%-34s", subject->name);
    for (GtFactor f = 0; f < GT_N_FACTORS; f++)
      printf (" %s=%s", gt_factor_key (f), subject->factors[f]);
    putchar ('\n');
  }
  return GT_EXIT_OK;
}

/* Everything that is printed is computed here, from the raw samples, also right after a run. */
static int
show_results (const char *dir, const GtLabOptions *options, gboolean write)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtRun) run = gt_run_load (dir, &error);
  if (run == NULL)
    return gt_lab_fail (error);
  g_autoptr (GPtrArray) findings = gt_findings_new (run);
  g_autofree char *shown = gt_table_text (run, findings, options->detail, gt_lab_colour ());
  g_autofree char *kept = gt_table_text (run, findings, TRUE, FALSE);
  int code = gt_lab_print (dir, options, write, shown, kept, gt_table_json (run, findings));
  for (guint i = 0; code == GT_EXIT_OK && i < findings->len; i++)
    if (((const GtFinding *) findings->pdata[i])->tally->conflicts->len > 0)
      code = GT_EXIT_FAILED;
  return code;
}

static int
show_limits (const char *dir, const GtLabOptions *options)
{
  return show_results (dir, options, FALSE);
}

static gboolean
rows_from_environment (gint64 *rows, GError **error)
{
  const char *text = g_getenv ("DUCKDB_ROWS");
  *rows = 0;
  if (text == NULL || *text == '\0')
    return TRUE;
  if (g_ascii_string_to_signed (text, 10, 1, G_MAXINT64, rows, NULL))
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "DUCKDB_ROWS must be a whole number of at least 1, not '%s'", text);
  return FALSE;
}

/* What every worker would refuse at its start. */
static gboolean
check_environment (GError **error)
{
  static const char *const levels[] = { "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", NULL };
  const char *threads = g_getenv ("DUCKDB_THREADS"), *level = g_getenv ("LOG_LEVEL");
  if (threads != NULL && !g_ascii_string_to_signed (threads, 10, 1, 1024, NULL, NULL)) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "DUCKDB_THREADS must be a whole number from 1 to 1024, not '%s'", threads);
    return FALSE;
  }
  g_autofree char *upper = g_ascii_strup (level != NULL ? level : "INFO", -1);
  if (!g_strv_contains (levels, upper)) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not '%s'", level);
    return FALSE;
  }
  return TRUE;
}

static GtPlace *
place_of (const GtLabOptions *options, GError **error)
{
  if (options->compose)
    return gt_place_compose_new (options->project_dir, error);
  return gt_place_local_new (options->broker != NULL ? options->broker : "filesystem", error);
}

static int
run_limits (const char *path, const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  gint64 rows;
  if (!rows_from_environment (&rows, &error) || !check_environment (&error))
    return gt_lab_fail (error);
  g_autoptr (GtExperiment) experiment = load_limits (path, options, &error);
  GtPlace *place = experiment != NULL ? place_of (options, &error) : NULL;
  if (place == NULL)
    return gt_lab_fail (error);
  g_autofree char *out = gt_lab_out_dir (experiment->name, options, &error);
  if (out == NULL) {
    place->funcs->free (place);
    return gt_lab_fail (error);
  }
  GtSessionOptions session
      = { .out_dir = out, .rows = rows, .keep = options->keep, .show_progress = !options->quiet };
  gboolean ok = gt_session_run (experiment, place, &session, &error);
  place->funcs->free (place);
  return gt_lab_conclude (out, options, ok ? NULL : error, show_results);
}

/* --- kinds ---------------------------------------------------------------------------------- */

static const GtLabKind limits = { "limits", describe_limits, list_limits, run_limits, show_limits };

/* The first is that of an experiment that names none. */
static const GtLabKind *const kinds[]
    = { &limits, &gt_lab_kind_run_tools, &gt_lab_kind_interrupt, NULL };

static const GtLabKind *
find_kind (const char *name)
{
  for (const GtLabKind *const *kind = kinds; *kind != NULL; kind++)
    if (name == NULL || strcmp ((*kind)->name, name) == 0)
      return *kind;
  return NULL;
}

static const GtLabKind *
kind_of (const char *path, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_load (path, error);
  if (ini == NULL)
    return NULL;
  g_autofree char *name = g_key_file_get_string (ini->keys, "experiment", "kind", NULL);
  const GtLabKind *kind = find_kind (name);
  if (kind == NULL) {
    g_autoptr (GString) known = g_string_new (NULL);
    for (const GtLabKind *const *each = kinds; *each != NULL; each++)
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", (*each)->name);
    gt_ini_fail (ini, error, "experiment", "kind", "no such kind '%s'; known: %s", name,
                 known->str);
  }
  return kind;
}

static int
list_experiments (const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = experiments_dir (&error);
  g_autoptr (GPtrArray) names = dir != NULL ? experiment_names (dir, &error) : NULL;
  if (names == NULL)
    return gt_lab_fail (error);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = experiment_path (names->pdata[i], &error);
    const GtLabKind *kind = path != NULL ? kind_of (path, &error) : NULL;
    if (kind == NULL || !kind->describe (path, options, &error))
      return gt_lab_fail (error);
  }
  return GT_EXIT_OK;
}

/* --from: the kind is what the raw samples say. */
static int
show_again (const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  gboolean tools, interrupts;
  if (!gt_tool_results_probe (options->from_dir, &tools, &error)
      || !gt_interrupt_results_probe (options->from_dir, &interrupts, &error))
    return gt_lab_fail (error);
  const GtLabKind *kind = tools        ? &gt_lab_kind_run_tools
                          : interrupts ? &gt_lab_kind_interrupt
                                       : &limits;
  return kind->show (options->from_dir, options);
}

/* --observe: see lab/observe.h. */
static int
observe (const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  gint64 pid;
  if (!g_ascii_string_to_signed (options->observe, 10, 1, G_MAXINT, &pid, NULL))
    return gt_cli_fail (GT_EXIT_USAGE, COMMAND, "--observe takes a process id, not '%s'",
                        options->observe);
  return gt_lab_observe ((pid_t) pid, &error) ? GT_EXIT_OK : gt_lab_fail (error);
}

/* What does not go together, as one sentence; NULL when everything does. */
static const char *
contradiction (const GtLabOptions *options)
{
  if (options->experiment != NULL && options->experiment[0] != NULL
      && options->experiment[1] != NULL)
    return "one experiment at a time";
  if (options->from_dir != NULL
      && (options->experiment != NULL || options->quick || options->list || options->keep
          || options->only != NULL || options->broker != NULL || options->out_dir != NULL
          || options->compose))
    return "--from DIR shows the run in DIR as it is; only --detail and --json go with it";
  if (options->compose && options->broker != NULL)
    return "with --compose the broker is that of compose.yml; --broker does not go with it";
  if (options->project_dir != NULL && !options->compose)
    return "--project-directory goes with --compose";
  return NULL;
}

static int
lab (const GtLabOptions *options)
{
  g_autoptr (GError) error = NULL;
  const char *name = options->experiment != NULL ? options->experiment[0] : NULL;
  const char *wrong = contradiction (options);
  if (wrong != NULL)
    return gt_cli_fail (GT_EXIT_USAGE, COMMAND, "%s", wrong);
  if (options->observe != NULL)
    return observe (options);
  if (options->from_dir != NULL)
    return show_again (options);
  if (options->list && name == NULL)
    return list_experiments (options);
  g_autofree char *path = experiment_path (name != NULL ? name : "leak", &error);
  const GtLabKind *kind = path != NULL ? kind_of (path, &error) : NULL;
  if (kind == NULL)
    return gt_lab_fail (error);
  if (options->compose && kind != &limits)
    return gt_cli_fail (GT_EXIT_USAGE, COMMAND,
                        "'%s' has no workers that could run in containers (kind %s)", name,
                        kind->name);
  return options->list ? kind->list (path, options) : kind->run (path, options);
}

int
gt_cmd_lab (int argc, char **argv)
{
  GtLabOptions options = { 0 };
  int code = parse_options (&options, argc, argv) ? lab (&options) : GT_EXIT_USAGE;
  clear_options (&options);
  return code;
}
