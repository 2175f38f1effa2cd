#include "cli/cli.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* GLib quotes an unknown option with its value, which may be a broker's URL with a password. */
static void
hide_value (GError *error)
{
  char *word = g_error_matches (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION)
                   ? strstr (error->message, " -")
                   : NULL;
  if (word == NULL)
    return;
  for (word++; g_ascii_isalnum (*word) || *word == '-'; word++)
    ;
  *word = '\0';
}

gboolean
gt_cli_parse (GOptionContext *context, int *argc, char ***argv)
{
  const char *command = (*argv)[0];
  g_autoptr (GError) error = NULL;
  setlocale (LC_ALL, "");
  /* Nobody who has no locale, as under cron, means plain ASCII: GOption would refuse the rest. */
  gboolean no_locale = g_str_equal (nl_langinfo (CODESET), "ANSI_X3.4-1968");
  if (no_locale)
    setlocale (LC_CTYPE, "C.UTF-8");
  gboolean ok = g_option_context_parse (context, argc, argv, &error);
  if (no_locale)
    setlocale (LC_CTYPE, "");
  if (ok)
    return TRUE;
  if (error->domain == G_CONVERT_ERROR) {
    g_clear_error (&error);
    g_set_error (&error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "an argument is no text in %s",
                 no_locale ? "UTF-8" : nl_langinfo (CODESET));
  }
  hide_value (error);
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
