#include "cli/target.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_US 10000 /* for a reader: nothing tells when one comes */

int
gt_target_own_fd (const char *name)
{
  static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
  guint64 fd;
  if (strcmp (name, "/dev/stdout") == 0)
    return STDOUT_FILENO;
  if (strcmp (name, "/dev/stderr") == 0)
    return STDERR_FILENO;
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    if (g_str_has_prefix (name, folders[i])
        && g_ascii_string_to_unsigned (name + strlen (folders[i]), 10, 0, G_MAXINT, &fd, NULL))
      return (int) fd;
  return -1;
}

int
gt_target_dup (int fd, GError **error)
{
  int flags = fcntl (fd, F_GETFL);
  int copy = -1;
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
    copy = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  else if (flags >= 0)
    errno = EBADF;
  if (copy < 0)
    gt_os_fail (error, errno, "descriptor %d", fd);
  return copy;
}

int
gt_target_open (const char *name, GtInstant until, GError **error)
{
  const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
  struct stat st;
  int fd = open (name, flags | O_NONBLOCK);
  while (fd < 0 && errno == ENXIO && stat (name, &st) == 0 && S_ISFIFO (st.st_mode)) {
    if (gt_instant_until (gt_instant_now (), until) == 0) {
      g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT,
                   "%s: nobody has opened it to read within the limit", name);
      return -1;
    }
    g_usleep (LOOK_US);
    fd = open (name, flags | O_NONBLOCK);
  }
  if (fd < 0)
    gt_os_fail (error, errno, "%s", name);
  else
    (void) fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) & ~O_NONBLOCK);
  return fd;
}
