/* The surroundings of a limit: environment, cgroups of either version, the machine. */
#include "deadline/limits.h"

#include <string.h>
#include <unistd.h>

/* "max", cgroup 1's huge numbers for "no limit" and files that are not there: 0. */
static gint64
read_number (const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename (folder, file, NULL);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  char *end;
  guint64 number = g_ascii_strtoull (text, &end, 10);
  return end != text && number < G_MAXINT64 / 2 ? (gint64) number : 0;
}

/* The smallest limit from our cgroup up to the top: an ancestor's binds as well. */
static gint64
smallest_upwards (const char *mount, const char *path, const char *file)
{
  gint64 smallest = 0;
  g_autofree char *below = g_strdup (path);
  for (;;) {
    g_autofree char *folder = g_build_filename (mount, below, NULL);
    gint64 number = read_number (folder, file);
    if (number > 0 && (smallest == 0 || number < smallest))
      smallest = number;
    char *slash = strrchr (below, '/');
    if (slash == NULL)
      return smallest;
    *slash = '\0';
  }
}

static void
keep_smaller (gint64 *value, gint64 other)
{
  if (other > 0 && (*value == 0 || other < *value))
    *value = other;
}

static gboolean
lists (const char *controllers, const char *name)
{
  g_auto (GStrv) parts = g_strsplit (controllers, ",", -1);
  return g_strv_contains ((const char *const *) parts, name);
}

/* A line of /proc/self/cgroup: "0::PATH" is version 2, "N:CONTROLLERS:PATH" version 1. In a
 * container the path may be the host's while the mount shows our own cgroup at its top, which
 * smallest_upwards() reads last in any case. */
static void
read_cgroup_line (const char *line, GtLimitsWorld *world)
{
  g_auto (GStrv) parts = g_strsplit (line, ":", 3);
  if (g_strv_length (parts) != 3)
    return;
  if (parts[1][0] == '\0') {
    const char *mount = "/sys/fs/cgroup";
    keep_smaller (&world->cgroup_memory_bytes, smallest_upwards (mount, parts[2], "memory.max"));
    keep_smaller (&world->cgroup_processes, smallest_upwards (mount, parts[2], "pids.max"));
  } else if (lists (parts[1], "memory"))
    keep_smaller (&world->cgroup_memory_bytes,
                  smallest_upwards ("/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"));
  else if (lists (parts[1], "pids"))
    keep_smaller (&world->cgroup_processes,
                  smallest_upwards ("/sys/fs/cgroup/pids", parts[2], "pids.max"));
}

gboolean
gt_limits_world_read (GtLimitsWorld *world, GError **error)
{
  *world = (GtLimitsWorld){ .now = gt_instant_now (), .inherited = GT_NEVER };
  g_autofree char *text = NULL;
  if (g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL)) {
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
      read_cgroup_line (*line, world);
  }
  world->machine_memory_bytes = (gint64) sysconf (_SC_PHYS_PAGES) * sysconf (_SC_PAGESIZE);
  return gt_limits_inherited (g_getenv (GT_DEADLINE_ENV), &world->inherited, error);
}
