#include "executor/tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER      "owner"
#define SPILL      "spill"
#define UNFINISHED "unfinished"

static gboolean
fail_errno (GError **error, int value, const char *what, const char *path)
{
  g_set_error (error, G_FILE_ERROR, (gint) g_file_error_from_errno (value), "%s: %s: %s", path,
               what, g_strerror (value));
  return FALSE;
}

static int
remove_one (const char *path, const struct stat *status G_GNUC_UNUSED, int kind G_GNUC_UNUSED,
            struct FTW *at)
{
  return at->level == 0 || remove (path) == 0 || errno == ENOENT ? 0 : -1;
}

/* Everything below, not the folder. Links are removed, not followed; no other file system is
 * entered. */
static gboolean
empty_tree (const char *path, GError **error)
{
  if (nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
    return TRUE;
  return fail_errno (error, errno, "cannot be emptied", path);
}

/* The files first, the notes last: killed in between, the next one does it again. */
static void
remove_unfinished (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name = NULL;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *link = g_build_filename (folder, name, NULL);
    g_autofree char *file = g_file_read_link (link, NULL);
    g_autofree char *base = file == NULL ? NULL : g_path_get_basename (file);
    if (base != NULL && g_path_is_absolute (file) && g_str_has_prefix (base, GT_UNFINISHED_PREFIX))
      (void) unlink (file);
  }
}

gboolean
gt_temp_dir_empty (const char *path, GError **error)
{
  g_autofree char *spill = g_build_filename (path, SPILL, NULL);
  g_autofree char *unfinished = g_build_filename (path, UNFINISHED, NULL);
  remove_unfinished (unfinished);
  return empty_tree (unfinished, error) && empty_tree (spill, error);
}

static gboolean
is_ours (const char *name)
{
  return g_str_equal (name, OWNER) || g_str_equal (name, SPILL) || g_str_equal (name, UNFINISHED);
}

static gboolean
check_folder (const char *path, GError **error)
{
  struct stat status;
  if (lstat (path, &status) != 0)
    return fail_errno (error, errno, "cannot be looked at", path);
  if (!S_ISDIR (status.st_mode) || status.st_uid != geteuid () || (status.st_mode & 022) != 0) {
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM,
                 "%s: must be a folder of this user that nobody else may write to", path);
    return FALSE;
  }
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  const char *name = NULL;
  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    if (!is_ours (name)) {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                   "%s: has \"%s\" in it, so it is no executor's folder; give an empty one", path,
                   name);
      return FALSE;
    }
  return TRUE;
}

/* Whose it is, for people: the lock is what counts. */
static void
write_identity (int fd)
{
  g_autofree char *text
      = g_strdup_printf ("pid=%d program=%s version=%s\n", getpid (), g_get_prgname (), GT_VERSION);
  gsize length = strlen (text);
  if (ftruncate (fd, 0) != 0 || pwrite (fd, text, length, 0) != (gssize) length)
    g_warning ("the owner file cannot be written: %s", g_strerror (errno));
}

static gboolean
take (GtTempDir *self, GError **error)
{
  g_autofree char *owner = g_build_filename (self->path, OWNER, NULL);
  self->lock = open (owner, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (self->lock < 0)
    return fail_errno (error, errno, "cannot be opened", owner);
  if (flock (self->lock, LOCK_EX | LOCK_NB) != 0) {
    char text[256] = "";
    gssize got = pread (self->lock, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN,
                 "%s: belongs to another executor (%s); each needs a folder of its own", self->path,
                 g_strchomp (text));
    return FALSE;
  }
  write_identity (self->lock);
  return TRUE;
}

GtTempDir *
gt_temp_dir_open (const char *path, GError **error)
{
  g_autoptr (GtTempDir) self = g_new0 (GtTempDir, 1);
  self->lock = -1;
  if (g_mkdir (path, 0700) != 0 && errno != EEXIST) {
    fail_errno (error, errno, "cannot be made", path);
    return NULL;
  }
  char *real = realpath (path, NULL); /* absolute: the library must not depend on the cwd */
  self->path = g_strdup (real);
  free (real); /* NOLINT: realpath's */
  if (self->path == NULL) {
    fail_errno (error, errno, "cannot be found", path);
    return NULL;
  }
  self->spill = g_build_filename (self->path, SPILL, NULL);
  g_autofree char *unfinished = g_build_filename (self->path, UNFINISHED, NULL);
  if (!check_folder (self->path, error) || !take (self, error)
      || !gt_temp_dir_empty (self->path, error))
    return NULL;
  if ((g_mkdir (self->spill, 0700) != 0 && errno != EEXIST)
      || (g_mkdir (unfinished, 0700) != 0 && errno != EEXIST)) {
    fail_errno (error, errno, "cannot be made", self->spill);
    return NULL;
  }
  return g_steal_pointer (&self);
}

void
gt_temp_dir_free (GtTempDir *self)
{
  if (self == NULL)
    return;
  if (self->lock >= 0) {
    (void) gt_temp_dir_empty (self->path, NULL);
    (void) close (self->lock);
  }
  g_free (self->path);
  g_free (self->spill);
  g_free (self);
}

static char *
note_path (GtTempDir *self, const char *file)
{
  g_autofree char *name = g_compute_checksum_for_string (G_CHECKSUM_SHA1, file, -1);
  return g_build_filename (self->path, UNFINISHED, name, NULL);
}

gboolean
gt_temp_dir_note (GtTempDir *self, const char *file, GError **error)
{
  g_autofree char *note = note_path (self, file);
  if (symlink (file, note) == 0 || errno == EEXIST)
    return TRUE;
  return fail_errno (error, errno, "cannot be made", note);
}

void
gt_temp_dir_forget (GtTempDir *self, const char *file)
{
  g_autofree char *note = note_path (self, file);
  (void) unlink (note);
}
