/* gilotine doctor: what this machine offers, and which promises hold on it. */
#include "cli/cli.h"
#include "cli/doctor.h"
#include "os/machine.h"
#include "os/machine_cgroup.h"
#include "os/paths.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "doctor"

/* A manifest has some lines; a larger file is something else. */
#define MANIFEST_LIMIT ((off_t) 64 * 1024)

typedef struct {
  gboolean json, quiet;
  char *ask;
  char **rest;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->ask);
  g_strfreev (options->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

const GtDoctorCheck *
gt_doctor_checks (void)
{
  static const GtDoctorCheck checks[] = {
#define X(name, suffix, group) { name, gt_check_##suffix, GT_DOCTOR_GROUP_##group },
    GT_DOCTOR_CHECKS (X)
#undef X
        { NULL, NULL, GT_N_DOCTOR_GROUPS },
  };
  return checks;
}

static gboolean
parse_arguments (int *argc, char ***argv, Options *options)
{
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &options->json, "One JSON object", NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "Only what is weak or missing", NULL },
    { "ask", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &options->ask, NULL, NULL },
    { G_OPTION_REMAINING, 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING_ARRAY, &options->rest, NULL,
      NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_option_context_set_summary (
      context, "What this machine offers: kernel, cgroups, namespaces, DuckDB, interpreters,\n"
               "brokers; which kill domain would be used, and what it promises and does not.\n"
               "Exit 0: deadlines hold here. 1: something they need is missing.");
  g_option_context_add_main_entries (context, entries, NULL);
  return gt_cli_parse (context, argc, argv);
}

static void
load_manifest (GtDoctor *doctor)
{
  g_autofree char *cache = gt_path_cache ();
  g_autoptr (GError) error = NULL;
  struct stat info;
  doctor->manifest_path = g_build_filename (cache, "manifest.ini", NULL);
  doctor->manifest = g_key_file_new ();
  if (stat (doctor->manifest_path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR))
    return;
  g_autofree char *text = gt_machine_read (doctor->manifest_path);
  if (text == NULL)
    doctor->manifest_problem = g_strdup (g_strerror (errno));
  else if (!S_ISREG (info.st_mode) || info.st_size > MANIFEST_LIMIT)
    doctor->manifest_problem = g_strdup ("no file of ours");
  else if (!g_key_file_load_from_data (doctor->manifest, text, (gsize) -1, G_KEY_FILE_NONE, &error))
    doctor->manifest_problem = g_strdup (error->message);
}

/* Without these every family fails, and the reason is told once. */
static void
find_obstacle (GtDoctor *doctor)
{
  g_autofree char *keeper = gt_path_program ("gilotine-init", NULL);
  doctor->has_proc = gt_machine_proc_mount ().mounted;
  if (!doctor->has_proc)
    doctor->blocked = "/proc is not mounted";
  else if (keeper == NULL)
    doctor->blocked = "gilotine-init is missing";
}

static void
row_clear (gpointer data)
{
  GtDoctorRow *row = data;
  g_free (row->label);
  g_free (row->value);
  g_free (row->advice);
}

static void
result_clear (gpointer data)
{
  GtDoctorResult *result = data;
  g_array_unref (result->rows);
  json_decref (result->facts);
}

static GArray *
examine (GtDoctor *doctor)
{
  GArray *results = g_array_new (FALSE, TRUE, sizeof (GtDoctorResult));
  g_array_set_clear_func (results, result_clear);
  for (const GtDoctorCheck *check = gt_doctor_checks (); check->name != NULL; check++) {
    GtDoctorResult result = { .check = check, .facts = json_object () };
    result.rows = g_array_new (FALSE, TRUE, sizeof (GtDoctorRow));
    g_array_set_clear_func (result.rows, row_clear);
    doctor->result = &result;
    GtInstant start = gt_instant_now ();
    check->func (doctor);
    result.elapsed_s = (double) (gt_instant_now ().ns - start.ns) / (double) GT_NSEC_PER_SEC;
    g_array_append_val (results, result);
  }
  doctor->result = NULL;
  return results;
}

static int
report (const GArray *results, const Options *options)
{
  const char *no_color = g_getenv ("NO_COLOR");
  GtDoctorView view = {
    .color = isatty (STDOUT_FILENO) && (no_color == NULL || *no_color == '\0'),
    .problems_only = options->quiet,
  };
  g_autoptr (GString) out = g_string_new (NULL);
  GtMark worst = options->json ? gt_doctor_view_json (results, &view, out)
                               : gt_doctor_view_text (results, &view, out);
  if (fwrite (out->str, 1, out->len, stdout) != out->len || fflush (stdout) != 0)
    return gt_cli_fail (GT_EXIT_SYSTEM, NAME, "cannot write the report: %s", g_strerror (errno));
  return worst == GT_MARK_MISSING ? GT_EXIT_FAILED : GT_EXIT_OK;
}

int
gt_cmd_doctor (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  if (!parse_arguments (&argc, &argv, &options))
    return GT_EXIT_USAGE;
  if (options.ask != NULL)
    return gt_doctor_answer (options.ask, options.rest != NULL ? options.rest[0] : NULL);
  if (options.rest != NULL)
    /* Not quoted: it may be a broker's URL. */
    return gt_cli_fail (
        GT_EXIT_USAGE, NAME,
        "takes no arguments (the broker is CELERY_BROKER_URL); options: --json, -q");
  GtDoctor doctor = { .hierarchies = gt_hierarchies_read () };
  doctor.container = gt_machine_container (NULL);
  load_manifest (&doctor);
  find_obstacle (&doctor);
  g_autoptr (GArray) results = examine (&doctor);
  int code = report (results, &options);
  g_ptr_array_unref (doctor.hierarchies);
  g_key_file_unref (doctor.manifest);
  g_free (doctor.manifest_path);
  g_free (doctor.manifest_problem);
  g_free (doctor.container);
  return code;
}
