#include "cli/query_out.h"

#include "cli/target.h"
#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static mode_t
mode_for_new (void)
{
  mode_t mask = umask (0);
  (void) umask (mask);
  return 0666 & ~mask;
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
  self->target = gt_target_real_path (target);
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
