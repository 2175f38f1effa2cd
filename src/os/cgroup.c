#include "os/cgroup.h"

#include "os/error.h"
#include "os/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
write_in (const char *dir, const char *file, const char *text)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  gsize length = strlen (text);
  gboolean ok = write (fd, text, length) == (ssize_t) length;
  close (fd);
  return ok;
}

static gboolean
write_number (const char *dir, const char *file, guint64 number)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, number);
  return write_in (dir, file, text);
}

/* "" when it cannot be read. */
static char *
read_in (const char *dir, const char *file)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return g_strdup ("");
  return g_strchomp (text);
}

static gboolean
lists (const char *dir, const char *file, const char *word)
{
  g_autofree char *text = read_in (dir, file);
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  return g_strv_contains ((const char *const *) words, word);
}

/* Children of `dir` have the controller, or can be given it. */
static gboolean
gives (const char *dir, const char *controller)
{
  if (lists (dir, "cgroup.subtree_control", controller))
    return TRUE;
  if (!lists (dir, "cgroup.controllers", controller))
    return FALSE;
  g_autofree char *request = g_strconcat ("+", controller, NULL);
  /* EBUSY in a cgroup with processes, ours among them: then an ancestor may do. */
  return write_in (dir, "cgroup.subtree_control", request);
}

/* A family beside us must not escape what limits us. */
static gboolean
is_unlimited (const char *dir)
{
  static const char *const files[] = { "memory.max", "memory.high", "pids.max", "cpu.max" };
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *text = read_in (dir, files[i]);
    if (*text != '\0' && !g_str_has_prefix (text, "max"))
      return FALSE;
  }
  return TRUE;
}

static gboolean
is_ours_to_use (const char *dir)
{
  g_autofree char *procs = g_build_filename (dir, "cgroup.procs", NULL);
  return access (dir, W_OK) == 0 && access (procs, W_OK) == 0;
}

static void
sweep_once (const char *dir)
{
  static GMutex mutex;
  static GHashTable *swept;
  g_mutex_lock (&mutex);
  if (swept == NULL)
    swept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gboolean first = g_hash_table_add (swept, g_strdup (dir));
  g_mutex_unlock (&mutex);
  if (first)
    gt_sweep_cgroups (dir);
}

static char *
make_below (const char *dir)
{
  if (!is_ours_to_use (dir))
    return NULL;
  sweep_once (dir);
  g_autofree char *name = gt_sweep_name ("family");
  g_autofree char *path = g_build_filename (dir, name, NULL);
  return mkdir (path, 0755) == 0 ? g_steal_pointer (&path) : NULL;
}

/* The nearest cgroup, our own or one above it, whose children get every controller that is wanted.
 */
static char *
find_v2_parent (const GtCgroupBases *bases, const GtCgroupWant *want)
{
  g_autofree char *dir = g_strdup (bases->v2);
  while (dir != NULL) {
    gboolean memory = want->memory_bytes == 0 || gives (dir, "memory");
    gboolean processes = want->processes == 0 || gives (dir, "pids");
    if (memory && processes && is_ours_to_use (dir))
      return g_steal_pointer (&dir);
    if (strcmp (dir, bases->v2_mount) == 0 || !is_unlimited (dir))
      return NULL;
    char *up = g_path_get_dirname (dir);
    g_free (dir);
    dir = up;
  }
  return NULL;
}

static gboolean
limit_v2 (GtCgroup *cgroup, const GtCgroupWant *want)
{
  if (want->memory_bytes != 0) {
    /* The whole family at once, and no swap that would only delay it. */
    (void) write_in (cgroup->v2, "memory.oom.group", "1");
    (void) write_in (cgroup->v2, "memory.swap.max", "0");
    cgroup->memory_by_v2 = write_number (cgroup->v2, "memory.max", want->memory_bytes);
  }
  if (want->processes != 0)
    cgroup->processes_by_v2 = write_number (cgroup->v2, "pids.max", want->processes);
  return (want->memory_bytes == 0 || cgroup->memory_by_v2)
         && (want->processes == 0 || cgroup->processes_by_v2);
}

static gboolean
can_be_killed (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, "cgroup.kill", NULL);
  return access (path, W_OK) == 0;
}

/* Version 2 with the limits, else (need_v2) without them. */
static void
make_v2 (const GtCgroupBases *bases, const GtCgroupWant *want, GtCgroup *cgroup)
{
  if (bases->v2 == NULL)
    return;
  gboolean limited = want->memory_bytes != 0 || want->processes != 0;
  g_autofree char *parent = limited ? find_v2_parent (bases, want) : NULL;
  if (parent != NULL && (cgroup->v2 = make_below (parent)) != NULL) {
    if (limit_v2 (cgroup, want))
      return;
    rmdir (cgroup->v2);
    g_clear_pointer (&cgroup->v2, g_free);
    cgroup->memory_by_v2 = cgroup->processes_by_v2 = FALSE;
  }
  if (want->need_v2)
    cgroup->v2 = make_below (bases->v2);
  /* Linux 5.14: without it the domain promises nothing. */
  if (cgroup->v2 != NULL && !can_be_killed (cgroup->v2)) {
    rmdir (cgroup->v2);
    g_clear_pointer (&cgroup->v2, g_free);
  }
}

static void
make_v1 (const GtCgroupBases *bases, const GtCgroupWant *want, GtCgroup *cgroup)
{
  if (want->memory_bytes != 0 && !cgroup->memory_by_v2 && bases->memory1 != NULL
      && (cgroup->memory1 = make_below (bases->memory1)) != NULL) {
    gboolean limited = write_number (cgroup->memory1, "memory.limit_in_bytes", want->memory_bytes);
    /* Memory and swap together; absent where swap is not accounted. */
    (void) write_number (cgroup->memory1, "memory.memsw.limit_in_bytes", want->memory_bytes);
    if (!limited) {
      rmdir (cgroup->memory1);
      g_clear_pointer (&cgroup->memory1, g_free);
    }
  }
  if (want->processes != 0 && !cgroup->processes_by_v2 && bases->pids1 != NULL
      && (cgroup->pids1 = make_below (bases->pids1)) != NULL
      && !write_number (cgroup->pids1, "pids.max", want->processes)) {
    rmdir (cgroup->pids1);
    g_clear_pointer (&cgroup->pids1, g_free);
  }
}

gboolean
gt_cgroup_make (const GtCgroupWant *want, GtCgroup *cgroup, GError **error)
{
  *cgroup = (GtCgroup){ 0 };
  g_autofree char *mounts = read_in ("/proc/self", "mountinfo");
  g_autofree char *own = read_in ("/proc/self", "cgroup");
  GtCgroupBases bases;
  gt_cgroup_bases_parse (mounts, own, &bases);
  make_v2 (&bases, want, cgroup);
  make_v1 (&bases, want, cgroup);
  gboolean ok = !want->need_v2 || cgroup->v2 != NULL;
  if (!ok) {
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE,
                 "no cgroup v2 folder can be made: %s%s",
                 bases.v2 != NULL ? bases.v2 : "none is mounted or ours is not visible",
                 bases.v2 != NULL ? " is not writable for us (systemd-run --user --scope -p "
                                    "Delegate=yes gives one that is)"
                                  : "");
    gt_cgroup_remove (cgroup);
    gt_cgroup_clear (cgroup);
  }
  gt_cgroup_bases_clear (&bases);
  return ok;
}

gboolean
gt_cgroup_kill (const GtCgroup *cgroup)
{
  return cgroup->v2 != NULL && write_in (cgroup->v2, "cgroup.kill", "1");
}

gboolean
gt_cgroup_remove (const GtCgroup *cgroup)
{
  const char *const dirs[] = { cgroup->v2, cgroup->memory1, cgroup->pids1 };
  gboolean gone = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++)
    if (dirs[i] != NULL && !gt_sweep_remove_cgroup (dirs[i]))
      gone = FALSE;
  return gone;
}

void
gt_cgroup_clear (GtCgroup *cgroup)
{
  g_clear_pointer (&cgroup->v2, g_free);
  g_clear_pointer (&cgroup->memory1, g_free);
  g_clear_pointer (&cgroup->pids1, g_free);
}
