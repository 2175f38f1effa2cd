#include "cli/run_options.h"

#include "os/parse.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_GRACE_NS GT_NSEC_PER_SEC

/* getopt_long with "+" and not GOption, because this is timeout's command line: options end at the
 * first word that is none ("run 10 ls -l" hands -l to ls), which GOption's strict mode does not do
 * for -- and for options behind it; -k1, --kill-after=1 and --kill 1 (shortened) are all in use;
 * and a usage error is 125, written in the words that scripts know.
 *
 * X (long name, short letter or 0, code, argument or NULL, help) */
#define OPTIONS(X)                                                                                 \
  X ("kill-after", 'k', 'k', "DURATION",                                                           \
     "SIGKILL to the whole family this long after the first signal\n"                              \
     "(default 1s; 0: never)")                                                                     \
  X ("signal", 's', 's', "SIGNAL",                                                                 \
     "first signal at the time limit, by name or number (default TERM;\n"                          \
     "KILL: the family is killed at once)")                                                        \
  X ("verbose", 'v', 'v', NULL, "say on standard error which signal is sent")                      \
  X ("preserve-status", 'p', 'p', NULL,                                                            \
     "exit with the status of COMMAND even when it is timed out")                                  \
  X ("foreground", 'f', 'f', NULL,                                                                 \
     "COMMAND shares our process group and terminal, and is the only\n"                            \
     "one to get the first signal; its family is killed all the same")                             \
  X ("keep-descendants", 0, 'K', NULL,                                                             \
     "what COMMAND leaves running when it ends in time may live on")                               \
  X ("memory", 0, 'M', "SIZE", "limit for the whole family together: 512M, 1.5GiB")                \
  X ("cpu", 0, 'C', "DURATION", "limit of CPU time for the whole family together")                 \
  X ("processes", 0, 'P', "N", "limit of processes in the family")                                 \
  X ("on-soft", 0, 'S', "COMMAND",                                                                 \
     "shell command to run at the time limit, before the first signal;\n"                          \
     "GILOTINE_PID is the pid of the command that is late. It has half\n"                          \
     "of the grace, or 1s when there is none")                                                     \
  X ("domain", 0, 'D', "NAME",                                                                     \
     "what holds the family: auto (default), or exactly one of those\n"                            \
     "below")                                                                                      \
  X ("report", 0, 'R', "FILE|FD",                                                                  \
     "write the outcome record as one JSON object into FILE (replaced\n"                           \
     "whole at the end) or to the open descriptor FD")                                             \
  X ("help", 0, 'h', NULL, "this text")                                                            \
  X ("version", 0, 'V', NULL, "the version")

static const struct option long_options[] = {
#define X(name, letter, code, argument, help)                                                      \
  { name, (argument) != NULL ? required_argument : no_argument, NULL, code },
  OPTIONS (X)
#undef X
  /* Short for one of timeout's own names, and stays so beside ours that begin alike. */
  { "k", required_argument, NULL, 'k' },
  { "p", no_argument, NULL, 'p' },
  { "pr", no_argument, NULL, 'p' },
  { 0 },
};

static void
print_option (const char *name, int letter, const char *argument, const char *help)
{
  char left[64];
  char brief[8] = "    ";
  if (letter != 0)
    g_snprintf (brief, sizeof brief, "-%c, ", letter);
  g_snprintf (left, sizeof left, "%s--%s%s%s", brief, name, argument != NULL ? "=" : "",
              argument != NULL ? argument : "");
  g_auto (GStrv) lines = g_strsplit (help, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    printf ("  %-26s %s\n", line == lines ? left : "", *line);
}

static void
print_help (void)
{
  puts (
      "Usage: gilotine run [OPTION]... DURATION COMMAND [ARG]...\n"
      "Runs COMMAND; when it is not done after DURATION, sends it a signal, and after a grace\n"
      "kills its whole family: children, daemons, what called setsid, what is stopped. All of it\n"
      "is dead and reaped before the run returns, and also when COMMAND ends in time but leaves\n"
      "something running. Options, signals and exit status are those of timeout(1), and more.\n\n"
      "Options:");
#define X(name, letter, code, argument, help) print_option (name, letter, argument, help);
  OPTIONS (X)
#undef X
  puts ("\nDomains:");
  for (GtDomain d = 0; d < GT_N_DOMAINS; d++)
    printf ("  %-13s %s\n", gt_domain_name (d), gt_domain_promise (d));
  puts (
      "\nDURATION is a number (0.5, 1e-3, inf) with s for seconds (the default), m, h or d behind\n"
      "it; 0 is no limit. SIZE takes K, M, G, T (of 1024) or KB, MB, ... (of 1000).\n\n"
      "Signals: INT, QUIT, HUP, TERM, USR1 and others sent to 'gilotine run' go to COMMAND; ALRM\n"
      "means that the time is over now. SIGKILL to 'gilotine run' ends the whole family.\n"
      "Nested runs share one deadline (GILOTINE_DEADLINE): an inner one never outlasts an outer\n"
      "one.\n\n"
      "Exit status:\n"
      "  that of COMMAND, when it ended in time (128+n when signal n ended it)\n"
      "  124  the time limit was reached (without --preserve-status)\n"
      "  137  ... and it took SIGKILL to end COMMAND\n"
      "  113  the limit of --memory was reached; 114 that of --cpu or --processes\n"
      "  125  the run itself failed: wrong option, a limit that cannot be enforced here, or\n"
      "       processes left that this user may not kill (they are named)\n"
      "  126  COMMAND was found but cannot be executed; 127 COMMAND was not found\n\n"
      "Examples:\n"
      "  gilotine run 10 make check                10 seconds, TERM, 1 second of grace, KILL\n"
      "  gilotine run -k 30 1h ./nightly           half a minute to shut down\n"
      "  gilotine run -s KILL 0.5 ./solver         no grace\n"
      "  gilotine run --memory 2G --cpu 10m 1h ./job\n"
      "  gilotine run --on-soft 'gdb -batch -p $GILOTINE_PID -ex bt' -k 10 60 ./server\n"
      "  gilotine run --report out.json 5 sh script.sh");
}

static gboolean
fail (int *code)
{
  fputs ("Try 'gilotine run --help' for more information.\n", stderr);
  *code = GT_RUN_FAILED;
  return FALSE;
}

char *
gt_run_quote (const char *text)
{
  char kept[130] = "\""; /* and all that is not ASCII */
  for (int i = 0; i < 128; i++)
    kept[1 + i] = (char) (128 + i);
  g_autofree char *escaped = g_strescape (text, kept);
  g_autoptr (GString) quoted = g_string_new (escaped);
  g_string_replace (quoted, "'", "\\'", 0);
  return g_strdup_printf ("'%s'", quoted->str);
}

static gboolean
take_duration (const char *text, gint64 *ns, int *code)
{
  if (gt_parse_duration (text, ns))
    return TRUE;
  g_autofree char *quoted = gt_run_quote (text);
  fprintf (stderr, "gilotine run: invalid time interval %s\n", quoted);
  return fail (code);
}

static gboolean
take_limit (const char *option, const char *text, GtRunOptions *options, int *code)
{
  g_autofree char *quoted = gt_run_quote (text);
  switch (*option) {
  case 'm':
    if (gt_parse_size (text, &options->memory_bytes))
      return TRUE;
    fprintf (stderr, "gilotine run: invalid size %s: write 512M or 1.5GiB\n", quoted);
    return fail (code);
  case 'c':
    if (!take_duration (text, &options->cpu_ns, code))
      return FALSE;
    if (options->cpu_ns == G_MAXINT64)
      options->cpu_ns = 0;
    return TRUE;
  default:
    if (gt_parse_count (text, &options->processes))
      return TRUE;
    fprintf (stderr, "gilotine run: invalid number of processes %s: write a number from 1 on\n",
             quoted);
    return fail (code);
  }
}

static gboolean
take_signal (const char *text, GtRunOptions *options, int *code)
{
  if (gt_parse_signal (text, &options->signo))
    return TRUE;
  g_autofree char *quoted = gt_run_quote (text);
  fprintf (stderr, "gilotine run: %s: invalid signal\n", quoted);
  return fail (code);
}

static gboolean
take_domain (const char *text, GtRunOptions *options, int *code)
{
  g_autoptr (GError) error = NULL;
  if (gt_domain_by_name (text, &options->domain, &error))
    return TRUE;
  fprintf (stderr, "gilotine run: %s\n", error->message);
  return fail (code);
}

/* FALSE: *code is set. */
static gboolean
take_option (int c, GtRunOptions *options, int *code)
{
  switch (c) {
  case 'k':
    options->kill_after = TRUE;
    return take_duration (optarg, &options->grace_ns, code);
  case 's':
    return take_signal (optarg, options, code);
  case 'M':
    return take_limit ("memory", optarg, options, code);
  case 'C':
    return take_limit ("cpu", optarg, options, code);
  case 'P':
    return take_limit ("processes", optarg, options, code);
  case 'D':
    return take_domain (optarg, options, code);
  case 'v':
    options->verbose = TRUE;
    return TRUE;
  case 'p':
    options->preserve_status = TRUE;
    return TRUE;
  case 'f':
    options->foreground = TRUE;
    return TRUE;
  case 'K':
    options->keep_descendants = TRUE;
    return TRUE;
  case 'S':
    options->on_soft = optarg;
    return TRUE;
  case 'R':
    options->report = optarg;
    return TRUE;
  case 'h':
    print_help ();
    *code = 0;
    return FALSE;
  case 'V':
    puts ("gilotine run " GT_VERSION);
    *code = 0;
    return FALSE;
  default: /* getopt has said what is wrong */
    return fail (code);
  }
}

gboolean
gt_run_options_parse (GtRunOptions *options, int argc, char **argv, int *code)
{
  static char name[] = "gilotine run"; /* what getopt's messages begin with */
  *options = (GtRunOptions){
    .grace_ns = DEFAULT_GRACE_NS,
    .signo = SIGTERM,
    .domain = GT_DOMAIN_AUTO,
  };
  argv[0] = name;
  for (int c; (c = getopt_long (argc, argv, "+k:s:vpf", long_options, NULL)) != -1;)
    if (!take_option (c, options, code))
      return FALSE;
  if (argc - optind < 2) {
    fputs (argc == optind ? "gilotine run: DURATION and COMMAND are missing\n"
                          : "gilotine run: COMMAND is missing behind DURATION\n",
           stderr);
    return fail (code);
  }
  if (!take_duration (argv[optind], &options->duration_ns, code))
    return FALSE;
  options->command = argv + optind + 1;
  return TRUE;
}
