/* gilotine census: looks at a family of processes from outside, once or again and again. */
#include "cli/census_view.h"
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME "census"

/* A pass of a large machine takes some milliseconds; faster watching would measure itself. */
#define SHORTEST_WATCH_S 0.01
#define LONGEST_WATCH_S  86400.0

typedef struct {
  char *watch; /* text of the option */
  char *mark;
  char **pids; /* text of the arguments */
  gboolean all, pss, signals, json;
  int count; /* passes; 0: until interrupted */
  gint64 interval_ns;
  gboolean repeat;
  GArray *roots; /* GtCensusRoot */
} Options;

static void
options_clear (Options *options)
{
  g_free (options->watch);
  g_free (options->mark);
  g_strfreev (options->pids);
  if (options->roots != NULL)
    g_array_unref (options->roots);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* GLib would take the word after a bare --watch for its value, though it is a PID. */
static void
complete_watch (int argc, char **argv)
{
  static char with_default[] = "--watch=1";
  for (int i = 1; i < argc && strcmp (argv[i], "--") != 0; i++)
    if (strcmp (argv[i], "--watch") == 0 || strcmp (argv[i], "-w") == 0)
      argv[i] = with_default;
}

static gboolean
parse_arguments (int *argc, char ***argv, Options *options)
{
  const GOptionEntry entries[] = {
    { "watch", 'w', 0, G_OPTION_ARG_STRING, &options->watch,
      "Look again every SECONDS (default 1) until interrupted, or until nobody is left",
      "SECONDS" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options->count, "End after N passes", "N" },
    { "mark", 0, 0, G_OPTION_ARG_STRING, &options->mark,
      "Include processes with GILOTINE_MARK=VALUE in their environment", "VALUE" },
    { "all", 0, 0, G_OPTION_ARG_NONE, &options->all, "Every process of the machine", NULL },
    { "pss", 0, 0, G_OPTION_ARG_NONE, &options->pss,
      "Proportional set size: shared memory counted once (slow)", NULL },
    { "signals", 0, 0, G_OPTION_ARG_NONE, &options->signals,
      "Signals caught, ignored, blocked and pending", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options->json, "One JSON object a pass, a line each",
      NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->pids, NULL, "[PID]..." },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_option_context_set_summary (
      context, "Processes PID with all their descendants, seen from outside: states, zombies, CPU\n"
               "time, memory. Without PID, --mark and --all: the family of the parent process.");
  g_option_context_add_main_entries (context, entries, NULL);
  complete_watch (*argc, *argv);
  return gt_cli_parse (context, argc, argv);
}

static int
check_times (Options *options)
{
  if (options->count < 0)
    return gt_cli_fail (GT_EXIT_USAGE, NAME, "--count takes a number from 1 on");
  options->repeat = options->watch != NULL || options->count > 1;
  double seconds = 1;
  if (options->watch != NULL) {
    char *end;
    seconds = g_ascii_strtod (options->watch, &end);
    if (end == options->watch || *end != '\0' || !(seconds >= SHORTEST_WATCH_S)
        || !(seconds <= LONGEST_WATCH_S))
      return gt_cli_fail (GT_EXIT_USAGE, NAME, "--watch takes seconds from %g to %g, not '%s'",
                          SHORTEST_WATCH_S, LONGEST_WATCH_S, options->watch);
  }
  options->interval_ns = (gint64) (seconds * (double) GT_NSEC_PER_SEC);
  return GT_EXIT_OK;
}

static int
check_family (Options *options)
{
  options->roots = g_array_new (FALSE, TRUE, sizeof (GtCensusRoot));
  if (options->mark != NULL && *options->mark == '\0')
    return gt_cli_fail (GT_EXIT_USAGE, NAME, "--mark takes a value that is not empty");
  if (options->all && (options->pids != NULL || options->mark != NULL))
    return gt_cli_fail (GT_EXIT_USAGE, NAME, "--all is every process: leave PID and --mark out");
  for (char **text = options->pids; text != NULL && *text != NULL; text++) {
    guint64 pid;
    if (!g_ascii_string_to_unsigned (*text, 10, 1, G_MAXINT, &pid, NULL))
      return gt_cli_fail (GT_EXIT_USAGE, NAME, "'%s' is no process id: a whole number from 1 on",
                          *text);
    GtCensusRoot root = { .pid = (pid_t) pid };
    g_array_append_val (options->roots, root);
  }
  if (options->roots->len > 0 || options->mark != NULL || options->all)
    return GT_EXIT_OK;
  GtCensusRoot parent = { .pid = getppid () };
  if (parent.pid == 0) /* it is in another PID namespace */
    return gt_cli_fail (GT_EXIT_USAGE, NAME,
                        "the parent process cannot be seen: name a PID, --mark "
                        "or --all");
  g_array_append_val (options->roots, parent);
  return GT_EXIT_OK;
}

/* Roots nobody has: reported once, after the first pass. */
static int
report_missing (const Options *options, const GtCensusResult *result)
{
  int code = GT_EXIT_OK;
  for (guint i = 0; i < options->roots->len; i++) {
    pid_t pid = g_array_index (options->roots, GtCensusRoot, i).pid;
    if (gt_census_find (result, pid) == NULL && pid != getpid ())
      code = gt_cli_fail (GT_EXIT_FAILED, NAME, "no process %d%s", (int) pid,
                          result->totals.denied > 0 || result->totals.hidden
                              ? " that this user may look at"
                              : "; 'ps -e' lists those that are");
  }
  return code;
}

static gboolean
write_out (const GString *text)
{
  return fwrite (text->str, 1, text->len, stdout) == text->len && fflush (stdout) == 0;
}

static void
render (const Options *options, const GtCensusResult *result, gint64 interval_ns, GString *out)
{
  gboolean terminal = isatty (STDOUT_FILENO);
  GtCensusView view = { .pss = options->pss, .signals = options->signals, .rate = options->repeat };
  struct winsize size;
  g_string_truncate (out, 0);
  if (options->json) {
    gt_census_view_json (result, &view, out);
    return;
  }
  if (terminal) {
    const char *no_color = g_getenv ("NO_COLOR");
    view.color = no_color == NULL || *no_color == '\0';
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
      view.columns = size.ws_col;
    if (options->repeat)
      g_string_append (out, "\033[H\033[J");
  }
  gt_census_view_table (result, &view, interval_ns, out);
  if (options->repeat && !terminal)
    g_string_append_c (out, '\n');
}

/* TRUE when it was interrupted. The signals are blocked, so one that came earlier is not lost. */
static gboolean
wait_until (GtInstant next, const sigset_t *stop)
{
  for (;;) {
    gint64 ns = gt_instant_until (gt_instant_now (), next);
    struct timespec rest = { .tv_sec = ns / GT_NSEC_PER_SEC, .tv_nsec = ns % GT_NSEC_PER_SEC };
    if (sigtimedwait (stop, NULL, &rest) > 0)
      return TRUE;
    if (errno != EINTR)
      return FALSE;
  }
}

static gboolean
is_last (const Options *options, const GtCensusResult *result, int passes)
{
  if (!options->repeat || (options->count > 0 && passes >= options->count))
    return TRUE;
  return result->n_processes == 0 && options->mark == NULL && !options->all;
}

static int
watch (GtCensus *census, const Options *options, const sigset_t *stop)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  GtCensusOptions wanted = {
    .roots = (const GtCensusRoot *) (gconstpointer) options->roots->data,
    .n_roots = options->roots->len,
    .mark = options->mark,
    .flags = GT_CENSUS_CMDLINE | GT_CENSUS_NOT_SELF | (options->all ? GT_CENSUS_ALL : 0)
             | (options->pss ? GT_CENSUS_PSS : 0) | (options->signals ? GT_CENSUS_SIGNALS : 0),
  };
  GtInstant next = gt_instant_now (), previous = next;
  int code = GT_EXIT_OK;
  for (int passes = 1;; passes++) {
    const GtCensusResult *result = gt_census_take (census, &wanted, &error);
    if (result == NULL)
      return gt_cli_fail (GT_EXIT_SYSTEM, NAME, "%s", error->message);
    if (passes == 1) {
      code = report_missing (options, result);
      if (code != GT_EXIT_OK && result->n_processes == 0 && options->mark == NULL)
        return code;
    }
    gint64 interval_ns = passes == 1 ? 0 : result->before.ns - previous.ns;
    previous = result->before;
    render (options, result, interval_ns, text);
    if (!write_out (text))
      return gt_cli_fail (GT_EXIT_SYSTEM, NAME, "cannot write the result: %s", g_strerror (errno));
    if (is_last (options, result, passes))
      return code;
    /* Kept in step with the first pass; after a delay no pass is made up for. */
    next = gt_instant_add (next, options->interval_ns);
    if (next.ns < gt_instant_now ().ns)
      next = gt_instant_now ();
    if (wait_until (next, stop))
      return code;
  }
}

int
gt_cmd_census (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;
  if (!parse_arguments (&argc, &argv, &options))
    return GT_EXIT_USAGE;
  int code = check_times (&options);
  if (code == GT_EXIT_OK)
    code = check_family (&options);
  if (code != GT_EXIT_OK)
    return code;
  g_autoptr (GtCensus) census = gt_census_new (NULL, &error);
  if (census == NULL)
    return gt_cli_fail (GT_EXIT_SYSTEM, NAME, "%s", error->message);
  sigset_t stop;
  sigemptyset (&stop);
  if (options.repeat) {
    sigaddset (&stop, SIGINT);
    sigaddset (&stop, SIGTERM);
    sigprocmask (SIG_BLOCK, &stop, NULL);
  }
  return watch (census, &options, &stop);
}
