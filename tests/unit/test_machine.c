#include "os/machine.h"
#include "os/machine_cgroup.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HYBRID                                                                                     \
  "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                            \
  "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"           \
  "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"            \
  "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"        \
  "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"

static void
layouts_are_told_apart (void)
{
  static const struct {
    const char *mountinfo;
    GtCgroupLayout layout;
  } rows[] = {
    { "", GT_CGROUPS_NONE },
    { "22 27 0:21 / /proc rw - proc proc rw\nnonsense\n1 2 3 - \n", GT_CGROUPS_NONE },
    { HYBRID, GT_CGROUPS_HYBRID },
    { "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", GT_CGROUPS_V2 },
    { "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", GT_CGROUPS_V1 },
    /* systemd's own tree controls nothing. */
    { "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
      "40 31 0:37 / /x rw - cgroup cgroup rw,name=systemd\n",
      GT_CGROUPS_V2 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GPtrArray) all = gt_hierarchies_parse (rows[i].mountinfo, "");
    g_assert_cmpstr (gt_cgroup_layout_name (gt_hierarchies_layout (all)), ==,
                     gt_cgroup_layout_name (rows[i].layout));
  }
}

static void
our_own_folders_are_found (void)
{
  g_autoptr (GPtrArray) all = gt_hierarchies_parse (
      HYBRID, "5:memory:/a:b/c\n4:cpu,cpuacct:/\n2:name=systemd:/init\n0::/user/x\n");
  g_assert_cmpstr (gt_hierarchies_find (all, NULL)->own, ==, "/sys/fs/cgroup/unified/user/x");
  g_assert_cmpstr (gt_hierarchies_find (all, "memory")->own, ==, "/sys/fs/cgroup/memory/a:b/c");
  g_assert_cmpstr (gt_hierarchies_find (all, "cpu")->own, ==, "/sys/fs/cgroup/cpu,cpuacct");
  g_assert_cmpstr (gt_hierarchies_find (all, "cpuacct")->controllers, ==, "cpu,cpuacct");
  g_assert_null (gt_hierarchies_find (all, "pids"));
}

static void
a_part_of_the_tree_may_be_mounted (void)
{
  /* As in a container of version 1: the mount shows our own part only. */
  const char *mountinfo
      = "35 31 0:32 /docker/1f /sys/fs/cgroup/my\\040memory ro,nosuid - cgroup cgroup rw,memory\n"
        "36 31 0:33 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "37 31 0:34 / /u ro - cgroup2 cgroup2 rw\n";
  g_autoptr (GPtrArray) all
      = gt_hierarchies_parse (mountinfo, "5:memory:/docker/1f\n4:pids:/docker/1f\n0::/../x\n");
  const GtHierarchy *memory = gt_hierarchies_find (all, "memory");
  g_assert_cmpstr (memory->own, ==, "/sys/fs/cgroup/my memory");
  g_assert_true (memory->read_only);
  g_assert_null (gt_hierarchies_find (all, "pids")->own);
  g_assert_false (gt_hierarchies_find (all, "pids")->read_only);
  g_assert_null (gt_hierarchies_find (all, NULL)->own);
  g_assert_false (gt_hierarchies_show (all, "memory"));
  g_assert_false (gt_hierarchies_show (all, "cpu"));
}

/* A tree of cgroup files below a temporary folder, which is removed with it. */
typedef struct {
  char *top;
  GPtrArray *files, *folders;
} Tree;

static void
tree_put (Tree *tree, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (tree->top, name, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_assert_cmpint (g_mkdir (folder, 0755), ==, 0);
    g_ptr_array_add (tree->folders, g_strdup (folder));
  }
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_ptr_array_add (tree->files, g_steal_pointer (&path));
}

static Tree
tree_new (void)
{
  Tree tree = { .top = g_dir_make_tmp ("gt-XXXXXX", NULL) };
  tree.files = g_ptr_array_new_with_free_func (g_free);
  tree.folders = g_ptr_array_new_with_free_func (g_free);
  return tree;
}

static void
tree_remove (Tree *tree)
{
  for (guint i = 0; i < tree->files->len; i++)
    g_unlink (tree->files->pdata[i]);
  for (guint i = tree->folders->len; i-- > 0;)
    g_rmdir (tree->folders->pdata[i]);
  g_assert_cmpint (g_rmdir (tree->top), ==, 0);
  g_ptr_array_unref (tree->files);
  g_ptr_array_unref (tree->folders);
  g_free (tree->top);
}

static GPtrArray *
tree_hierarchies (const Tree *tree, const char *fs, const char *super, const char *self)
{
  g_autofree char *mountinfo
      = g_strdup_printf ("30 23 0:26 / %s rw - %s x %s\n", tree->top, fs, super);
  return gt_hierarchies_parse (mountinfo, self);
}

static void
the_tightest_limit_of_the_chain_counts (void)
{
  Tree tree = tree_new ();
  tree_put (&tree, "cgroup.controllers", "cpu memory pids\n");
  tree_put (&tree, "a/memory.max", "1000\n");
  tree_put (&tree, "a/memory.current", "77\n");
  tree_put (&tree, "a/cpu.max", "150000 100000\n");
  tree_put (&tree, "a/pids.max", "max\n");
  tree_put (&tree, "a/b/memory.max", "5000\n");
  tree_put (&tree, "a/b/memory.high", "max\n");
  tree_put (&tree, "a/b/cpu.max", "max 100000\n");
  tree_put (&tree, "a/b/pids.max", "12\n");
  tree_put (&tree, "a/b/pids.current", "3\n");
  g_autoptr (GPtrArray) all = tree_hierarchies (&tree, "cgroup2", "rw", "0::/a/b\n");
  g_autofree char *a = g_build_filename (tree.top, "a", NULL);
  g_autofree char *b = g_build_filename (tree.top, "a/b", NULL);
  g_auto (GtCgroupLimit) memory = { 0 }, high = { 0 }, cpu = { 0 }, pids = { 0 };
  g_assert_true (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_MEMORY, &memory));
  g_assert_cmpfloat (memory.value, ==, 1000);
  g_assert_cmpfloat (memory.used, ==, 77);
  g_assert_cmpstr (memory.folder, ==, a);
  g_assert_false (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_MEMORY_HIGH, &high));
  g_assert_true (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_CPU, &cpu));
  g_assert_cmpfloat (cpu.value, ==, 1.5);
  g_assert_true (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_PIDS, &pids));
  g_assert_cmpfloat (pids.value, ==, 12);
  g_assert_cmpstr (pids.folder, ==, b);
  tree_remove (&tree);
}

/* In a thread of its own, whose affinity goes with it. */
static gpointer
cpus_count (gpointer data G_GNUC_UNUSED)
{
  static const struct {
    const char *quota;
    guint cpus;
  } rows[] = {
    { "10000 100000\n", 1 },  { "100000 100000\n", 1 }, { "150000 100000\n", 2 },
    { "200000 100000\n", 2 }, { "max 100000\n", 0 },    { "900000000 1\n", 0 },
  };
  cpu_set_t own, one;
  CPU_ZERO (&one);
  g_assert_cmpint (sched_getaffinity (0, sizeof own, &own), ==, 0);
  for (int cpu = 0; CPU_COUNT (&one) == 0; cpu++)
    if (CPU_ISSET (cpu, &own))
      CPU_SET (cpu, &one);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    Tree tree = tree_new ();
    tree_put (&tree, "cgroup.controllers", "cpu\n");
    tree_put (&tree, "a/cpu.max", rows[i].quota);
    g_autoptr (GPtrArray) all = tree_hierarchies (&tree, "cgroup2", "rw", "0::/a\n");
    guint most = (guint) CPU_COUNT (&own);
    gboolean by_quota = TRUE;
    g_assert_cmpint (sched_setaffinity (0, sizeof own, &own), ==, 0);
    g_assert_cmpuint (gt_hierarchies_cpus (all, &by_quota), ==,
                      rows[i].cpus == 0 ? most : MIN (rows[i].cpus, most));
    g_assert_cmpint (by_quota, ==, rows[i].cpus != 0 && rows[i].cpus < most);
    g_assert_cmpint (sched_setaffinity (0, sizeof one, &one), ==, 0);
    g_assert_cmpuint (gt_hierarchies_cpus (all, NULL), ==, 1);
    tree_remove (&tree);
  }
  return NULL;
}

static void
cpus_are_those_of_affinity_and_quota (void)
{
  (void) g_thread_join (g_thread_new ("cpus", cpus_count, NULL));
}

static void
limits_of_version_1_are_read_too (void)
{
  Tree tree = tree_new ();
  tree_put (&tree, "a/memory.limit_in_bytes", "9223372036854771712\n");
  tree_put (&tree, "a/cpu.cfs_quota_us", "50000\n");
  tree_put (&tree, "a/cpu.cfs_period_us", "100000\n");
  g_autoptr (GPtrArray) all
      = tree_hierarchies (&tree, "cgroup", "rw,cpu,memory", "3:cpu,memory:/a\n");
  g_auto (GtCgroupLimit) memory = { 0 }, cpu = { 0 };
  g_assert_false (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_MEMORY, &memory));
  g_assert_true (gt_hierarchies_limit (all, GT_CGROUP_LIMIT_CPU, &cpu));
  g_assert_cmpfloat (cpu.value, ==, 0.5);
  tree_remove (&tree);
}

static void
a_controller_acts_where_children_get_it (void)
{
  Tree tree = tree_new ();
  gboolean v2 = FALSE;
  tree_put (&tree, "cgroup.procs", "1\n");
  tree_put (&tree, "cgroup.controllers", "cpu memory pids\n");
  tree_put (&tree, "cgroup.subtree_control", "memory pids\n");
  tree_put (&tree, "a/cgroup.procs", "2\n");
  tree_put (&tree, "a/cgroup.type", "domain\n");
  tree_put (&tree, "a/cgroup.controllers", "memory pids\n");
  tree_put (&tree, "a/cgroup.subtree_control", "pids\n");
  g_autofree char *a = g_build_filename (tree.top, "a", NULL);
  g_autoptr (GPtrArray) all = tree_hierarchies (&tree, "cgroup2", "rw", "0::/a\n");
  g_autofree char *pids = gt_hierarchies_enforcer (all, "pids", &v2);
  g_assert_cmpstr (pids, ==, a);
  g_assert_true (v2);
  /* Enabling it in "a" is refused as long as it has processes: one above. */
  g_autofree char *memory = gt_hierarchies_enforcer (all, "memory", &v2);
  g_assert_cmpstr (memory, ==, tree.top);
  /* The topmost cgroup may have processes and children with controllers. */
  g_autofree char *cpu = gt_hierarchies_enforcer (all, "cpu", &v2);
  g_assert_cmpstr (cpu, ==, tree.top);
  g_assert_null (gt_hierarchies_enforcer (all, "io", &v2));
  g_assert_true (gt_hierarchies_show (all, "memory"));
  /* Beside a cgroup that is limited a family would escape the limit. */
  tree_put (&tree, "a/memory.max", "4096\n");
  g_assert_null (gt_hierarchies_enforcer (all, "memory", &v2));
  tree_remove (&tree);
}

static void
files_are_read_whole_and_without_waiting (void)
{
  Tree tree = tree_new ();
  tree_put (&tree, "text", "two\nlines\n\n");
  g_autofree char *path = g_build_filename (tree.top, "text", NULL);
  g_autofree char *text = gt_machine_read (path);
  g_assert_cmpstr (text, ==, "two\nlines");
  g_autofree char *fifo = g_build_filename (tree.top, "fifo", NULL);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_autofree char *nothing = gt_machine_read (fifo);
  g_assert_cmpstr (nothing, ==, "");
  g_unlink (fifo);
  g_assert_null (gt_machine_read (fifo));
  tree_remove (&tree);
}

static void
asking_for_features_starts_nothing (void)
{
  for (GtKernelFeature f = 0; f < GT_N_KERNEL_FEATURES; f++)
    (void) gt_kernel_feature_try (f);
  g_autofree char *children = gt_machine_read ("/proc/thread-self/children");
  if (children != NULL)
    g_assert_cmpstr (children, ==, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/machine/layouts are told apart", layouts_are_told_apart);
  g_test_add_func ("/machine/our own folders are found", our_own_folders_are_found);
  g_test_add_func ("/machine/a part of the tree may be mounted", a_part_of_the_tree_may_be_mounted);
  g_test_add_func ("/machine/the tightest limit of the chain counts",
                   the_tightest_limit_of_the_chain_counts);
  g_test_add_func ("/machine/CPUs are those of affinity and quota",
                   cpus_are_those_of_affinity_and_quota);
  g_test_add_func ("/machine/limits of version 1 are read too", limits_of_version_1_are_read_too);
  g_test_add_func ("/machine/a controller acts where children get it",
                   a_controller_acts_where_children_get_it);
  g_test_add_func ("/machine/files are read whole and without waiting",
                   files_are_read_whole_and_without_waiting);
  g_test_add_func ("/machine/asking for features starts nothing",
                   asking_for_features_starts_nothing);
  return g_test_run ();
}
