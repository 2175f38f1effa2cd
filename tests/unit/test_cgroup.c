/* Where our own control groups are, from texts of every kind of machine; and names that are swept.
 */
#include "os/cgroup.h"
#include "os/sweep.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define V2    "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1MEM "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define V1CPU "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define V1PID "37 31 0:34 / /sys/fs/cgroup/pids rw shared:8 master:3 - cgroup cgroup rw,pids\n"
#define UNI   "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static const struct {
  const char *what, *mounts, *own;
  const char *v2, *memory1, *pids1; /* expected */
} cases[] = {
  { "a pure tree", V2, "0::/user.slice/user-1000.slice/session-2.scope\n",
    "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope", NULL, NULL },
  { "the root of a tree", V2, "0::/\n", "/sys/fs/cgroup", NULL, NULL },
  { "a hybrid", V1CPU V1MEM V1PID UNI,
    "4:memory:/a/b\n3:cpu,cpuacct:/\n8:pids:/\n2:name=systemd:/x\n0::/\n", "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/pids" },
  { "version 1 only", V1MEM, "4:memory:/a\n", NULL, "/sys/fs/cgroup/memory/a", NULL },
  { "a container that sees its own part",
    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
    "4:memory:/docker/abc/x\n", NULL, "/sys/fs/cgroup/memory/x", NULL },
  { "a container at its own root",
    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
    "4:memory:/docker/abc\n", NULL, "/sys/fs/cgroup/memory", NULL },
  { "another container's part with a name that begins alike",
    "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
    "4:memory:/docker/abc\n", NULL, NULL, NULL },
  { "a path outside of our namespace", V2, "0::/../other\n", NULL, NULL, NULL },
  { "a cgroup that was removed under us", V2, "0::/gone (deleted)\n", NULL, NULL, NULL },
  { "spaces, tabs, backslashes in the mount point",
    "30 23 0:26 / /mnt/my\\040cg\\011\\134x rw - cgroup2 cgroup2 rw\n", "0::/a b\n",
    "/mnt/my cg\t\\x/a b", NULL, NULL },
  { "colons in the path", V2, "0::/a:b:c\n", "/sys/fs/cgroup/a:b:c", NULL, NULL },
  { "a later mount that hides an earlier one", V2 "99 23 0:26 / /new rw - cgroup2 none rw\n",
    "0::/a\n", "/new/a", NULL, NULL },
  { "a controller whose name only contains the other's",
    "35 31 0:32 / /m rw - cgroup cgroup rw,memory2\n", "4:memory2:/a\n", NULL, NULL, NULL },
  { "a named hierarchy called memory", "35 31 0:32 / /m rw - cgroup cgroup rw,name=memory\n",
    "4:name=memory:/a\n", NULL, NULL, NULL },
  { "lines that are cut anywhere", "30 23\n\n30 23 0:26 / /x rw -\n30 23 0:26 / /y rw - cgroup2",
    "0::\n0\n:::\n\n0::relative\n", NULL, NULL, NULL },
  { "a path but no mount", "", "0::/a\n", NULL, NULL, NULL },
  { "a mount but no path", V2, "", NULL, NULL, NULL },
  { "an unfinished escape", "30 23 0:26 / /x\\04 rw - cgroup2 c rw\n", "0::/\n", "/x\\04", NULL,
    NULL },
};

static void
test_own_groups_are_found (gconstpointer data)
{
  gsize i = GPOINTER_TO_SIZE (data);
  GtCgroupBases bases;
  gt_cgroup_bases_parse (cases[i].mounts, cases[i].own, &bases);
  g_assert_cmpstr (bases.v2, ==, cases[i].v2);
  g_assert_cmpstr (bases.memory1, ==, cases[i].memory1);
  g_assert_cmpstr (bases.pids1, ==, cases[i].pids1);
  g_assert_true ((bases.v2 == NULL) == (bases.v2_mount == NULL));
  gt_cgroup_bases_clear (&bases);
}

/* Every prefix of a sound text: nothing is read beyond it, and no half name comes out as a whole
 * one. */
static void
test_no_prefix_of_a_text_confuses (void)
{
  const char *const mounts = V1CPU V1MEM V1PID UNI, *const own = "4:memory:/a\n0::/b\n";
  for (gsize n = 0; n <= strlen (mounts); n++) {
    g_autofree char *cut = g_strndup (mounts, n);
    GtCgroupBases bases;
    gt_cgroup_bases_parse (cut, own, &bases);
    if (bases.memory1 != NULL)
      g_assert_cmpstr (bases.memory1, ==, "/sys/fs/cgroup/memory/a");
    gt_cgroup_bases_clear (&bases);
  }
}

static void
test_only_what_a_dead_owner_left_is_stale (void)
{
  g_autofree char *mine = gt_sweep_name ("test");
  g_assert_false (gt_sweep_is_stale (mine));
  g_auto (GStrv) parts = g_strsplit (mine, "-", -1);
  g_assert_cmpuint (g_strv_length (parts), ==, 6);
  g_autofree char *reused = g_strdup_printf ("gilotine-test-%s-%s-1-0", parts[2], parts[3]);
  g_autofree char *foreign = g_strdup_printf ("gilotine-test-%s1-%s-1-0", parts[2], parts[3]);
  g_assert_true (gt_sweep_is_stale (reused));
  g_assert_false (gt_sweep_is_stale (foreign));
  for (const char *const *name
       = (const char *const[]){ "", "gilotine-", "gilotine-test", "gilotine-test-1-2-3",
                                "gilotine-test-a-1-1-1", "gilotine-test-1-1-1-1-1",
                                "gilotine-test-1--1-1", "other-test-1-1-1-1", NULL };
       *name != NULL; name++)
    g_assert_false (gt_sweep_is_stale (*name));
}

static void
test_a_folder_is_swept_of_stale_things_alone (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = g_dir_make_tmp ("gt-sweep-XXXXXX", &error);
  g_assert_no_error (error);
  g_autofree char *mine = gt_sweep_make_dir (dir, "test", &error);
  g_assert_no_error (error);
  g_auto (GStrv) parts = g_strsplit (strrchr (mine, '/') + 1, "-", -1);
  g_autofree char *stale = g_strdup_printf ("%s/gilotine-test-%s-%s-1-0", dir, parts[2], parts[3]);
  g_autofree char *inside = g_build_filename (stale, "file", NULL);
  g_autofree char *plain = g_build_filename (dir, "plain", NULL);
  g_assert_cmpint (mkdir (stale, 0700), ==, 0);
  g_assert_true (g_file_set_contents (inside, "x", 1, NULL));
  g_assert_true (g_file_set_contents (plain, "x", 1, NULL));
  g_assert_cmpuint (gt_sweep_folder (dir), ==, 1);
  g_assert_cmpint (access (stale, F_OK), !=, 0);
  g_assert_cmpint (access (mine, F_OK), ==, 0);
  g_assert_cmpint (access (plain, F_OK), ==, 0);
  gt_sweep_remove_tree (dir);
  g_assert_cmpint (access (dir, F_OK), !=, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/cgroup/own groups: %s", cases[i].what);
    g_test_add_data_func (path, GSIZE_TO_POINTER (i), test_own_groups_are_found);
  }
  g_test_add_func ("/cgroup/no prefix of a text confuses", test_no_prefix_of_a_text_confuses);
  g_test_add_func ("/sweep/only what a dead owner left is stale",
                   test_only_what_a_dead_owner_left_is_stale);
  g_test_add_func ("/sweep/a folder is swept of stale things alone",
                   test_a_folder_is_swept_of_stale_things_alone);
  return g_test_run ();
}
