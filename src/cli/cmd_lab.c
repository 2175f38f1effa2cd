/* gilotine lab: runs an experiment, or recomputes the figures of one that ran. */
#include "cli/cli.h"

#include "lab/error.h"
#include "lab/session.h"
#include "lab/table.h"
#include "os/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND "lab"

/* As a shell answers for a command that SIGINT ended. */
enum { EXIT_INTERRUPTED = 130 };

typedef struct {
  gboolean list, quick, json, keep, detail, quiet;
  char **only;
  char *broker;
  char *out_dir;
  char *from_dir;
  char **experiment; /* remaining arguments */
} LabOptions;

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
      "  gilotine lab --only 'gil-*-fork-*'    some rows of it\n"
      "  gilotine lab --from lab-results/leak-20260101-120000 --detail\n";

static gboolean
parse_options (LabOptions *options, int argc, char **argv)
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
      context, "Runs real Celery workers, watches them from outside and says which limits held.");
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, NULL);
  return gt_cli_parse (context, &argc, &argv);
}

static void
clear_options (LabOptions *options)
{
  g_strfreev (options->only);
  g_strfreev (options->experiment);
  g_free (options->broker);
  g_free (options->out_dir);
  g_free (options->from_dir);
}

/* Every error of the lab, and what the process answers to it. */
static int
fail (const GError *error)
{
  GtExit code = GT_EXIT_SYSTEM;
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

/* A name of the folder, or a path. */
static GtExperiment *
load_experiment (const char *name, gboolean quick, GError **error)
{
  if (strchr (name, '/') != NULL || g_str_has_suffix (name, ".ini"))
    return gt_experiment_load (name, quick, error);
  g_autofree char *dir = experiments_dir (error);
  if (dir == NULL)
    return NULL;
  g_autofree char *file = g_strconcat (name, ".ini", NULL);
  g_autofree char *path = g_build_filename (dir, file, NULL);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return gt_experiment_load (path, quick, error);
  g_autoptr (GPtrArray) names = experiment_names (dir, error);
  if (names == NULL)
    return NULL;
  g_ptr_array_add (names, NULL);
  g_autofree char *known = g_strjoinv (", ", (char **) names->pdata);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "no experiment '%s'; known: %s", name,
               known);
  return NULL;
}

static int
list_experiments (const LabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = experiments_dir (&error);
  g_autoptr (GPtrArray) names = dir != NULL ? experiment_names (dir, &error) : NULL;
  if (names == NULL)
    return fail (error);
  for (guint i = 0; i < names->len; i++) {
    g_autoptr (GtExperiment) e = load_experiment (names->pdata[i], options->quick, &error);
    if (e == NULL)
      return fail (error);
    printf ("%-12s %3u subjects  %s\n", e->name, e->subjects->len,
            e->title != NULL ? e->title : "");
  }
  return GT_EXIT_OK;
}

static int
list_subjects (const GtExperiment *experiment)
{
  for (guint i = 0; i < experiment->subjects->len; i++) {
    const GtSubject *subject = experiment->subjects->pdata[i];
    printf ("%-34s", subject->name);
    for (GtFactor f = 0; f < GT_N_FACTORS; f++)
      printf (" %s=%s", gt_factor_key (f), subject->factors[f]);
    putchar ('\n');
  }
  return GT_EXIT_OK;
}

/* --- results -------------------------------------------------------------------------------- */

static gboolean
write_results (const char *dir, const char *table, const json_t *json, GError **error)
{
  g_autofree char *table_path = g_build_filename (dir, "table.txt", NULL);
  g_autofree char *json_path = g_build_filename (dir, "result.json", NULL);
  char *text = json_dumps (json, JSON_INDENT (2));
  if (text == NULL)
    g_error ("the results cannot be written as JSON");
  gboolean ok = g_file_set_contents (table_path, table, -1, error)
                && g_file_set_contents (json_path, text, -1, error);
  free (text);
  return ok;
}

/* Everything that is printed is computed here, from the raw samples, also right after a run. */
static int
show_results (const char *dir, const LabOptions *options, gboolean write)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtRun) run = gt_run_load (dir, &error);
  if (run == NULL)
    return fail (error);
  g_autoptr (GPtrArray) findings = gt_findings_new (run);
  gboolean colour = isatty (STDOUT_FILENO) && g_getenv ("NO_COLOR") == NULL;
  g_autofree char *shown = gt_table_text (run, findings, options->detail, colour);
  g_autofree char *kept = gt_table_text (run, findings, TRUE, FALSE);
  json_t *json = gt_table_json (run, findings);
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
    return fail (error);
  if (fflush (stdout) != 0)
    return gt_cli_fail (GT_EXIT_SYSTEM, COMMAND, "standard output: %s", g_strerror (errno));
  for (guint i = 0; i < findings->len; i++)
    if (((const GtFinding *) findings->pdata[i])->tally->conflicts->len > 0)
      return GT_EXIT_FAILED;
  return GT_EXIT_OK;
}

/* --- runs ----------------------------------------------------------------------------------- */

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

static char *
default_out_dir (const GtExperiment *experiment)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *stamp = g_date_time_format (now, "%Y%m%d-%H%M%S");
  return g_strdup_printf ("lab-results/%s-%s", experiment->name, stamp);
}

static int
run_experiment (GtExperiment *experiment, const LabOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out
      = options->out_dir != NULL ? g_strdup (options->out_dir) : default_out_dir (experiment);
  GtSessionOptions session = { .out_dir = out,
                               .broker = options->broker != NULL ? options->broker : "filesystem",
                               .keep = options->keep,
                               .show_progress = !options->quiet };
  if (!rows_from_environment (&session.rows, &error))
    return fail (error);
  gboolean ok = gt_session_run (experiment, &session, &error);
  if (!ok && !g_error_matches (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED))
    return fail (error);
  int shown = show_results (out, options, TRUE);
  return ok ? shown : fail (error);
}

static int
lab (const LabOptions *options)
{
  g_autoptr (GError) error = NULL;
  const char *name = options->experiment != NULL ? options->experiment[0] : NULL;
  if (name != NULL && options->experiment[1] != NULL)
    return gt_cli_fail (GT_EXIT_USAGE, COMMAND, "one experiment at a time, not also '%s'",
                        options->experiment[1]);
  if (options->from_dir != NULL)
    return show_results (options->from_dir, options, FALSE);
  if (options->list && name == NULL)
    return list_experiments (options);
  g_autoptr (GtExperiment) experiment
      = load_experiment (name != NULL ? name : "leak", options->quick, &error);
  if (experiment == NULL
      || !gt_experiment_filter (experiment, (const char *const *) options->only, &error))
    return fail (error);
  return options->list ? list_subjects (experiment) : run_experiment (experiment, options);
}

int
gt_cmd_lab (int argc, char **argv)
{
  LabOptions options = { 0 };
  int code = parse_options (&options, argc, argv) ? lab (&options) : GT_EXIT_USAGE;
  clear_options (&options);
  return code;
}
