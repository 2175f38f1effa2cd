#include "executor/duckdb_copy.h"

#include "executor/duckdb_fail.h"
#include "executor/sql_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40

void
gt_copy_init (GtCopy *self)
{
  *self = (GtCopy){ .fd = -1 };
}

void
gt_copy_clear (GtCopy *self)
{
  if (self->unfinished != NULL) {
    (void) unlink (self->unfinished);
    gt_temp_dir_forget (self->temp, self->unfinished);
  }
  if (self->fd >= 0)
    (void) close (self->fd);
  g_free (self->unfinished);
  g_free (self->target);
  gt_copy_init (self);
}

gboolean
gt_copy_is_memory (const GtCopy *self)
{
  return self->fd >= 0;
}

gboolean
gt_copy_is_active (const GtCopy *self)
{
  return self->fd >= 0 || self->unfinished != NULL;
}

gboolean
gt_copy_to_memory (GtCopy *self, GtOutput output, duckdb_statement_type type, const char *statement,
                   char **sql, GtFailure *failure)
{
  if (type != DUCKDB_STATEMENT_TYPE_SELECT)
    return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                           "output \"%s\" needs a query as the last statement",
                           gt_output_name (output));
  if (statement == NULL)
    return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                           "the last statement cannot be told from the others; put it alone");
  self->output = output;
  self->fd = memfd_create ("gilotine-result", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (self->fd < 0)
    return gt_failure_set (failure, GT_WIRE_CLASS_IO, "no memory file: %s", g_strerror (errno));
  *sql = g_strdup_printf ("COPY (%s\n) TO '/proc/self/fd/%d' (%s, USE_TMP_FILE false)", statement,
                          self->fd, gt_output_options (output));
  return TRUE;
}

/* A link is followed to where it leads, so that the file behind it is replaced, not the link. What
 * is there and is no regular file is written in place. */
static char *
resolve (const char *path)
{
  struct stat status;
  if (stat (path, &status) != 0)
    return errno == ENOENT && lstat (path, &status) != 0 ? g_canonicalize_filename (path, NULL)
                                                         : NULL;
  if (!S_ISREG (status.st_mode))
    return NULL;
  char *real = realpath (path, NULL);
  char *copy = g_strdup (real);
  free (real);
  return copy;
}

/* /proc/PID/fd/N */
static gboolean
is_descriptor (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  return g_str_has_prefix (folder, "/proc/") && g_str_has_suffix (folder, "/fd");
}

/* What a path names at last, its links followed one by one: behind a descriptor's no path says any
 * more that it was one. */
static char *
follow (const char *path)
{
  char *at = g_strdup (path);
  for (int links = 0; links < MAX_LINKS; links++) {
    g_autofree char *folder = g_path_get_dirname (at);
    g_autofree char *base = g_path_get_basename (at);
    char *real = realpath (folder, NULL);
    if (real != NULL) {
      g_free (at);
      at = g_build_filename (real, base, NULL);
      free (real);
    }
    g_autofree char *link = is_descriptor (at) ? NULL : g_file_read_link (at, NULL);
    if (link == NULL)
      break;
    g_free (at);
    at = g_path_is_absolute (link) ? g_strdup (link) : g_build_filename (folder, link, NULL);
  }
  return at;
}

/* A descriptor of this process is not the one of who wrote the SQL, although it has the same name:
 * what is written to it would be lost. */
static gboolean
check_descriptor (const char *statement, GtFailure *failure)
{
  g_autofree char *path = gt_sql_copy_path (statement);
  g_autofree char *at_last = path == NULL ? NULL : follow (path);
  return at_last == NULL || !is_descriptor (at_last)
         || gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                            "COPY TO '%s': the process that runs the query does not have your "
                            "descriptors; leave the COPY out and its rows are printed (gilotine "
                            "query: --format, -o FILE), or name a file",
                            path);
}

gboolean
gt_copy_to_target (GtCopy *self, GtTempDir *temp, guint64 job, const char *statement, char **sql,
                   GtFailure *failure)
{
  g_auto (GtCopyTarget) target = { 0 };
  g_autoptr (GError) error = NULL;
  if (statement != NULL && !check_descriptor (statement, failure))
    return FALSE;
  if (statement == NULL || !gt_sql_copy_target (statement, &target))
    return TRUE;
  g_autofree char *resolved = resolve (target.path);
  if (resolved == NULL)
    return TRUE;
  /* The extension stays: DuckDB chooses format and compression by it. */
  g_autofree char *folder = g_path_get_dirname (resolved);
  g_autofree char *base = g_path_get_basename (resolved);
  self->temp = temp;
  self->unfinished = g_strdup_printf ("%s/" GT_UNFINISHED_PREFIX "%d-%" G_GUINT64_FORMAT "-%s",
                                      folder, getpid (), job, base);
  self->target = g_steal_pointer (&resolved);
  if (!gt_temp_dir_note (temp, self->unfinished, &error))
    return gt_failure_set (failure, GT_WIRE_CLASS_IO, "%s", error->message);
  *sql = gt_sql_copy_elsewhere (statement, &target, self->unfinished);
  return TRUE;
}

static gboolean
sync_path (const char *path, int flags)
{
  int fd = open (path, flags | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  gboolean synced = fsync (fd) == 0;
  int saved = errno;
  (void) close (fd);
  errno = saved;
  return synced;
}

gboolean
gt_copy_complete (GtCopy *self, GtFailure *failure)
{
  struct stat old;
  if (stat (self->target, &old) == 0) /* who could read it before can afterwards */
    (void) chmod (self->unfinished, old.st_mode & 07777);
  if (!sync_path (self->unfinished, O_RDONLY) || rename (self->unfinished, self->target) != 0)
    return gt_failure_set (failure, GT_WIRE_CLASS_IO, "%s: %s", self->target, g_strerror (errno));
  g_autofree char *folder = g_path_get_dirname (self->target);
  (void) sync_path (folder, O_RDONLY | O_DIRECTORY);
  gt_temp_dir_forget (self->temp, self->unfinished);
  g_clear_pointer (&self->unfinished, g_free);
  return TRUE;
}

gboolean
gt_copy_send (GtCopy *self, GtSender *sender, gint64 statement, gint64 rows, GtFailure *failure)
{
  struct stat status;
  if (fstat (self->fd, &status) != 0
      || fcntl (self->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
             != 0)
    return gt_failure_set (failure, GT_WIRE_CLASS_IO, "the memory file: %s", g_strerror (errno));
  if (!gt_sender_count (sender, status.st_size, failure))
    return FALSE;
  GtMemfd head = { .format = (char *) gt_output_name (self->output),
                   .bytes = status.st_size,
                   .statement = statement,
                   .rows = rows };
  sender->rows += rows;
  return gt_sender_head (sender, GT_WIRE_MEMFD, gt_memfd_text (&head), self->fd)
         || gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "the engine takes no memory file");
}
