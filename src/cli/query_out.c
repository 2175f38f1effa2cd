#include "cli/query_out.h"

#include "cli/target.h"
#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_LINKS 40 /* as the kernel follows */

static mode_t
mode_for_new (void)
{
  mode_t mask = umask (0);
  (void) umask (mask);
  return 0666 & ~mask;
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

/* A link is followed, also one to a file that is not there yet: the file behind it is replaced, not
 * the link. NULL and errno. */
static char *
behind_links (const char *target)
{
  char *real = real_path (target);
  if (real != NULL || errno != ENOENT)
    return real;
  g_autofree char *at = g_strdup (target);
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

static gboolean
resolve (GtQueryOut *self, const char *target, GtInstant until, GError **error)
{
  struct stat st;
  gboolean exists = stat (target, &st) == 0;
  if (!exists && errno != ENOENT)
    return gt_os_fail (error, errno, "%s", target);
  if (exists && S_ISDIR (st.st_mode))
    return gt_os_fail (error, EISDIR, "%s", target);
  if (exists && !S_ISREG (st.st_mode)) {
    self->fd = gt_target_open (target, until, error);
    return self->fd >= 0;
  }
  self->mode = exists ? st.st_mode & 0777 : mode_for_new ();
  self->target = behind_links (target);
  return self->target != NULL || gt_os_fail (error, errno, "%s", target);
}

/* Without a name it is gone with us, however we end; where a file system cannot do that it has a
 * temporary one. */
static gboolean
open_unfinished (GtQueryOut *self, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (self->target);
  g_autofree char *base = g_path_get_basename (self->target);
  self->fd = open (folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (self->fd >= 0)
    return TRUE;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    return gt_os_fail (error, errno, "%s", folder);
  self->unfinished = g_strdup_printf ("%s/.%s.XXXXXX", folder, base);
  self->fd = g_mkstemp_full (self->unfinished, O_RDWR | O_CLOEXEC, 0600);
  if (self->fd >= 0)
    return TRUE;
  int saved = errno;
  g_clear_pointer (&self->unfinished, g_free);
  return gt_os_fail (error, saved, "%s", folder);
}

gboolean
gt_query_out_open (GtQueryOut *self, const char *target, GtInstant until, GError **error)
{
  *self = (GtQueryOut) GT_QUERY_OUT_NONE;
  self->shown = g_strdup (target != NULL ? target : "standard output");
  if (target == NULL) {
    self->fd = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return self->fd >= 0 || gt_os_fail (error, errno, "standard output");
  }
  if (*target == '\0')
    return gt_os_fail (error, ENOENT, "the name");
  int own = gt_target_own_fd (target);
  if (own >= 0) {
    self->fd = gt_target_dup (own, error);
    return self->fd >= 0;
  }
  if (!resolve (self, target, until, error))
    return FALSE;
  return self->fd >= 0 || open_unfinished (self, error);
}

gboolean
gt_query_out_write (GtQueryOut *self, const char *text, gsize bytes)
{
  while (bytes > 0) {
    ssize_t written = write (self->fd, text, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return FALSE;
    text += written;
    bytes -= (gsize) written;
  }
  return TRUE;
}

gboolean
gt_query_out_copy (GtQueryOut *self, int fd, gsize bytes)
{
  g_autofree char *piece = g_malloc (1 << 20);
  for (gsize at = 0; at < bytes;) {
    ssize_t got = pread (fd, piece, MIN (bytes - at, 1 << 20), (off_t) at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got == 0)
      errno = EIO; /* shorter than it was said to be */
    if (got <= 0 || !gt_query_out_write (self, piece, (gsize) got))
      return FALSE;
    at += (gsize) got;
  }
  return TRUE;
}

/* linkat() does not replace: a temporary name in between. */
static gboolean
give_name (GtQueryOut *self)
{
  g_autofree char *folder = g_path_get_dirname (self->target);
  g_autofree char *base = g_path_get_basename (self->target);
  char source[64];
  g_snprintf (source, sizeof source, "/proc/self/fd/%d", self->fd);
  for (int try = 0; try < 100; try++) {
    g_autofree char *name
        = g_strdup_printf ("%s/.%s.%d-%08x", folder, base, getpid (), g_random_int ());
    if (linkat (AT_FDCWD, source, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
      self->unfinished = g_steal_pointer (&name);
      return TRUE;
    }
    if (errno != EEXIST)
      return FALSE;
  }
  return FALSE;
}

gboolean
gt_query_out_commit (GtQueryOut *self, GError **error)
{
  if (self->target == NULL)
    return TRUE;
  if (fchmod (self->fd, self->mode) != 0 || fsync (self->fd) != 0
      || (self->unfinished == NULL && !give_name (self))
      || rename (self->unfinished, self->target) != 0)
    return gt_os_fail (error, errno, "%s", self->shown);
  g_clear_pointer (&self->unfinished, g_free);
  return TRUE;
}

void
gt_query_out_clear (GtQueryOut *self)
{
  if (self->unfinished != NULL)
    (void) unlink (self->unfinished);
  if (self->fd >= 0)
    (void) close (self->fd);
  g_free (self->unfinished);
  g_free (self->target);
  g_free (self->shown);
  *self = (GtQueryOut) GT_QUERY_OUT_NONE;
}
