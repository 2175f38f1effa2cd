/* Real processes, and a tree of files for what cannot be brought about at will (reused pids, other
 * users' processes). Every child dies with the test, by PR_SET_PDEATHSIG and by kill_and_reap. */
#include "os/census.h"
#include "os/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (20 * GT_NSEC_PER_SEC)

/* ThreadSanitizer has a thread of its own in every process. */
#define SANITIZERS_THREADS 0
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#undef SANITIZERS_THREADS
#define SANITIZERS_THREADS 1
#endif
#endif

/* --- real processes --- */

typedef void (*ChildFunc) (int ready_fd);

/* The alarm ends what a failed assertion would leave behind. */
static void
say_ready (int fd)
{
  alarm (60);
  pid_t pid = getpid ();
  if (write (fd, &pid, sizeof pid) != (ssize_t) sizeof pid)
    _exit (3);
}

static void
sleep_forever (int ready_fd)
{
  say_ready (ready_fd);
  for (;;)
    pause ();
}

static void
lead_own_session (int ready_fd)
{
  setsid ();
  sleep_forever (ready_fd);
}

static void
burn (int ready_fd)
{
  say_ready (ready_fd);
  for (volatile guint64 i = 0;; i++)
    ;
}

static void
end_at_once (int ready_fd)
{
  say_ready (ready_fd);
  _exit (0);
}

/* Forks a daemon in a session of its own and ends: the daemon's parent is gone. */
static void
fork_daemon (int ready_fd)
{
  setsid ();
  if (fork () == 0) {
    prctl (PR_SET_PDEATHSIG, 0);
    sleep_forever (ready_fd);
  }
  for (;;)
    pause ();
}

/* Returns the pid of the child; *speaker is who wrote that it is ready. */
static pid_t
start (ChildFunc func, pid_t *speaker)
{
  int fds[2];
  g_assert_cmpint (pipe (fds), ==, 0);
  pid_t child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    close (fds[0]);
    func (fds[1]);
    _exit (4);
  }
  close (fds[1]);
  pid_t said = 0;
  g_assert_cmpint (read (fds[0], &said, sizeof said), ==, sizeof said);
  close (fds[0]);
  if (speaker != NULL)
    *speaker = said;
  return child;
}

static void
kill_and_reap (pid_t pid)
{
  int status;
  kill (pid, SIGKILL);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
}

static const GtCensusResult *
take (GtCensus *census, const GtCensusOptions *options)
{
  g_autoptr (GError) error = NULL;
  const GtCensusResult *result = gt_census_take (census, options, &error);
  g_assert_no_error (error);
  g_assert_nonnull (result);
  g_assert_cmpint (result->before.ns, <=, result->after.ns);
  g_assert_cmpuint (result->totals.processes, ==, result->n_processes);
  return result;
}

static GtCensus *
new_census (const char *root)
{
  g_autoptr (GError) error = NULL;
  GtCensus *census = gt_census_new (root, &error);
  g_assert_no_error (error);
  return census;
}

/* Passes until the process has this state, or patience ends. */
static const GtProcess *
wait_for_state (GtCensus *census, const GtCensusOptions *options, pid_t pid, char state)
{
  GtInstant end = gt_instant_add (gt_instant_now (), PATIENCE);
  while (gt_instant_until (gt_instant_now (), end) > 0) {
    const GtProcess *process = gt_census_find (take (census, options), pid);
    if (process != NULL && process->state == state)
      return process;
    g_usleep (2000);
  }
  g_error ("process %d never had state %c", (int) pid, state);
}

static void
children_come_after_their_parent_with_its_index (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  GtCensusRoot root = { .pid = getpid () };
  GtCensusOptions options = { .roots = &root, .n_roots = 1, .flags = GT_CENSUS_CMDLINE };
  pid_t children[2] = { start (sleep_forever, NULL), start (lead_own_session, NULL) };
  const GtCensusResult *result = take (census, &options);
  g_assert_cmpuint (result->n_processes, ==, 3);
  g_assert_cmpint (result->processes[0].pid, ==, getpid ());
  g_assert_cmpint (result->processes[0].parent, ==, -1);
  g_assert_cmpint (result->processes[0].member, ==, GT_MEMBER_ROOT);
  for (int i = 0; i < 2; i++) {
    const GtProcess *child = gt_census_find (result, children[i]);
    g_assert_nonnull (child);
    g_assert_cmpint (child->parent, ==, 0);
    g_assert_cmpuint (child->depth, ==, 1);
    g_assert_cmpint (child->ppid, ==, getpid ());
    g_assert_cmpint (child->root, ==, getpid ());
    g_assert_cmpint (child->member, ==, GT_MEMBER_DESCENDANT);
    g_assert_cmpint (child->threads, ==, 1 + SANITIZERS_THREADS);
    g_assert_cmpint (child->rss_bytes, >, 0);
    g_assert_cmpint (child->pss_bytes, ==, -1);
    g_assert_nonnull (strstr (child->cmdline, "test_census"));
  }
  g_assert_cmpint (gt_census_find (result, children[1])->session, ==, children[1]);
  kill_and_reap (children[0]);
  kill_and_reap (children[1]);
}

static void
a_zombie_is_counted_and_keeps_the_command_of_its_life (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  GtCensusRoot root = { .pid = getpid () };
  GtCensusOptions options = { .roots = &root,
                              .n_roots = 1,
                              .flags = GT_CENSUS_CMDLINE | GT_CENSUS_PSS | GT_CENSUS_SIGNALS };
  pid_t child = start (sleep_forever, NULL);
  g_assert_cmpint (gt_census_find (take (census, &options), child)->pss_bytes, >, 0);
  kill (child, SIGKILL);
  const GtProcess *process = wait_for_state (census, &options, child, 'Z');
  g_assert_true (process->zombie);
  g_assert_cmpint (process->rss_bytes, ==, 0);
  g_assert_cmpint (process->pss_bytes, ==, 0);
  g_assert_nonnull (strstr (process->cmdline, "test_census"));
  g_assert_cmpuint (take (census, &options)->totals.zombies, ==, 1);
  kill_and_reap (child);
  g_assert_cmpuint (take (census, &options)->totals.zombies, ==, 0);
}

static void
a_zombie_first_seen_dead_has_no_command (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  pid_t child = start (end_at_once, NULL);
  GtCensusRoot root = { .pid = child };
  GtCensusOptions wait = { .roots = &root, .n_roots = 1 };
  wait_for_state (census, &wait, child, 'Z');
  GtCensusOptions options
      = { .roots = &root, .n_roots = 1, .flags = GT_CENSUS_CMDLINE | GT_CENSUS_MARK };
  const GtProcess *process = gt_census_find (take (census, &options), child);
  g_assert_null (process->cmdline);
  g_assert_false (process->mark_known);
  kill_and_reap (child);
}

static void
a_daemon_is_remembered_after_its_parent_is_gone (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  pid_t daemon;
  pid_t parent = start (fork_daemon, &daemon);
  GtCensusRoot root = { .pid = parent };
  GtCensusOptions options = { .roots = &root, .n_roots = 1 };
  g_assert_cmpuint (take (census, &options)->n_processes, ==, 2);
  kill_and_reap (parent);
  const GtCensusResult *result = take (census, &options);
  g_assert_cmpuint (result->n_processes, ==, 1);
  g_assert_cmpuint (result->totals.vanished, ==, 1);
  const GtProcess *process = gt_census_find (result, daemon);
  g_assert_nonnull (process);
  g_assert_cmpint (process->member, ==, GT_MEMBER_REMEMBERED);
  g_assert_cmpint (process->root, ==, parent);
  g_assert_cmpint (process->parent, ==, -1);
  kill (daemon, SIGKILL); /* ours as subreaper: see main */
  g_assert_cmpint (waitpid (daemon, NULL, 0), ==, daemon);
  g_assert_cmpuint (take (census, &options)->n_processes, ==, 0);
}

/* The mark is in the environment a program was started with: so this needs an exec. */
static pid_t
spawn_marked (const char *mark)
{
  g_autofree char *variable = g_strdup_printf ("GILOTINE_MARK=%s", mark);
  char *argv[] = { (char[]){ "sleep" }, (char[]){ "1000" }, NULL };
  char *envp[] = { (char[]){ "A=1" }, variable, NULL };
  pid_t child = fork ();
  if (child == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    execve ("/bin/sleep", argv, envp);
    _exit (127);
  }
  return child;
}

static void
a_marked_process_belongs_though_no_root_is_its_ancestor (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  g_autofree char *mark = g_strdup_printf ("mark-%d", (int) getpid ());
  g_autofree char *other = g_strdup_printf ("%s-other", mark);
  pid_t marked = spawn_marked (mark), unmarked = spawn_marked (other);
  GtCensusOptions options = { .mark = mark };
  const GtProcess *process = NULL;
  GtInstant end = gt_instant_add (gt_instant_now (), PATIENCE);
  /* From the first pass on, while it may not have executed yet: the mark must be looked at again.
   */
  while (process == NULL && gt_instant_until (gt_instant_now (), end) > 0)
    process = gt_census_find (take (census, &options), marked);
  g_assert (process != NULL); /* for the analyzer, which takes g_assert_nonnull to return */
  g_assert_cmpint (process->member & GT_MEMBER_MARK, !=, 0);
  g_assert_cmpint (process->root, ==, 0);
  g_assert_cmpstr (process->mark, ==, mark);
  g_assert_null (gt_census_find (take (census, &options), unmarked));
  kill_and_reap (marked);
  kill_and_reap (unmarked);
}

static void
signals_are_seen_from_outside (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  GtCensusRoot root = { .pid = getpid () };
  GtCensusOptions options = { .roots = &root, .n_roots = 1, .flags = GT_CENSUS_SIGNALS };
  struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
  sigaction (SIGUSR2, &ignore, &before);
  const GtProcess *self = gt_census_find (take (census, &options), getpid ());
  g_assert_true (self->signals_known);
  g_assert_true (self->signals.ignored >> (SIGUSR2 - 1) & 1);
  sigaction (SIGUSR2, &before, NULL);
  self = gt_census_find (take (census, &options), getpid ());
  g_assert_false (self->signals.ignored >> (SIGUSR2 - 1) & 1);
}

static void
cpu_burnt_by_the_family_never_falls (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  GtCensusRoot root = { .pid = getpid () };
  GtCensusOptions options = { .roots = &root, .n_roots = 1 };
  pid_t child = start (burn, NULL);
  GtInstant end = gt_instant_add (gt_instant_now (), PATIENCE);
  const GtProcess *process;
  const GtCensusResult *result;
  do {
    g_usleep (5000);
    result = take (census, &options);
    process = gt_census_find (result, child);
    g_assert_nonnull (process);
  } while (process->cpu_ns < 50 * GT_NSEC_PER_MSEC
           && gt_instant_until (gt_instant_now (), end) > 0);
  gint64 before = result->totals.cpu_ns + result->totals.cpu_vanished_ns;
  g_assert_cmpint (before, >=, 50 * GT_NSEC_PER_MSEC);
  kill_and_reap (child);
  result = take (census, &options);
  g_assert_cmpint (result->totals.cpu_vanished_ns, >=, 50 * GT_NSEC_PER_MSEC);
  g_assert_cmpint (result->totals.cpu_ns + result->totals.cpu_vanished_ns, >=, before);
  g_assert_cmpint (result->processes[0].children_cpu_ns, >=, 50 * GT_NSEC_PER_MSEC);
}

static void
processes_that_come_and_go_never_break_a_pass (void)
{
  g_autoptr (GtCensus) census = new_census (NULL);
  GtCensusRoot root = { .pid = getpid () };
  GtCensusOptions options = { .roots = &root,
                              .n_roots = 1,
                              .mark = "nobody",
                              .flags = GT_CENSUS_CMDLINE | GT_CENSUS_PSS | GT_CENSUS_SIGNALS };
  pid_t churner = fork ();
  if (churner == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      pid_t child = fork ();
      if (child == 0)
        _exit (0);
      waitpid (child, NULL, 0);
    }
  }
  gint64 burnt = 0;
  for (int i = 0; i < 200; i++) {
    const GtCensusResult *result = take (census, &options);
    g_assert_nonnull (gt_census_find (result, churner));
    g_assert_cmpint (result->totals.cpu_ns + result->totals.cpu_vanished_ns, >=, burnt);
    burnt = result->totals.cpu_ns + result->totals.cpu_vanished_ns;
    for (gsize k = 0; k < result->n_processes; k++)
      g_assert_cmpint (result->processes[k].parent, <, (gint) k);
  }
  kill_and_reap (churner);
}

/* --- a tree of files --- */

typedef struct {
  char *root;
  GtCensus *census;
} Tree;

static void
tree_set_up (Tree *tree, gconstpointer data)
{
  (void) data;
  tree->root = g_dir_make_tmp ("census-XXXXXX", NULL);
  g_assert_nonnull (tree->root);
  tree->census = new_census (tree->root);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *inner = g_build_filename (path, name, NULL);
    remove_tree (inner);
  }
  g_remove (path);
}

static void
tree_tear_down (Tree *tree, gconstpointer data)
{
  (void) data;
  gt_census_free (tree->census);
  remove_tree (tree->root);
  g_free (tree->root);
}

static void
put (const Tree *tree, int pid, const char *name, const char *text, gssize length)
{
  g_autofree char *number = g_strdup_printf ("%d", pid);
  g_autofree char *folder = g_build_filename (tree->root, number, NULL);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_mkdir (folder, 0700);
  g_assert_true (g_file_set_contents (path, text, length, NULL));
}

/* `image` stands for what an exec changes. */
static void
put_stat (const Tree *tree, int pid, int ppid, char state, guint start, guint ticks, guint image)
{
  g_autofree char *text = g_strdup_printf (
      "%d (p%d) %c %d 1 1 0 -1 0 0 0 0 0 %u 0 0 0 20 0 1 0 %u 0 5 0 1 2 %u 0 0 0 0"
      " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 2 3 4 0\n",
      pid, pid, state, ppid, ticks, start, image);
  put (tree, pid, "stat", text, -1);
}

static void
take_away (const Tree *tree, int pid)
{
  g_autofree char *number = g_strdup_printf ("%d", pid);
  g_autofree char *folder = g_build_filename (tree->root, number, NULL);
  remove_tree (folder);
}

static const GtCensusResult *
take_of (Tree *tree, pid_t pid, guint flags, const char *mark)
{
  GtCensusRoot root = { .pid = pid };
  GtCensusOptions options = { .roots = &root, .n_roots = pid != 0, .mark = mark, .flags = flags };
  return take (tree->census, &options);
}

static void
a_reused_pid_is_another_process (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 100, 7, 5);
  put_stat (tree, 11, 10, 'S', 101, 20, 5);
  g_assert_cmpuint (take_of (tree, 10, 0, NULL)->n_processes, ==, 2);
  put_stat (tree, 11, 1, 'S', 200, 90, 6); /* the child's pid goes to a stranger */
  const GtCensusResult *result = take_of (tree, 10, 0, NULL);
  g_assert_cmpuint (result->n_processes, ==, 1);
  g_assert_cmpuint (result->totals.vanished, ==, 1);
  g_assert_cmpint (result->totals.cpu_vanished_ns, ==, 20 * gt_proc_tick_ns ());
  put_stat (tree, 10, 1, 'S', 300, 0, 7); /* and so does the root's */
  result = take_of (tree, 10, 0, NULL);
  g_assert_cmpuint (result->n_processes, ==, 0);
  g_assert_cmpint (result->totals.cpu_vanished_ns, ==, 27 * gt_proc_tick_ns ());
}

static void
a_root_with_a_start_time_is_that_process_alone (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 100, 7, 5);
  GtCensusRoot root = { .pid = 10, .start_ticks = 99 };
  GtCensusOptions options = { .roots = &root, .n_roots = 1 };
  g_assert_cmpuint (take (tree->census, &options)->n_processes, ==, 0);
  root.start_ticks = 100;
  g_assert_cmpuint (take (tree->census, &options)->n_processes, ==, 1);
}

static void
a_parent_younger_than_its_child_is_none (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 500, 0, 5);
  put_stat (tree, 11, 10, 'S', 400, 0, 5);
  g_assert_cmpuint (take_of (tree, 10, 0, NULL)->n_processes, ==, 1);
}

static void
rings_of_parents_are_cut (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 1, 0, 'S', 0, 0, 5);
  put_stat (tree, 10, 12, 'S', 100, 0, 5);
  put_stat (tree, 11, 10, 'S', 100, 0, 5);
  put_stat (tree, 12, 11, 'S', 100, 0, 5);
  put_stat (tree, 13, 13, 'S', 100, 0, 5);
  put_stat (tree, 14, 12, 'S', 100, 0, 5);
  const GtCensusResult *result = take_of (tree, 0, GT_CENSUS_ALL, NULL);
  g_assert_cmpuint (result->n_processes, ==, 6);
  for (gsize i = 0; i < result->n_processes; i++)
    g_assert_cmpint (result->processes[i].parent, <, (gint) i);
}

static void
a_child_whose_parent_just_vanished_is_still_attributed (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 100, 0, 5);
  g_assert_cmpuint (take_of (tree, 10, 0, NULL)->n_processes, ==, 1);
  take_away (tree, 10);
  put_stat (tree, 11, 10, 'S', 101, 0, 5); /* new, and looked at before it was reparented */
  put_stat (tree, 12, 11, 'S', 102, 0, 5);
  const GtCensusResult *result = take_of (tree, 10, 0, NULL);
  g_assert_cmpuint (result->n_processes, ==, 2);
  g_assert_cmpint (result->processes[0].root, ==, 10);
  g_assert_cmpint (result->processes[1].root, ==, 10);
  put_stat (tree, 11, 1, 'S', 101, 0, 5);
  g_assert_cmpuint (take_of (tree, 10, 0, NULL)->n_processes, ==, 2);
}

static void
a_mark_is_looked_at_again_after_an_exec_and_only_then (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 100, 0, 5);
  put (tree, 10, "environ", "A=1\0B=2", 7);
  g_assert_cmpuint (take_of (tree, 0, 0, "m")->n_processes, ==, 0);
  put (tree, 10, "environ", "GILOTINE_MARK=m", 16);
  g_assert_cmpuint (take_of (tree, 0, 0, "m")->n_processes, ==, 0);
  put_stat (tree, 10, 1, 'S', 100, 0, 6);
  const GtCensusResult *result = take_of (tree, 0, 0, "m");
  g_assert_cmpuint (result->n_processes, ==, 1);
  g_assert_cmpstr (result->processes[0].mark, ==, "m");
  put_stat (tree, 10, 1, 'S', 100, 0, 7); /* an exec that drops the mark does not free it */
  put (tree, 10, "environ", "A=1", 4);
  result = take_of (tree, 0, 0, "m");
  g_assert_cmpuint (result->n_processes, ==, 1);
  g_assert_cmpint (result->processes[0].member, ==, GT_MEMBER_REMEMBERED);
  g_assert_true (result->processes[0].mark_known);
  g_assert_null (result->processes[0].mark);
}

static void
what_is_not_known_is_said_to_be_unknown (Tree *tree, gconstpointer data)
{
  (void) data;
  put_stat (tree, 10, 1, 'S', 100, 0, 5); /* no environ, cmdline, status, smaps_rollup at all */
  const GtCensusResult *result = take_of (
      tree, 10, GT_CENSUS_MARK | GT_CENSUS_CMDLINE | GT_CENSUS_PSS | GT_CENSUS_SIGNALS, NULL);
  const GtProcess *process = gt_census_find (result, 10);
  g_assert_nonnull (process);
  g_assert_false (process->mark_known);
  g_assert_null (process->cmdline);
  g_assert_cmpint (process->pss_bytes, ==, -1);
  g_assert_false (process->signals_known);
  g_assert_true (result->totals.hidden); /* nobody has pid 1 */
}

static void
a_stat_line_that_is_none_fails_the_pass (Tree *tree, gconstpointer data)
{
  (void) data;
  g_autoptr (GError) error = NULL;
  GtCensusOptions options = { .flags = GT_CENSUS_ALL };
  put (tree, 10, "stat", "10 (x) S 1", -1);
  g_assert_null (gt_census_take (tree->census, &options, &error));
  g_assert_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM);
  put_stat (tree, 10, 1, 'S', 100, 0, 5);
  g_assert_cmpuint (take (tree->census, &options)->n_processes, ==, 1);
}

static void
a_missing_proc_is_an_error (void)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (gt_census_new ("/nonexistent/proc", &error));
  g_assert_error (error, GT_OS_ERROR, GT_OS_ERROR_NOT_FOUND);
}

#define TREE_TEST(path, func) g_test_add (path, Tree, NULL, tree_set_up, func, tree_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0); /* the daemon is ours to reap */
  g_test_add_func ("/census/tree", children_come_after_their_parent_with_its_index);
  g_test_add_func ("/census/zombie", a_zombie_is_counted_and_keeps_the_command_of_its_life);
  g_test_add_func ("/census/born-dead", a_zombie_first_seen_dead_has_no_command);
  g_test_add_func ("/census/daemon", a_daemon_is_remembered_after_its_parent_is_gone);
  g_test_add_func ("/census/mark", a_marked_process_belongs_though_no_root_is_its_ancestor);
  g_test_add_func ("/census/signals", signals_are_seen_from_outside);
  g_test_add_func ("/census/cpu", cpu_burnt_by_the_family_never_falls);
  g_test_add_func ("/census/churn", processes_that_come_and_go_never_break_a_pass);
  g_test_add_func ("/census/no-proc", a_missing_proc_is_an_error);
  TREE_TEST ("/census/reused-pid", a_reused_pid_is_another_process);
  TREE_TEST ("/census/root-identity", a_root_with_a_start_time_is_that_process_alone);
  TREE_TEST ("/census/young-parent", a_parent_younger_than_its_child_is_none);
  TREE_TEST ("/census/rings", rings_of_parents_are_cut);
  TREE_TEST ("/census/orphan", a_child_whose_parent_just_vanished_is_still_attributed);
  TREE_TEST ("/census/exec", a_mark_is_looked_at_again_after_an_exec_and_only_then);
  TREE_TEST ("/census/unknown", what_is_not_known_is_said_to_be_unknown);
  TREE_TEST ("/census/bad-stat", a_stat_line_that_is_none_fails_the_pass);
  return g_test_run ();
}
