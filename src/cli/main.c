/* gilotine: dispatches to one cmd_*.c, or to gilotine-full, which is this same file with all of
 * them; nothing else lives here. */
#include "cli/cmd.h"
#include "cli/run_options.h"

#include "os/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  const char *name;
  GtCommandFunc func;
  const char *help;
} Command;

#define HERE_FUNC(suffix) gt_cmd_##suffix
#ifdef GT_FULL
#define APART_FUNC(suffix) gt_cmd_##suffix
#else
#define APART_FUNC(suffix) NULL
#endif

static const Command commands[] = {
#define X(name, suffix, where, help) { name, where##_FUNC (suffix), help },
  GT_COMMANDS (X)
#undef X
      { NULL, NULL, NULL },
};

static void
print_help (FILE *out)
{
  fprintf (out,
           "Usage: gilotine COMMAND [OPTION]... [ARGUMENT]...\n"
           "Deadlines that hold, and a laboratory that shows how others do not.\n\nCommands:\n");
  for (const Command *c = commands; c->name != NULL; c++)
    fprintf (out, "  %-8s %s\n", c->name, c->help);
  fprintf (out, "\n'gilotine COMMAND --help' tells the options of one command.\n");
}

/* A descriptor that we open must never become standard input, output or error. */
static void
open_standard_descriptors (int flags)
{
  int fd;
  do
    fd = open ("/dev/null", flags);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

/* What was printed and cannot be written is a failure, whatever the command says. At the exit,
 * since GLib's --help exits by itself. */
static int output_failure = GT_EXIT_SYSTEM;

static void
check_output (int status, void *data)
{
  (void) data;
  /* As timeout(1): what was to be told and could not be is a failure of its own. */
  if (output_failure == GT_RUN_FAILED && ferror (stderr))
    _exit (output_failure);
  errno = 0;
  if ((fflush (stdout) == 0 && !ferror (stdout)) || status != 0)
    return;
  fprintf (stderr, "%s: write error%s%s\n", g_get_prgname (), errno != 0 ? ": " : "",
           errno != 0 ? g_strerror (errno) : "");
  _exit (output_failure);
}

/* What is written to a closed output fails: nobody has it. The lab has its results in a folder, and
 * `run` hands its caller's descriptors on as they are, closed ones too. */
static int
standard_flags (const char *command)
{
  if (strcmp (command, "lab") == 0)
    return O_RDWR;
  return strcmp (command, "run") == 0 ? O_RDONLY | O_CLOEXEC : O_RDONLY;
}

static int
run_here (const Command *command, int argc, char **argv)
{
  gboolean is_run = strcmp (command->name, "run") == 0;
  g_autofree char *name = g_strconcat ("gilotine ", command->name, NULL);
  g_set_prgname (name);
  if (is_run)
    output_failure = GT_RUN_FAILED;
  open_standard_descriptors (standard_flags (command->name));
  return command->func (argc, argv);
}

/* Returns only when that fails. */
static int
run_apart (char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *program = gt_path_program ("gilotine-full", &error);
  if (program != NULL)
    execv (program, argv);
  fprintf (stderr, "gilotine %s: %s\n", argv[1],
           error != NULL ? error->message : g_strerror (errno));
  return GT_EXIT_SYSTEM;
}

int
main (int argc, char **argv)
{
  g_set_prgname ("gilotine");
  on_exit (check_output, NULL);
  if (argc < 2) {
    print_help (stderr);
    return GT_EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0) {
    print_help (stdout);
    return GT_EXIT_OK;
  }
  if (strcmp (name, "--version") == 0) {
    printf ("gilotine %s\n", GT_VERSION);
    return GT_EXIT_OK;
  }
  for (const Command *c = commands; c->name != NULL; c++)
    if (strcmp (name, c->name) == 0)
      return c->func != NULL ? run_here (c, argc - 1, argv + 1) : run_apart (argv);
  fprintf (stderr, "gilotine: no command '%s'; 'gilotine --help' lists them\n", name);
  return GT_EXIT_USAGE;
}
