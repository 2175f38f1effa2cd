/* What every command does in the same way: options, errors, exit codes. */
#pragma once

#include "cli/cmd.h"

#include <glib.h>

/* Parses argv in place. On a wrong option it says so, points to --help and returns FALSE: the
 * command then returns GT_EXIT_USAGE. --help prints to standard output and exits 0. */
gboolean gt_cli_parse (GOptionContext *context, int *argc, char ***argv);

/* "gilotine COMMAND: MESSAGE" on standard error; returns `code`, so that a failure is one
 * statement. The message says what to do next. */
int gt_cli_fail (GtExit code, const char *command, const char *format, ...) G_GNUC_PRINTF (3, 4);
