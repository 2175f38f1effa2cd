/* gilotine: dispatches to one cmd_*.c; nothing else lives here. */
#include "cli/cmd.h"

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  const char *name;
  GtCommandFunc func;
  const char *help;
} Command;

static const Command commands[] = {
#define X(name, suffix, help) { name, gt_cmd_##suffix, help },
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
open_standard_descriptors (void)
{
  int fd;
  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

/* What was printed and cannot be written is a failure, whatever the command says. */
static int
finish (int code)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return code;
  return code != GT_EXIT_OK ? code : GT_EXIT_SYSTEM;
}

int
main (int argc, char **argv)
{
  open_standard_descriptors ();
  setlocale (LC_ALL, "");
  if (argc < 2) {
    print_help (stderr);
    return GT_EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0) {
    print_help (stdout);
    return finish (GT_EXIT_OK);
  }
  if (strcmp (name, "--version") == 0) {
    printf ("gilotine %s\n", GT_VERSION);
    return GT_EXIT_OK;
  }
  for (const Command *c = commands; c->name != NULL; c++)
    if (strcmp (name, c->name) == 0)
      return finish (c->func (argc - 1, argv + 1));
  fprintf (stderr, "gilotine: no command '%s'; 'gilotine --help' lists them\n", name);
  return GT_EXIT_USAGE;
}
