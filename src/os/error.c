#include "os/error.h"

#include <errno.h>
#include <stdarg.h>

G_DEFINE_QUARK (gt_os_error, gt_os_error)

gboolean
gt_os_fail (GError **error, int errno_value, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, GT_OS_ERROR,
               errno_value == ENOENT ? GT_OS_ERROR_NOT_FOUND : GT_OS_ERROR_SYSTEM, "%s: %s", what,
               g_strerror (errno_value));
  return FALSE;
}
