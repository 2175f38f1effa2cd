/* Where our own control groups are: the pure half of os/cgroup.h. */
#include "os/cgroup.h"

#include <string.h>

typedef struct {
  char *root;  /* the part of the hierarchy that is mounted */
  char *point; /* where */
} Mount;

/* \040, \011, \012, \134 in mountinfo. */
static char *
unescape (const char *text)
{
  char *out = g_malloc (strlen (text) + 1), *o = out;
  for (const char *c = text; *c != '\0';)
    if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' && c[3] >= '0'
        && c[3] <= '7') {
      *o++ = (char) ((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0'));
      c += 4;
    } else
      *o++ = *c++;
  *o = '\0';
  return out;
}

static gboolean
has_word (const char *list, const char *word)
{
  g_auto (GStrv) words = g_strsplit (list, ",", -1);
  return g_strv_contains ((const char *const *) words, word);
}

static void
mount_clear (Mount *mount)
{
  g_clear_pointer (&mount->root, g_free);
  g_clear_pointer (&mount->point, g_free);
}

/* "36 35 98:0 ROOT POINT OPTIONS [OPTIONAL]... - TYPE SOURCE SUPER". A later mount on the same
 * place hides an earlier one, so the last match counts. `controller` NULL = version 2. */
static void
find_mount (char **lines, const char *controller, Mount *found)
{
  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, " ", -1);
    guint n = g_strv_length (fields), dash = 6;
    while (dash < n && strcmp (fields[dash], "-") != 0)
      dash++;
    if (dash + 1 >= n)
      continue;
    const char *type = fields[dash + 1], *super = dash + 3 < n ? fields[dash + 3] : "";
    if (controller == NULL ? strcmp (type, "cgroup2") != 0
                           : strcmp (type, "cgroup") != 0 || !has_word (super, controller))
      continue;
    mount_clear (found);
    found->root = unescape (fields[3]);
    found->point = unescape (fields[4]);
  }
}

/* "ID:CONTROLLERS:PATH"; PATH may hold colons. NULL when there is no such line or it is gone. */
static char *
own_path (char **lines, const char *controller)
{
  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) fields = g_strsplit (*line, ":", 3);
    if (g_strv_length (fields) != 3 || fields[2][0] != '/')
      continue;
    if (controller == NULL ? strcmp (fields[0], "0") != 0 || fields[1][0] != '\0'
                           : !has_word (fields[1], controller))
      continue;
    /* Removed under us, or outside of our cgroup namespace: no folder shows it. */
    if (g_str_has_suffix (fields[2], " (deleted)") || g_str_has_prefix (fields[2], "/.."))
      return NULL;
    return g_strdup (fields[2]);
  }
  return NULL;
}

static char *
visible_folder (const Mount *mount, const char *path)
{
  if (mount->point == NULL || path == NULL)
    return NULL;
  const char *rest = path;
  if (strcmp (mount->root, "/") != 0) {
    gsize length = strlen (mount->root);
    if (strncmp (path, mount->root, length) != 0 || (path[length] != '\0' && path[length] != '/'))
      return NULL;
    rest = path + length;
  }
  gboolean at_root = rest[0] == '\0' || strcmp (rest, "/") == 0;
  return at_root ? g_strdup (mount->point) : g_build_filename (mount->point, rest, NULL);
}

static char *
base_of (char **mounts, char **cgroups, const char *controller, char **mount_point)
{
  Mount mount = { 0 };
  find_mount (mounts, controller, &mount);
  g_autofree char *path = own_path (cgroups, controller);
  char *folder = visible_folder (&mount, path);
  if (folder != NULL && mount_point != NULL)
    *mount_point = g_strdup (mount.point);
  mount_clear (&mount);
  return folder;
}

void
gt_cgroup_bases_parse (const char *mountinfo, const char *self_cgroup, GtCgroupBases *bases)
{
  g_auto (GStrv) mounts = g_strsplit (mountinfo, "\n", -1);
  g_auto (GStrv) cgroups = g_strsplit (self_cgroup, "\n", -1);
  *bases = (GtCgroupBases){ 0 };
  bases->v2 = base_of (mounts, cgroups, NULL, &bases->v2_mount);
  bases->memory1 = base_of (mounts, cgroups, "memory", NULL);
  bases->pids1 = base_of (mounts, cgroups, "pids", NULL);
}

void
gt_cgroup_bases_clear (GtCgroupBases *bases)
{
  g_clear_pointer (&bases->v2_mount, g_free);
  g_clear_pointer (&bases->v2, g_free);
  g_clear_pointer (&bases->memory1, g_free);
  g_clear_pointer (&bases->pids1, g_free);
}
