/* The error domain of src/os. */
#pragma once

#include <glib.h>

#define GT_OS_ERRORS(X)                                                                            \
  X (SYSTEM, "a system call failed")                                                               \
  X (NOT_FOUND, "a program, file or process that must exist does not")                             \
  X (TIMEOUT, "something did not happen in its time")                                              \
  X (UNAVAILABLE, "this machine does not offer what was asked for")                                \
  X (COMMAND_NOT_FOUND, "the command does not exist")                                              \
  X (COMMAND_NOT_EXECUTABLE, "the command cannot be executed")

typedef enum {
#define X(name, text) GT_OS_ERROR_##name,
  GT_OS_ERRORS (X)
#undef X
} GtOsError;

#define GT_OS_ERROR (gt_os_error_quark ())
GQuark gt_os_error_quark (void);

/* Sets `error` to "WHAT: strerror(errno_value)"; returns FALSE, so that failing is one expression.
 */
gboolean gt_os_fail (GError **error, int errno_value, const char *format, ...) G_GNUC_PRINTF (3, 4);
