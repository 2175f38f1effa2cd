#include "cli/target.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_US    10000 /* for a reader: nothing tells when one comes */
#define MOST_LINKS 40    /* as the kernel follows */

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

static char *
real_path (const char *name)
{
  char *real = realpath (name, NULL);
  char *copy = g_strdup (real);
  free (real);
  return copy;
}

/* Of a file that is not there, in a folder that is. NULL and errno. */
static char *
real_path_of_new (const char *name)
{
  g_autofree char *folder = g_path_get_dirname (name);
  g_autofree char *real = real_path (folder);
  const char *slash = strrchr (name, '/');
  const char *base = slash != NULL ? slash + 1 : name;
  if (*base == '\0')
    errno = ENOTDIR; /* "new/" asks for a folder */
  return *base != '\0' && real != NULL ? g_build_filename (real, base, NULL) : NULL;
}

char *
gt_target_real_path (const char *name)
{
  char *real = real_path (name);
  if (real != NULL || errno != ENOENT)
    return real;
  g_autofree char *at = g_strdup (name);
  for (int i = 0; i < MOST_LINKS; i++) {
    g_autofree char *to = g_file_read_link (at, NULL);
    if (to == NULL)
      return real_path_of_new (at);
    g_autofree char *folder = g_path_get_dirname (at);
    g_free (at);
    at = g_path_is_absolute (to) ? g_strdup (to) : g_build_filename (folder, to, NULL);
  }
  errno = ELOOP;
  return NULL;
}
