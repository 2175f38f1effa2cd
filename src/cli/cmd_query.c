/* gilotine query: DuckDB queries under limits, from the shell. */
#include "cli/cli.h"
#include "cli/query_say.h"
#include "cli/run_record.h"
#include "os/error.h"
#include "os/machine_cgroup.h"

#include <errno.h>
#include <langinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME "query"

/* --- limits --------------------------------------------------------------------------------------
 */

static gboolean
make_limits (const GtQueryOptions *options, GtLimits *limits, int *code)
{
  GtLimitsWorld world;
  g_autoptr (GError) error = NULL;
  if (gt_limits_world_read (&world, &error)
      && gt_limits_make (&options->asked, &world, limits, &error))
    return TRUE;
  *code = gt_cli_fail (GT_EXIT_USAGE, NAME, "%s", error->message);
  return FALSE;
}

static gint64
in_force (const GtLimits *limits, GtLimitId id)
{
  switch (id) {
  case GT_LIMIT_SOFT:
    return gt_instant_until (limits->made, limits->soft);
  case GT_LIMIT_HARD:
    return gt_instant_until (limits->made, limits->hard);
  case GT_LIMIT_MEMORY:
    return limits->memory_bytes;
  case GT_LIMIT_CPU:
    return limits->cpu_ns;
  case GT_LIMIT_PROCESSES:
    return limits->processes;
  case GT_LIMIT_COUNT:
    break;
  }
  return 0;
}

/* As gilotine-duckdb counts them. */
static gint64
threads_in_force (const GtQueryOptions *options, const char **from)
{
  gboolean by_quota = FALSE;
  g_autoptr (GPtrArray) hierarchies = gt_hierarchies_read ();
  guint cpus = gt_hierarchies_cpus (hierarchies, &by_quota);
  *from = options->threads > 0 ? "option" : by_quota ? "cgroup" : "machine";
  return options->threads > 0 ? options->threads : cpus;
}

/* Takes `value`. */
static void
add_json (json_t *all, const char *name, json_t *value, const char *unit, const char *from)
{
  json_object_set_new (all, name,
                       json_pack ("{s:o, s:s, s:s}", "value", value, "unit", unit, "from", from));
}

static void
explain_json (const GtQueryOptions *options, const GtLimits *limits, const char *domain)
{
  static const char *const units[] = {
#define X(id, name, unit) [GT_LIMIT_##id] = #unit,
    GT_LIMITS (X)
#undef X
  };
  json_t *all = json_object ();
  for (int i = 0; i < GT_LIMIT_COUNT; i++) {
    GtLimitId id = (GtLimitId) i;
    gboolean none = limits->from[id] == GT_LIMIT_FROM_NONE;
    g_autofree char *unit = g_ascii_strdown (units[i], -1);
    add_json (all, gt_limit_name (id), none ? json_null () : json_integer (in_force (limits, id)),
              unit, gt_limit_source_name (limits->from[id]));
  }
  const char *from = NULL;
  gint64 threads = threads_in_force (options, &from);
  add_json (all, "threads", json_integer (threads), "count", from);
  gint64 most = options->max_result_bytes;
  add_json (all, "max-result", most > 0 ? json_integer (most) : json_null (), "bytes",
            gt_limit_source_name (most > 0 ? GT_LIMIT_FROM_OPTION : GT_LIMIT_FROM_NONE));
  json_object_set_new (all, "domain", json_string (domain));
  char *text = json_dumps (all, JSON_INDENT (2));
  puts (text);
  free (text);
  json_decref (all);
}

/* One that was named is tried before anything is opened: as a failed start of the executor it would
 * be no fault of the option. */
static gboolean
can_have_domain (const GtQueryOptions *options, int *code)
{
  g_autoptr (GError) error = NULL;
  if (gt_domain_probe (options->domain, &error))
    return TRUE;
  *code = gt_cli_fail ((GtExit) gt_outcome_info (GT_OUTCOME_REFUSED)->exit_code, NAME,
                       "--domain: %s", error->message);
  return FALSE;
}

static int
explain (const GtQueryOptions *options, const GtLimits *limits)
{
  GtDomain domain = options->domain;
  if (domain == GT_DOMAIN_AUTO)
    domain = gt_domain_best (GT_PURPOSE_CONTAIN);
  if (options->format == GT_QUERY_FORMAT_JSON) {
    explain_json (options, limits, gt_domain_name (domain));
    return GT_EXIT_OK;
  }
  for (int i = 0; i < GT_LIMIT_COUNT; i++) {
    g_autofree char *line = gt_limits_explain (limits, (GtLimitId) i);
    puts (line);
  }
  const char *from = NULL;
  gint64 threads = threads_in_force (options, &from);
  printf ("threads: %" G_GINT64_FORMAT " (%s)\n", threads, from);
  if (options->max_result_bytes > 0)
    printf ("max-result: %" G_GINT64_FORMAT " bytes (option)\n", options->max_result_bytes);
  printf ("domain: %s (%s): %s\n", gt_domain_name (domain),
          options->domain == GT_DOMAIN_AUTO ? "machine" : "option", gt_domain_promise (domain));
  return GT_EXIT_OK;
}

/* --- the query -----------------------------------------------------------------------------------
 */

static GtQueryLook
look_for (const GtQueryOut *out)
{
  GtQueryLook look = { .ascii = !g_str_equal (nl_langinfo (CODESET), "UTF-8") };
  struct winsize size;
  if (isatty (out->fd))
    look.screen_columns
        = ioctl (out->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  return look;
}

static gboolean
write_report (const GtRunReport *report, const GtQueryTask *task, GError **error)
{
  if (report->target == NULL)
    return TRUE;
  g_autofree char *record = gt_query_report (task);
  return gt_run_report_text (report, record, error);
}

/* The file has its name before the record says that all is well. */
static int
conclude (GtQueryTask *task, const GtRunReport *report)
{
  g_autoptr (GError) error = NULL;
  gt_query_judge_commit (task, &task->result->record);
  gt_query_say (task);
  int code = gt_query_exit_code (task);
  GtOutcome outcome = task->result->record.outcome;
  gboolean complete = (outcome == GT_OUTCOME_VALUE || outcome == GT_OUTCOME_LATE_VALUE)
                      && task->write_errno == 0 && task->signo == 0;
  if (complete && !gt_query_out_commit (task->out, &error)) {
    code = gt_cli_fail (GT_EXIT_SYSTEM, NAME, "%s", error->message);
    g_clear_error (&error);
  }
  if (!write_report (report, task, &error))
    code = gt_cli_fail (GT_EXIT_SYSTEM, NAME, "%s", error->message);
  return code;
}

static int
run_query (const GtQueryOptions *options, const GtLimits *limits, GtQueryOut *out,
           const GtRunReport *report)
{
  g_autoptr (GError) error = NULL;
  g_auto (GtQueryTask) task
      = { .options = options, .limits = *limits, .out = out, .look = look_for (out) };
  if (!gt_query_task_run (&task, &error))
    return gt_cli_fail (GT_EXIT_SYSTEM, NAME, "%s", error->message);
  return conclude (&task, report);
}

/* As other tools whose reader leaves: a shell's pipefail knows the signal. */
static void
die_by_pipe (void)
{
  sigset_t set;
  sigemptyset (&set);
  sigaddset (&set, SIGPIPE);
  (void) signal (SIGPIPE, SIG_DFL);
  (void) pthread_sigmask (SIG_UNBLOCK, &set, NULL);
  (void) raise (SIGPIPE);
}

/* A pipe that nobody read until the hard limit, or a target that is none. */
static int
code_of_target (const GError *error)
{
  return g_error_matches (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT)
             ? gt_outcome_info (GT_OUTCOME_HARD_TIMEOUT)->exit_code
             : GT_EXIT_USAGE;
}

static int
open_and_run (const GtQueryOptions *options, const GtLimits *limits)
{
  g_autoptr (GError) error = NULL;
  g_auto (GtQueryOut) out = GT_QUERY_OUT_NONE;
  GtRunReport report;
  if (!gt_run_report_open (&report, options->report, limits->hard, &error))
    return gt_cli_fail (code_of_target (error), NAME, "%s", error->message);
  if (!gt_query_out_open (&out, options->output, limits->hard, &error))
    return gt_cli_fail (code_of_target (error), NAME, "-o: %s", error->message);
  if (options->format == GT_QUERY_FORMAT_PARQUET && isatty (out.fd))
    return gt_cli_fail (GT_EXIT_USAGE, NAME, "parquet is nothing for a terminal: add -o FILE");
  return run_query (options, limits, &out, &report);
}

int
gt_cmd_query (int argc, char **argv)
{
  g_auto (GtQueryOptions) options = { 0 };
  GtLimits limits;
  int code = GT_EXIT_OK;
  if (!gt_query_options_parse (&options, argc, argv, &code)
      || !make_limits (&options, &limits, &code) || !can_have_domain (&options, &code))
    return code;
  if (options.explain_limits)
    return explain (&options, &limits);
  code = open_and_run (&options, &limits);
  if (code == 128 + SIGPIPE)
    die_by_pipe ();
  return code;
}
