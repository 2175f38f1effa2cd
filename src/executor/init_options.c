#include "executor/init.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void __attribute__ ((noreturn, format (printf, 1, 2))) refuse (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  (void) fputs ("gilotine-init: ", stderr);
  /* False when several files are checked at once. NOLINTNEXTLINE(clang-analyzer-valist.*) */
  (void) vfprintf (stderr, format, args);
  (void) fputs ("; --help tells more\n", stderr);
  va_end (args);
  exit (EXIT_OURS);
}

static unsigned long long
parse_number (const char *text, int base, unsigned long long max)
{
  char *end;
  errno = 0;
  const unsigned long long value = strtoull (text, &end, base);
  if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > max)
    refuse ("'%s' is not a number, or out of range", text);
  return value;
}

static int
parse_fd (const char *text)
{
  const char *c = text;
  while (*c >= '0' && *c <= '9')
    c++;
  const long fd = *text != '\0' && *c == '\0' && strlen (text) < 10 ? strtol (text, NULL, 10) : -1;
  if (fd < 0 || fcntl ((int) fd, F_SETFD, FD_CLOEXEC) < 0)
    refuse ("'%s' is not an open descriptor", text);
  return (int) fd;
}

static int
parse_word (const char *option, const char *text, const char *const *words)
{
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp (text, words[i]) == 0)
      return i;
  refuse ("'%s' is nothing for --%s", text, option);
}

static void
parse_rlimit (Options *options, const char *text)
{
  char copy[96], *save = NULL;
  const char *parts[3] = { NULL };
  (void) snprintf (copy, sizeof copy, "%s", text);
  for (int i = 0; i < 3; i++)
    parts[i] = strtok_r (i == 0 ? copy : NULL, ":", &save);
  if (parts[2] == NULL || strtok_r (NULL, ":", &save) != NULL || options->n_rlimits == MAX_RLIMITS)
    refuse ("'%s' is not RESOURCE:SOFT:HARD", text);
  const int i = options->n_rlimits++;
  options->rlimits[i].resource = (int) parse_number (parts[0], 10, INT_MAX);
  options->rlimits[i].value = (struct rlimit){ parse_number (parts[1], 10, UINT64_MAX),
                                               parse_number (parts[2], 10, UINT64_MAX) };
}

/* We leave our working directory. */
static const char *
absolute (const char *path)
{
  const char *resolved = realpath (path, NULL);
  return resolved != NULL ? resolved : path;
}

static const char *const session_words[] = { "own", "group", "caller", NULL };
static const char *const command_end_words[] = {
#define X(id, name) name,
  GT_COMMAND_ENDS (X)
#undef X
      NULL,
};
static const char *const signal_words[] = { "auto", "end", "forward", "ignore", NULL };

static const char help_head[]
    = "Usage: gilotine-init [OPTION]... [--] [COMMAND [ARG]...]\n"
      "Runs COMMAND as the head of a family and ends the whole family with it.\n"
      "Without COMMAND it holds until the lifeline closes. As PID 1 (of a container, say) it is "
      "the\n"
      "init of that PID namespace and forwards signals to COMMAND.\n\n";
static const char help_tail[]
    = "\nExit status: that of COMMAND (128+n when signal n ended it), 125 own failure,\n"
      "126 COMMAND cannot be executed, 127 COMMAND not found.";

/* X (name, argument or NULL, statement, help) */
#define OPTIONS(X)                                                                                 \
  X ("lifeline", "FD", o->lifeline_fd = parse_fd (arg), "end everything when FD reaches its end")  \
  X ("status", "FD", o->status_fd = parse_fd (arg), "write what happens to FD, a line an event")   \
  X ("owner", "FD", o->owner_fd = parse_fd (arg),                                                  \
     "end everything when the process of pidfd FD ends")                                           \
  X ("linger", NULL, o->command_end = GT_COMMAND_END_HOLD, "the same as --command-end=hold")       \
  X ("command-end", "kill|wait|hold|release",                                                      \
     o->command_end = (GtCommandEnd) parse_word (name, arg, command_end_words),                    \
     "what COMMAND leaves running is killed (default), is waited for, is kept until the lifeline " \
     "closes, or is set free")                                                                     \
  X ("pgroup", NULL, o->pgroup = true, "end COMMAND's process group only")                         \
  X ("deadline", "NS", o->deadline_ns = (int64_t) parse_number (arg, 10, INT64_MAX),               \
     "end everything at this instant of CLOCK_MONOTONIC")                                          \
  X ("session", "own|group|caller",                                                                \
     o->session = (SessionMode) parse_word (name, arg, session_words),                             \
     "a session of its own (default), only a process group, or neither")                           \
  X ("group", "PGID", o->group = (pid_t) parse_number (arg, 10, INT_MAX),                          \
     "with --session=caller: the process group of COMMAND")                                        \
  X ("signals", "auto|end|forward|ignore",                                                         \
     o->signals = (SignalMode) parse_word (name, arg, signal_words),                               \
     "what a signal to this process does; auto: as PID 1 forward, else end the family")            \
  X ("forward", NULL, o->signals = SIGNALS_FORWARD, "the same as --signals=forward")               \
  X ("cgroup2", "DIR", o->cgroup2 = arg, "COMMAND starts in this cgroup, removed at the end")      \
  X ("memory1", "DIR", o->memory1 = arg, "the same for version 1's memory")                        \
  X ("pids1", "DIR", o->pids1 = arg, "the same for version 1's pids")                              \
  X ("memory", "BYTES", o->memory_bytes = parse_number (arg, 10, UINT64_MAX),                      \
     "end everything when the family holds more")                                                  \
  X ("processes", "N", o->processes = parse_number (arg, 10, UINT64_MAX),                          \
     "end everything when the family has more members")                                            \
  X ("cpu", "NS", o->cpu_ns = (int64_t) parse_number (arg, 10, INT64_MAX),                         \
     "end everything when the family has used this much processor time")                           \
  X ("ignore", "HEX", o->ignored = parse_number (arg, 16, UINT64_MAX),                             \
     "signals that COMMAND ignores, bit n-1 for n")                                                \
  X ("block", "HEX", o->blocked = parse_number (arg, 16, UINT64_MAX), "signals that it blocks")    \
  X ("nice", "N", o->nice = (int) strtol (arg, NULL, 10), "added to COMMAND's niceness")           \
  X ("slice", "NS", o->slice_ns = (int64_t) parse_number (arg, 10, INT64_MAX),                     \
     "COMMAND's scheduling slice")                                                                 \
  X ("rlimit", "RESOURCE:SOFT:HARD", parse_rlimit (o, arg), "a resource limit, by number")         \
  X ("remove", "DIR", o->remove_dir = absolute (arg), "remove DIR when the family is gone")

static void
print_help (void)
{
  (void) fputs (help_head, stdout);
#define X(name, argument, statement, help)                                                         \
  (void) printf ("  --%s%s%s\n        %s\n", name, (argument) != NULL ? "=" : "",                  \
                 (argument) != NULL ? (const char *) (argument) : "", help);
  OPTIONS (X)
#undef X
  (void) puts (help_tail);
}

/* One statement an option, run by its place in the table. */
static void
take_option (Options *o, const char *name, const char *arg)
{
#define X(option, argument, statement, help)                                                       \
  if (strcmp (name, option) == 0)                                                                  \
    (void) (statement);
  OPTIONS (X)
#undef X
}

Options
parse_options (int argc, char **argv)
{
  static const struct option table[] = {
#define X(name, argument, statement, help)                                                         \
  { name, (argument) != NULL ? required_argument : no_argument, NULL, 'x' },
    OPTIONS (X)
#undef X
        { "help", no_argument, NULL, 'h' },
    { 0 },
  };
  Options options
      = { .lifeline_fd = -1, .status_fd = -1, .owner_fd = -1, .deadline_ns = INT64_MAX };
  int index = 0;
  for (int c; (c = getopt_long (argc, argv, "+h", table, &index)) != -1;)
    if (c == 'x')
      take_option (&options, table[index].name, optarg);
    else if (c == 'h') {
      print_help ();
      exit (0);
    } else
      exit (EXIT_OURS);
  options.command = argv + optind;
  if (options.command[0] == NULL && options.lifeline_fd < 0)
    refuse ("a COMMAND or --lifeline is needed");
  return options;
}
