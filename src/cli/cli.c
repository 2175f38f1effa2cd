#include "cli/cli.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>

gboolean
gt_cli_parse (GOptionContext *context, int *argc, char ***argv)
{
  const char *command = (*argv)[0];
  g_autoptr (GError) error = NULL;
  setlocale (LC_ALL, "");
  if (g_option_context_parse (context, argc, argv, &error))
    return TRUE;
  gt_cli_fail (GT_EXIT_USAGE, command, "%s; 'gilotine %s --help' lists the options", error->message,
               command);
  return FALSE;
}

int
gt_cli_fail (GtExit code, const char *command, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);
  fflush (stdout);
  fprintf (stderr, "gilotine %s: %s\n", command, message);
  return (int) code;
}
