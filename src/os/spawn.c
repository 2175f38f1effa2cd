#include "os/spawn.h"

#include "os/error.h"
#include "os/pidfd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's own stack: it calls system calls only, and getdents64 with a small buffer. */
#define CHILD_STACK_BYTES ((gsize) 64 * 1024)

/* Where the child failed. X (ID, text) */
#define STEPS(X)                                                                                   \
  X (NONE, "")                                                                                     \
  X (MAP, "the user map of the new user namespace")                                                \
  X (CWD, "the working directory")                                                                 \
  X (FDS, "the descriptors")                                                                       \
  X (EXEC, "executing it")

typedef enum {
#define X(id, text) STEP_##id,
  STEPS (X)
#undef X
} Step;

/* Shared with the child (CLONE_VM), which runs while we wait (CLONE_VFORK): what it writes here is
 * read when it has executed or is gone. */
typedef struct {
  const GtSpawn *spawn;
  int *moved; /* n_fds: the sources, or copies out of the way of the targets */
  char uid_map[64], gid_map[64];
  volatile Step failed;
  volatile int failed_errno;
  volatile gboolean fresh_proc;
} Child;

gboolean
gt_fd_map_has_target (const GtFdMap *fds, gsize n_fds, int fd)
{
  for (gsize i = 0; i < n_fds; i++)
    if (fds[i].target == fd)
      return TRUE;
  return FALSE;
}

/* A kernel without close_range: every descriptor by name. */
static void
mark_open_cloexec (void)
{
  int dir = open ("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char buffer[4096] __attribute__ ((aligned (8)));
  for (long got; dir >= 0 && (got = syscall (SYS_getdents64, dir, buffer, sizeof buffer)) > 0;)
    for (long at = 0; at < got;) {
      const struct dirent64 *entry = (const struct dirent64 *) (buffer + at);
      int fd = 0;
      for (const char *c = entry->d_name; *c >= '0' && *c <= '9'; c++)
        fd = fd * 10 + (*c - '0');
      if (entry->d_name[0] != '.')
        (void) fcntl (fd, F_SETFD, FD_CLOEXEC);
      at += entry->d_reclen;
    }
  if (dir >= 0)
    close (dir);
}

/* A copy out of the way of all targets; not simply above them, since the highest may be the limit's
 * last. */
static int
copy_aside (const GtSpawn *s, int source)
{
  int copy = fcntl (source, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  while (copy >= 0 && gt_fd_map_has_target (s->fds, s->n_fds, copy)) {
    int other = fcntl (source, F_DUPFD_CLOEXEC, copy + 1);
    close (copy);
    copy = other;
  }
  return copy;
}

static gboolean
arrange_fds (const Child *child)
{
  const GtSpawn *s = child->spawn;
  if (syscall (SYS_close_range, 0, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    mark_open_cloexec ();
  for (gsize i = 0; i < s->n_fds; i++) {
    gboolean stays = s->fds[i].source == s->fds[i].target;
    child->moved[i] = stays ? s->fds[i].source : copy_aside (s, s->fds[i].source);
    if (child->moved[i] < 0)
      return FALSE;
  }
  for (gsize i = 0; i < s->n_fds; i++)
    if (child->moved[i] == s->fds[i].target ? fcntl (child->moved[i], F_SETFD, 0) < 0
                                            : dup2 (child->moved[i], s->fds[i].target) < 0)
      return FALSE;
  for (int fd = 0; fd <= STDERR_FILENO && !s->keep_closed; fd++)
    if (!gt_fd_map_has_target (s->fds, s->n_fds, fd)) {
      int null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
      if (null_fd < 0 || (null_fd != fd && dup2 (null_fd, fd) < 0)
          || (null_fd == fd && fcntl (fd, F_SETFD, 0) < 0))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  gsize length = strlen (text);
  gboolean ok = write (fd, text, length) == (ssize_t) length;
  int saved = errno;
  close (fd);
  errno = saved;
  return ok;
}

static int
fail (Child *child, Step step)
{
  child->failed_errno = errno;
  child->failed = step;
  _exit (127);
}

/* Runs on its own stack in our memory: system calls only, no lock, no allocation. */
static int
child_main (void *data)
{
  Child *child = data;
  const GtSpawn *s = child->spawn;
  /* By the system call, which also reaches the two signals that glibc keeps for itself; all zero is
   * SIG_DFL. */
  static const gulong as_default[8];
  for (int signo = 1; signo < NSIG; signo++)
    syscall (SYS_rt_sigaction, signo, as_default, NULL, sizeof (guint64));
  if (s->new_session)
    (void) setsid ();
  else if (s->new_group)
    (void) setpgid (0, 0);
  if ((s->clone_flags & CLONE_NEWUSER) != 0
      && (!write_file ("/proc/self/setgroups", "deny")
          || !write_file ("/proc/self/uid_map", child->uid_map)
          || !write_file ("/proc/self/gid_map", child->gid_map)))
    return fail (child, STEP_MAP);
  if (s->fresh_proc)
    child->fresh_proc
        = mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
          && mount ("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
  if (s->cwd != NULL && chdir (s->cwd) != 0)
    return fail (child, STEP_CWD);
  if (!arrange_fds (child))
    return fail (child, STEP_FDS);
  execve (s->path, s->argv, s->env);
  return fail (child, STEP_EXEC);
}

static const char *
step_text (Step step)
{
  static const char *const texts[] = {
#define X(id, text) [STEP_##id] = (text),
    STEPS (X)
#undef X
  };
  return texts[step];
}

/* TSan cannot follow a child that borrows our memory. Without it the child's failure is not seen
 * here but by its exit code 127. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BORROW_MEMORY 0
#endif
#elif defined(__SANITIZE_THREAD__)
#define BORROW_MEMORY 0
#endif
#ifndef BORROW_MEMORY
#define BORROW_MEMORY (CLONE_VM | CLONE_VFORK)
#endif

/* The pid, -1 and errno. */
static pid_t
start_child (Child *child, int *pidfd)
{
  g_autofree char *stack = g_malloc (CHILD_STACK_BYTES);
  char *end = stack + CHILD_STACK_BYTES, *top = end - (GPOINTER_TO_SIZE (end) & 15);
  const int flags = (int) child->spawn->clone_flags | BORROW_MEMORY | SIGCHLD;
  *pidfd = -1;
  /* glibc's clone() is the old system call on purpose: container filters refuse clone3. */
  pid_t pid = clone (child_main, top, flags | CLONE_PIDFD, child, pidfd);
  if (pid < 0 && errno == EINVAL && child->spawn->clone_flags == 0) {
    pid = clone (child_main, top, flags, child);
    if (pid > 0 && (*pidfd = gt_pidfd_open (pid)) < 0) {
      int saved = errno;
      kill (pid, SIGKILL);
      waitpid (pid, NULL, __WALL);
      errno = saved;
      return -1;
    }
  }
  return pid;
}

gboolean
gt_spawn (const GtSpawn *spawn, GtSpawned *spawned, GError **error)
{
  g_autofree int *moved = g_new0 (int, spawn->n_fds + 1);
  Child child = { .spawn = spawn, .moved = moved };
  (void) g_snprintf (child.uid_map, sizeof child.uid_map, "%u %u 1", geteuid (), geteuid ());
  (void) g_snprintf (child.gid_map, sizeof child.gid_map, "%u %u 1", getegid (), getegid ());
  /* A handler of ours must not run in the child, which shares our memory. The raw call also blocks
   * the two signals glibc keeps for itself. */
  const guint64 all = ~G_GUINT64_CONSTANT (0);
  guint64 old;
  syscall (SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof all);
  pid_t pid = start_child (&child, &spawned->pidfd);
  int clone_errno = errno;
  syscall (SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof old);
  if (pid < 0) {
    gt_os_fail (error, clone_errno, "%s", spawn->clone_flags != 0 ? "namespaces" : "clone");
    if (error != NULL && *error != NULL && spawn->clone_flags != 0)
      (*error)->code = GT_OS_ERROR_UNAVAILABLE;
    return FALSE;
  }
  if (child.failed == STEP_NONE) {
    spawned->pid = pid;
    spawned->fresh_proc = child.fresh_proc;
    return TRUE;
  }
  waitpid (pid, NULL, __WALL);
  close (spawned->pidfd);
  gt_os_fail (error, child.failed_errno, "%s: %s",
              child.failed == STEP_CWD ? spawn->cwd : spawn->path, step_text (child.failed));
  if (error != NULL && *error != NULL && child.failed == STEP_MAP)
    (*error)->code = GT_OS_ERROR_UNAVAILABLE;
  return FALSE;
}
