#include "executor/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  int error;
  bool of_domain; /* not of the command */
} Failure;

/* What the child says: its start, right before it executes, and then, when it cannot, why. */
typedef struct {
  int64_t started_ns, set_up_ns; /* instant; CPU time until then */
  Failure failure;
} Word;

static void
refuse (int word_fd, int error, bool of_domain)
{
  const Word word = { .failure = { error, of_domain } };
  (void) !write (word_fd, &word, sizeof word);
  _exit (error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC);
}

static void
set_signals (const Options *options)
{
  sigset_t blocked;
  sigemptyset (&blocked);
  for (int signo = 1; signo < NSIG; signo++) {
    const uint64_t bit = UINT64_C (1) << (signo - 1);
    if ((options->ignored & bit) != 0)
      ignore_signal (signo);
    else
      reset_signal (signo);
    if ((options->blocked & bit) != 0)
      sigaddset (&blocked, signo);
  }
  /* Last: with SIGTTOU unblocked the terminal could not be handed over before. */
  sigprocmask (SIG_SETMASK, &blocked, NULL);
}

static void
set_group (const Init *init)
{
  if (init->options.session == SESSION_CALLER) {
    if (init->options.group != 0)
      (void) setpgid (0, init->options.group);
    return;
  }
  /* A container's first process owns its terminal: its command shall read from it. */
  const bool foreground = isatty (STDIN_FILENO) && tcgetpgrp (STDIN_FILENO) == getpgrp ();
  (void) setpgid (0, 0);
  if (foreground)
    (void) tcsetpgrp (STDIN_FILENO, getpgrp ());
}

/* The keeper runs with a short slice; the command with the usual one, or the one asked for. */
static void
set_schedule (const Options *options)
{
  if (options->nice != 0)
    (void) setpriority (PRIO_PROCESS, 0, getpriority (PRIO_PROCESS, 0) + options->nice);
  struct sched_attr attr = { .size = sizeof attr };
  if (syscall (SYS_sched_getattr, 0, &attr, sizeof attr, 0) == 0) {
    attr.sched_runtime = (uint64_t) options->slice_ns;
    (void) syscall (SYS_sched_setattr, 0, &attr, 0);
  }
}

static void
join_cgroups (const Init *init, bool joined_v2, int word_fd)
{
  const Options *o = &init->options;
  const char *const dirs[] = { joined_v2 ? NULL : o->cgroup2, o->memory1, o->pids1 };
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (dirs[i] != NULL && !write_text (dirs[i], "cgroup.procs", "0"))
      refuse (word_fd, errno, true);
}

/* The instant first: no CPU time is counted that does not lie behind it. */
static void
say_start (int word_fd)
{
  Word word = { .started_ns = now_ns () };
  struct timespec used = { 0 };
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
  word.set_up_ns = used.tv_sec * NS_PER_S + used.tv_nsec;
  (void) !write (word_fd, &word, sizeof word);
}

/* The child, up to execvp(). */
static void
child_main (const Init *init, pid_t parent, bool joined_v2, int word_fd)
{
  const Options *options = &init->options;
  /* Our own sudden death takes the command along; the check closes the race with a parent that died
   * before the call. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (EXIT_OURS);
  join_cgroups (init, joined_v2, word_fd);
  for (int i = 0; i < options->n_rlimits; i++)
    if (setrlimit (options->rlimits[i].resource, &options->rlimits[i].value) != 0)
      refuse (word_fd, errno, true);
  set_schedule (options);
  set_group (init);
  set_signals (options);
  say_start (word_fd);
  execvp (options->command[0], options->command);
  refuse (word_fd, errno, false);
}

/* fork() that gives a pidfd and starts in the cgroup, as far as the kernel and the container's
 * filter have clone3. */
static pid_t
fork_into_cgroup (const Init *init, int *pidfd, bool *joined_v2)
{
  *pidfd = -1;
  *joined_v2 = false;
  struct clone_args args
      = { .flags = CLONE_PIDFD, .pidfd = (uint64_t) (uintptr_t) pidfd, .exit_signal = SIGCHLD };
  int dir = -1;
  if (init->options.cgroup2 != NULL
      && (dir = open (init->options.cgroup2, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t) dir;
    *joined_v2 = true;
  }
  /* We have one thread, and the child calls nothing that glibc's fork() would have prepared. */
  pid_t pid = (pid_t) syscall (SYS_clone3, &args, sizeof args);
  if (pid < 0) {
    *joined_v2 = false;
    *pidfd = -1;
    pid = fork ();
    if (pid > 0)
      *pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  }
  if (dir >= 0)
    close (dir);
  return pid;
}

/* "started", with the handle of the command where the descriptor can carry one. */
static void
tell_started (const Init *init, int pidfd, const Word *word)
{
  char text[96];
  const int length = snprintf (text, sizeof text, "started %d %lld %lld\n", (int) init->command_pid,
                               (long long) word->started_ns, (long long) word->set_up_ns);
  struct iovec io = { text, (size_t) length };
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct msghdr message = {
    .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  struct cmsghdr *c = CMSG_FIRSTHDR (&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN (sizeof (int));
  memcpy (CMSG_DATA (c), &pidfd, sizeof pidfd);
  if (pidfd < 0 || sendmsg (init->options.status_fd, &message, MSG_NOSIGNAL) < 0)
    tell (init, "started %d %lld %lld", (int) init->command_pid, (long long) word->started_ns,
          (long long) word->set_up_ns);
}

static void
fail_start (const Init *init, Failure failure)
{
  tell (init, "%s %d", failure.of_domain ? "refused" : "failed", failure.error);
  complain (init, "%s: %s", init->options.command[0], strerror (failure.error));
  remove_cgroups (init);
  if (init->options.remove_dir != NULL)
    remove_tree (init, init->options.remove_dir);
  _exit (failure.of_domain         ? EXIT_OURS
         : failure.error == ENOENT ? EXIT_NOT_FOUND
                                   : EXIT_CANNOT_EXEC);
}

/* Returns when the child has executed or ended, which closes its end. Until then it is not
 * disturbed: with no event asked for poll() sleeps through what is written. */
static Word
await_exec (int word_fd)
{
  struct pollfd end = { .fd = word_fd };
  Word word = { .started_ns = now_ns () }, next;
  while (poll (&end, 1, -1) < 0 && errno == EINTR)
    ;
  while (read (word_fd, &next, sizeof next) == (ssize_t) sizeof next)
    if (next.failure.error != 0)
      word.failure = next.failure;
    else
      word = next;
  return word;
}

void
start_command (Init *init)
{
  int word_pipe[2], pidfd;
  bool joined_v2;
  if (pipe2 (word_pipe, O_CLOEXEC) < 0)
    fail_start (init, (Failure){ errno, true });
  const pid_t parent = getpid ();
  const pid_t pid = fork_into_cgroup (init, &pidfd, &joined_v2);
  if (pid < 0)
    fail_start (init, (Failure){ errno, true });
  if (pid == 0)
    child_main (init, parent, joined_v2, word_pipe[1]);
  close (word_pipe[1]);
  const Word word = await_exec (word_pipe[0]);
  close (word_pipe[0]);
  if (word.failure.error != 0) {
    siginfo_t info;
    waitid (P_PID, (id_t) pid, &info, WEXITED);
    fail_start (init, word.failure);
  }
  init->command_pid = pid;
  init->command_group = init->options.session != SESSION_CALLER ? pid : 0;
  init->set_up_ns = word.set_up_ns;
  tell_started (init, pidfd, &word);
  if (pidfd >= 0)
    close (pidfd);
}
