#include "os/machine_cgroup.h"

#include "os/machine.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* Version 1 says "no limit" by the largest multiple of the page size; nobody has this much. */
#define UNLIMITED_BYTES 0x7000000000000000ULL

static const struct {
  const char *name, *text;
} layouts[] = {
#define X(id, name, text) { name, text },
  GT_CGROUP_LAYOUTS (X)
#undef X
};

const char *
gt_cgroup_layout_name (GtCgroupLayout layout)
{
  return layouts[layout].name;
}

const char *
gt_cgroup_layout_text (GtCgroupLayout layout)
{
  return layouts[layout].text;
}

static void
hierarchy_free (gpointer data)
{
  GtHierarchy *hierarchy = data;
  g_free (hierarchy->controllers);
  g_free (hierarchy->mount);
  g_free (hierarchy->own);
  g_free (hierarchy);
}

static gboolean
has_word (const char *list, const char *separator, const char *word)
{
  g_auto (GStrv) words = g_strsplit (list, separator, -1);
  return g_strv_contains ((const char *const *) words, word);
}

/* Our path in the hierarchy with these controllers ("" = version 2): the line whose controllers are
 * all in its mount options. NULL when there is none or it is not visible. */
static char *
own_path (char **cgroups, const char *super, gboolean v2)
{
  for (char **line = cgroups; *line != NULL; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, ":", 3);
    if (g_strv_length (fields) != 3)
      continue;
    if (v2 ? fields[1][0] != '\0' || strcmp (fields[0], "0") != 0 : fields[1][0] == '\0')
      continue;
    gboolean same = TRUE;
    g_auto (GStrv) names = g_strsplit (fields[1], ",", -1);
    for (char **name = names; !v2 && *name != NULL; name++)
      same = same && has_word (super, ",", *name);
    if (!same)
      continue;
    if (fields[2][0] != '/' || g_str_has_suffix (fields[2], " (deleted)")
        || g_str_has_prefix (fields[2], "/.."))
      return NULL;
    return g_strdup (fields[2]);
  }
  return NULL;
}

/* A mount shows the part of its hierarchy that is below `root`. */
static char *
visible_folder (const char *root, const char *point, const char *path)
{
  if (path == NULL)
    return NULL;
  gsize length = strcmp (root, "/") == 0 ? 0 : strlen (root);
  if (strncmp (path, root, length) != 0 || (path[length] != '\0' && path[length] != '/'))
    return NULL;
  return g_build_filename (point, path + length + strspn (path + length, "/"), NULL);
}

static char *
controllers_of (const char *super)
{
  static const char *const no_controllers[]
      = { "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", NULL };
  g_autoptr (GString) all = g_string_new (NULL);
  g_auto (GStrv) words = g_strsplit (super, ",", -1);
  for (char **word = words; *word != NULL; word++)
    if (!g_strv_contains (no_controllers, *word) && !g_str_has_prefix (*word, "release_agent="))
      g_string_append_printf (all, "%s%s", all->len > 0 ? "," : "", *word);
  return g_string_free (g_steal_pointer (&all), FALSE);
}

/* "36 35 98:0 ROOT POINT OPTIONS [OPTIONAL]... - TYPE SOURCE SUPER" */
static GtHierarchy *
parse_mount (const char *line, char **cgroups)
{
  g_auto (GStrv) fields = g_strsplit (line, " ", -1);
  guint n = g_strv_length (fields), dash = 6;
  while (dash < n && strcmp (fields[dash], "-") != 0)
    dash++;
  if (dash + 3 >= n || !g_str_has_prefix (fields[dash + 1], "cgroup"))
    return NULL;
  GtHierarchy *hierarchy = g_new0 (GtHierarchy, 1);
  hierarchy->v2 = strcmp (fields[dash + 1], "cgroup2") == 0;
  hierarchy->controllers = hierarchy->v2 ? g_strdup ("") : controllers_of (fields[dash + 3]);
  hierarchy->mount = g_strcompress (fields[4]);
  hierarchy->read_only = has_word (fields[5], ",", "ro") || has_word (fields[dash + 3], ",", "ro");
  g_autofree char *root = g_strcompress (fields[3]);
  g_autofree char *path = own_path (cgroups, fields[dash + 3], hierarchy->v2);
  hierarchy->own = visible_folder (root, hierarchy->mount, path);
  return hierarchy;
}

GPtrArray *
gt_hierarchies_parse (const char *mountinfo, const char *self_cgroup)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (hierarchy_free);
  g_auto (GStrv) mounts = g_strsplit (mountinfo, "\n", -1);
  g_auto (GStrv) cgroups = g_strsplit (self_cgroup, "\n", -1);
  for (char **line = mounts; *line != NULL; line++) {
    GtHierarchy *hierarchy = parse_mount (*line, cgroups);
    if (hierarchy != NULL)
      g_ptr_array_add (all, hierarchy);
  }
  return all;
}

GPtrArray *
gt_hierarchies_read (void)
{
  g_autofree char *mounts = gt_machine_read ("/proc/self/mountinfo");
  g_autofree char *cgroups = gt_machine_read ("/proc/self/cgroup");
  return gt_hierarchies_parse (mounts != NULL ? mounts : "", cgroups != NULL ? cgroups : "");
}

GtCgroupLayout
gt_hierarchies_layout (const GPtrArray *hierarchies)
{
  gboolean v1 = FALSE, v2 = FALSE;
  for (guint i = 0; i < hierarchies->len; i++) {
    const GtHierarchy *hierarchy = hierarchies->pdata[i];
    /* systemd's own tree of version 1 controls nothing. */
    if (!hierarchy->v2 && g_str_has_prefix (hierarchy->controllers, "name="))
      continue;
    v1 = v1 || !hierarchy->v2;
    v2 = v2 || hierarchy->v2;
  }
  return v1 && v2 ? GT_CGROUPS_HYBRID : v1 ? GT_CGROUPS_V1 : v2 ? GT_CGROUPS_V2 : GT_CGROUPS_NONE;
}

const GtHierarchy *
gt_hierarchies_find (const GPtrArray *hierarchies, const char *controller)
{
  /* A later mount on the same place hides an earlier one. */
  for (guint i = hierarchies->len; i-- > 0;) {
    const GtHierarchy *hierarchy = hierarchies->pdata[i];
    if (controller == NULL ? hierarchy->v2
                           : !hierarchy->v2 && has_word (hierarchy->controllers, ",", controller))
      return hierarchy;
  }
  return NULL;
}

static const struct {
  const char *controller, *max2, *max1, *use2, *use1;
} limits[] = {
#define X(id, controller, unit, max2, max1, use2, use1) { controller, max2, max1, use2, use1 },
  GT_CGROUP_LIMITS (X)
#undef X
};

const char *
gt_cgroup_limit_controller (GtCgroupLimitId id)
{
  return limits[id].controller;
}

void
gt_cgroup_limit_clear (GtCgroupLimit *limit)
{
  g_clear_pointer (&limit->folder, g_free);
}

static char *
read_in (const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename (folder, file, NULL);
  return gt_machine_read (path);
}

/* < 0: no number there. */
static double
number_in (const char *folder, const char *file)
{
  g_autofree char *text = file != NULL ? read_in (folder, file) : NULL;
  guint64 number;
  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &number, NULL))
    return -1;
  return number >= UNLIMITED_BYTES ? -1 : (double) number;
}

/* "QUOTA PERIOD", "max PERIOD"; version 1 has a file for each, -1 for no quota. */
static double
cpus_in (const char *folder, gboolean v2)
{
  if (!v2) {
    double quota = number_in (folder, "cpu.cfs_quota_us");
    double period = number_in (folder, "cpu.cfs_period_us");
    return quota > 0 && period > 0 ? quota / period : -1;
  }
  g_autofree char *text = read_in (folder, "cpu.max");
  g_auto (GStrv) words = g_strsplit (text != NULL ? text : "", " ", 2);
  guint64 quota, period;
  if (g_strv_length (words) != 2
      || !g_ascii_string_to_unsigned (words[0], 10, 1, G_MAXINT64, &quota, NULL)
      || !g_ascii_string_to_unsigned (words[1], 10, 1, G_MAXINT64, &period, NULL))
    return -1;
  return (double) quota / (double) period;
}

/* The folders from `own` up to `mount`, one step; NULL above it. Consumes `folder`. */
static char *
step_up (char *folder, const char *mount)
{
  char *up = strcmp (folder, mount) != 0 && g_str_has_prefix (folder, mount)
                 ? g_path_get_dirname (folder)
                 : NULL;
  g_free (folder);
  return up;
}

static void
tighten (const GtHierarchy *hierarchy, GtCgroupLimitId id, GtCgroupLimit *limit)
{
  const char *file = hierarchy->v2 ? limits[id].max2 : limits[id].max1;
  const char *use = hierarchy->v2 ? limits[id].use2 : limits[id].use1;
  if (hierarchy->own == NULL || file == NULL)
    return;
  for (char *folder = g_strdup (hierarchy->own); folder != NULL;
       folder = step_up (folder, hierarchy->mount)) {
    double value
        = id == GT_CGROUP_LIMIT_CPU ? cpus_in (folder, hierarchy->v2) : number_in (folder, file);
    if (value < 0 || (limit->limited && limit->value <= value))
      continue;
    gt_cgroup_limit_clear (limit);
    *limit = (GtCgroupLimit){ TRUE, value, number_in (folder, use), g_strdup (folder) };
  }
}

gboolean
gt_hierarchies_limit (const GPtrArray *hierarchies, GtCgroupLimitId id, GtCgroupLimit *limit)
{
  const GtHierarchy *v2 = gt_hierarchies_find (hierarchies, NULL);
  const GtHierarchy *v1 = gt_hierarchies_find (hierarchies, limits[id].controller);
  *limit = (GtCgroupLimit){ .used = -1 };
  if (v2 != NULL)
    tighten (v2, id, limit);
  if (v1 != NULL)
    tighten (v1, id, limit);
  return limit->limited;
}

guint
gt_hierarchies_cpus (const GPtrArray *hierarchies, gboolean *by_quota)
{
  cpu_set_t set;
  g_auto (GtCgroupLimit) quota = { 0 };
  /* With more CPUs than a set has places the call fails. */
  double cpus = sched_getaffinity (0, sizeof set, &set) == 0
                    ? (double) CPU_COUNT (&set)
                    : (double) sysconf (_SC_NPROCESSORS_ONLN);
  gboolean less = gt_hierarchies_limit (hierarchies, GT_CGROUP_LIMIT_CPU, &quota)
                  && ceil (quota.value) < cpus;
  if (by_quota != NULL)
    *by_quota = less;
  return (guint) MAX (less ? ceil (quota.value) : cpus, 1);
}

gboolean
gt_hierarchies_show (const GPtrArray *hierarchies, const char *controller)
{
  const GtHierarchy *hierarchy = gt_hierarchies_find (hierarchies, controller);
  if (hierarchy == NULL)
    hierarchy = gt_hierarchies_find (hierarchies, NULL);
  return hierarchy != NULL && hierarchy->own != NULL && access (hierarchy->own, R_OK) == 0;
}

static gboolean
may_make_below (const char *folder)
{
  g_autofree char *procs = g_build_filename (folder, "cgroup.procs", NULL);
  return access (folder, W_OK) == 0 && access (procs, W_OK) == 0;
}

/* A version 2 cgroup gives its children a controller when that is enabled, or can be: it must have
 * it itself and, unless it is the topmost of all, no processes. */
static gboolean
gives (const char *folder, const char *controller)
{
  g_autofree char *enabled = read_in (folder, "cgroup.subtree_control");
  if (enabled != NULL && has_word (enabled, " ", controller))
    return TRUE;
  g_autofree char *available = read_in (folder, "cgroup.controllers");
  if (available == NULL || !has_word (available, " ", controller))
    return FALSE;
  g_autofree char *type = read_in (folder, "cgroup.type"); /* the topmost one has none */
  g_autofree char *members = read_in (folder, "cgroup.procs");
  return type == NULL || (members != NULL && *members == '\0');
}

static gboolean
is_limited (const char *folder)
{
  if (cpus_in (folder, TRUE) >= 0)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    if (i != GT_CGROUP_LIMIT_CPU && number_in (folder, limits[i].max2) >= 0)
      return TRUE;
  return FALSE;
}

char *
gt_hierarchies_enforcer (const GPtrArray *hierarchies, const char *controller, gboolean *v2)
{
  const GtHierarchy *unified = gt_hierarchies_find (hierarchies, NULL);
  char *folder = unified != NULL ? g_strdup (unified->own) : NULL;
  *v2 = TRUE;
  while (folder != NULL) {
    if (gives (folder, controller) && may_make_below (folder))
      return folder;
    /* A family may not be put beside what limits us. */
    if (is_limited (folder))
      g_clear_pointer (&folder, g_free);
    else
      folder = step_up (folder, unified->mount);
  }
  *v2 = FALSE;
  const GtHierarchy *old = gt_hierarchies_find (hierarchies, controller);
  return old != NULL && old->own != NULL && may_make_below (old->own) ? g_strdup (old->own) : NULL;
}
