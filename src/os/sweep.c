#include "os/sweep.h"

#include "os/error.h"
#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "gilotine-"
#define OLD_S  10

static guint64
pid_namespace (void)
{
  struct stat st;
  return stat ("/proc/self/ns/pid", &st) == 0 ? (guint64) st.st_ino : 0;
}

/* Clock ticks since boot; 0 when no such process lives. A zombie has ended. */
static guint64
start_ticks (const char *pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%s/stat", pid);
  g_autofree char *text = NULL;
  gsize length;
  GtProcStat stat;
  if (!g_file_get_contents (path, &text, &length, NULL) || !gt_proc_parse_stat (text, length, &stat)
      || stat.state == 'Z' || stat.state == 'X')
    return 0;
  return stat.start_ticks;
}

char *
gt_sweep_name (const char *kind)
{
  static gint count;
  /* Our own pid as /proc has it: the same unless /proc belongs to another namespace, and then it is
   * the one that others can look up. */
  g_autofree char *self = g_file_read_link ("/proc/self", NULL);
  if (self == NULL)
    self = g_strdup_printf ("%d", (int) getpid ());
  return g_strdup_printf (PREFIX "%s-%" G_GUINT64_FORMAT "-%s-%" G_GUINT64_FORMAT "-%d", kind,
                          pid_namespace (), self, start_ticks (self), g_atomic_int_add (&count, 1));
}

static gboolean
is_number (const char *text)
{
  return *text != '\0' && strspn (text, "0123456789") == strlen (text) && strlen (text) < 20;
}

/* Kind, PID namespace, PID, start, number; NULL when the name is not of this form. */
static char **
split_name (const char *name)
{
  if (!g_str_has_prefix (name, PREFIX))
    return NULL;
  g_auto (GStrv) parts = g_strsplit (name + strlen (PREFIX), "-", 6);
  if (g_strv_length (parts) != 5)
    return NULL;
  for (int i = 1; i < 5; i++)
    if (!is_number (parts[i]))
      return NULL;
  return g_steal_pointer (&parts);
}

gboolean
gt_sweep_is_stale (const char *name)
{
  g_auto (GStrv) parts = split_name (name);
  if (parts == NULL)
    return FALSE;
  guint64 start = g_ascii_strtoull (parts[3], NULL, 10);
  return start != 0 && g_ascii_strtoull (parts[1], NULL, 10) == pid_namespace ()
         && start_ticks (parts[2]) != start;
}

/* Of another PID namespace, so that we cannot know whether its owner lives. */
static gboolean
is_foreign (const char *name)
{
  g_auto (GStrv) parts = split_name (name);
  return parts != NULL && g_ascii_strtoull (parts[1], NULL, 10) != pid_namespace ();
}

/* Older than anybody takes from making a cgroup to starting a process in it. */
static gboolean
is_old (const char *path)
{
  struct stat st;
  return stat (path, &st) == 0 && g_get_real_time () / G_USEC_PER_SEC - st.st_mtime > OLD_S;
}

char *
gt_sweep_make_dir (const char *dir, const char *kind, GError **error)
{
  g_autofree char *name = gt_sweep_name (kind);
  const char *parent = dir != NULL ? dir : g_get_tmp_dir ();
  g_autofree char *path = g_build_filename (parent, name, NULL);
  if (mkdir (path, 0700) == 0)
    return g_steal_pointer (&path);
  gt_os_fail (error, errno, "a folder in %s (set TMPDIR to where one can be made)", parent);
  return NULL;
}

static int
remove_entry (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void) st, (void) type, (void) ftw;
  (void) remove (path);
  return 0;
}

void
gt_sweep_remove_tree (const char *path)
{
  (void) nftw (path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

guint
gt_sweep_folder (const char *dir)
{
  const char *where = dir != NULL ? dir : g_get_tmp_dir ();
  g_autoptr (GDir) entries = g_dir_open (where, 0, NULL);
  guint removed = 0;
  for (const char *name; entries != NULL && (name = g_dir_read_name (entries)) != NULL;) {
    g_autofree char *path = g_build_filename (where, name, NULL);
    struct stat st;
    if (!gt_sweep_is_stale (name) || lstat (path, &st) != 0 || st.st_uid != geteuid ())
      continue;
    gt_sweep_remove_tree (path);
    removed++;
  }
  return removed;
}

static void
kill_cgroup (const char *path)
{
  g_autofree char *kill_path = g_build_filename (path, "cgroup.kill", NULL);
  int fd = open (kill_path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return; /* version 1: the keeper ends its family when the owner dies; empty folders remain */
  (void) !write (fd, "1", 1);
  close (fd);
}

static int
remove_folder (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void) st, (void) ftw;
  if (type == FTW_DP)
    (void) rmdir (path);
  return 0;
}

gboolean
gt_sweep_remove_cgroup (const char *path)
{
  if (rmdir (path) == 0 || errno == ENOENT)
    return TRUE;
  if (errno == EBUSY)
    (void) nftw (path, remove_folder, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
  return access (path, F_OK) != 0;
}

guint
gt_sweep_cgroups (const char *dir)
{
  g_autoptr (GDir) entries = g_dir_open (dir, 0, NULL);
  guint removed = 0;
  for (const char *name; entries != NULL && (name = g_dir_read_name (entries)) != NULL;) {
    g_autofree char *path = g_build_filename (dir, name, NULL);
    if (!gt_sweep_is_stale (name)) {
      removed += is_foreign (name) && is_old (path) && rmdir (path) == 0;
      continue;
    }
    kill_cgroup (path);
    /* Death takes a moment; what is not gone now is removed by the next instance. */
    gboolean gone = FALSE;
    for (int try = 0; try < 20 && !(gone = gt_sweep_remove_cgroup (path)); try++)
      g_usleep (500);
    removed += gone;
  }
  return removed;
}
