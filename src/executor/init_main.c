/* gilotine-init: the process every family lives under, its keeper.
 *
 * It is PID 1 of the family's namespace, or the subreaper of all that the command starts: whatever
 * leaves by setsid or a double fork comes back here as a child. It ends the whole family when the
 * command ends (unless --linger), when its lifeline closes or its owner ends - by SIGKILL too, and
 * from the first instant on, since both exist before it does -, at the deadline, at a limit, on an
 * order or on a signal. It returns only when waitid() says ECHILD: the kernel's own word that
 * nothing is left. */
#include "executor/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched/types.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A short slice: on a busy machine the scheduler picks us soon after we wake. */
#define OWN_SLICE_NS (NS_PER_MS / 10)
/* News that may come without end is dropped while the owner has this much to read. */
#define MAX_UNREAD_BYTES 32768

int64_t
now_ns (void)
{
  struct timespec ts;
  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (int64_t) ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* One message an event to the owner, which may be gone, or stopped: then nobody is there to tell,
 * and we never wait for it. */
void
tell (const Init *init, const char *format, ...)
{
  char line[160];
  if (init->options.status_fd < 0)
    return;
  va_list args;
  va_start (args, format);
  /* False when several files are checked at once. NOLINTNEXTLINE(clang-analyzer-valist.*) */
  int length = vsnprintf (line, sizeof line - 1, format, args);
  va_end (args);
  if (length < 0 || (size_t) length >= sizeof line - 1)
    return;
  line[length++] = '\n';
  int unread = 0;
  const bool endless = line[0] == 's' || line[0] == 'c'; /* stopped, started, signaled; continued */
  if (endless && strncmp (line, "sta", 3) != 0 && strncmp (line, "sig", 3) != 0
      && (ioctl (init->options.status_fd, TIOCOUTQ, &unread) == 0
          || ioctl (init->options.status_fd, FIONREAD, &unread) == 0)
      && unread > MAX_UNREAD_BYTES)
    return;
  (void) !write (init->options.status_fd, line, (size_t) length);
}

void
complain (const Init *init, const char *format, ...)
{
  if (init->options.status_fd >= 0)
    return;
  va_list args;
  va_start (args, format);
  (void) fputs ("gilotine-init: ", stderr);
  /* False when several files are checked at once. NOLINTNEXTLINE(clang-analyzer-valist.*) */
  (void) vfprintf (stderr, format, args);
  (void) fputc ('\n', stderr);
  va_end (args);
}

static void
die (const Init *init, const char *what)
{
  tell (init, "refused %d", errno);
  complain (init, "%s: %s", what, strerror (errno));
  _exit (EXIT_OURS);
}

void
end_now (Init *init, GtFamilyCause cause)
{
  if (init->ending)
    return;
  init->ending = true;
  init->cause = cause;
  tell (init, "ending %d", (int) cause);
}

void
reset_signal (int signo)
{
  /* All zero is SIG_DFL with no flags, in whatever order the kernel has the fields. */
  static const unsigned long as_default[8];
  syscall (SYS_rt_sigaction, signo, as_default, NULL, sizeof (unsigned long));
}

void
ignore_signal (int signo)
{
  /* The kernel's struct begins with the handler. */
  static const unsigned long as_ignored[8] = { (unsigned long) SIG_IGN };
  syscall (SYS_rt_sigaction, signo, as_ignored, NULL, sizeof (unsigned long));
}

static int
exit_code (int wait_status)
{
  if (WIFEXITED (wait_status))
    return WEXITSTATUS (wait_status);
  return 128 + WTERMSIG (wait_status);
}

static void
signal_command (const Init *init, int signo, bool group)
{
  /* Not reaped yet, so the number is still its own. */
  if (init->command_pid > 0)
    (void) kill (group && init->command_group > 0 ? -init->command_group : init->command_pid,
                 signo);
}

static void
on_signal (Init *init)
{
  struct signalfd_siginfo info;
  while (read (init->signal_fd, &info, sizeof info) == (ssize_t) sizeof info) {
    const int signo = (int) info.ssi_signo;
    if (signo == SIGCHLD)
      continue;
    switch (init->options.signals) {
    case SIGNALS_FORWARD:
      signal_command (init, signo, false);
      break;
    case SIGNALS_END:
      if (signo == SIGTERM || signo == SIGINT || signo == SIGHUP || signo == SIGQUIT)
        end_now (init, GT_FAMILY_CAUSE_SIGNAL);
      break;
    case SIGNALS_AUTO:
    case SIGNALS_IGNORE:
      break;
    }
  }
}

static void
set_deadline (Init *init, int64_t deadline_ns)
{
  if (init->deadline_fd < 0)
    init->deadline_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  /* A zero would disarm it; what lies in the past fires at once. */
  const int64_t at = deadline_ns > 0 ? deadline_ns : 1;
  struct itimerspec timer = { .it_value = { at / NS_PER_S, at % NS_PER_S } };
  if (deadline_ns == INT64_MAX)
    timer.it_value = (struct timespec){ 0 };
  timerfd_settime (init->deadline_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void
take_order (Init *init, const char *order)
{
  const char *space = strchr (order, ' ');
  const long long value = space != NULL ? strtoll (space + 1, NULL, 10) : 0;
  if (strncmp (order, "kill", 4) == 0)
    end_now (init, GT_FAMILY_CAUSE_KILL);
  else if (strncmp (order, "deadline ", 9) == 0)
    set_deadline (init, value);
  else if (strncmp (order, "signal ", 7) == 0)
    signal_command (init, (int) value, true);
  else if (strncmp (order, "end ", 4) == 0 && value >= 0 && value < GT_N_COMMAND_ENDS)
    init->options.command_end = (GtCommandEnd) value;
}

/* Orders, or its end. A pipe that was handed over by a shell may be blocking: one read for each
 * event. */
static void
on_lifeline (Init *init)
{
  char orders[256];
  const ssize_t got = read (init->options.lifeline_fd, orders, sizeof orders - 1);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got <= 0) {
    end_now (init, GT_FAMILY_CAUSE_KILL);
    return;
  }
  orders[got] = '\0';
  for (char *save = NULL, *order = strtok_r (orders, "\n", &save); order != NULL;
       order = strtok_r (NULL, "\n", &save))
    take_order (init, order);
}

void
take_orders (Init *init)
{
  struct pollfd p = { .fd = init->options.lifeline_fd, .events = POLLIN };
  while (!init->ending && poll (&p, 1, 0) > 0)
    on_lifeline (init);
}

static void
watch (Init *init)
{
  while (!init->ending) {
    /* poll() skips a negative descriptor. */
    struct pollfd fds[] = {
      { .fd = init->options.lifeline_fd, .events = POLLIN },
      { .fd = init->options.owner_fd, .events = POLLIN },
      { .fd = init->deadline_fd, .events = POLLIN },
      { .fd = init->watch_fd, .events = POLLIN },
      { .fd = init->signal_fd, .events = POLLIN },
    };
    if (poll (fds, sizeof fds / sizeof *fds, -1) < 0 && errno != EINTR)
      end_now (init, GT_FAMILY_CAUSE_SIGNAL); /* the family has lowered our limit of descriptors */
    /* Orders first: a death that the owner has caused is none of the command's own accord. */
    take_orders (init);
    if (fds[1].revents != 0)
      end_now (init, GT_FAMILY_CAUSE_KILL);
    uint64_t ticks;
    if (fds[2].revents != 0 && read (init->deadline_fd, &ticks, sizeof ticks) > 0)
      end_now (init, GT_FAMILY_CAUSE_DEADLINE);
    if (fds[3].revents != 0 && read (init->watch_fd, &ticks, sizeof ticks) > 0 && !init->ending)
      watch_limits (init);
    if (fds[4].revents != 0)
      on_signal (init);
    const bool has_members = reap (init);
    if (!has_members && init->options.command_end == GT_COMMAND_END_WAIT)
      end_now (init, GT_FAMILY_CAUSE_COMMAND);
  }
}

/* What the command has from us it has: our copies would keep its pipes and sockets open after it.
 */
static void
close_all_but_ours (const Init *init)
{
  const int standalone = init->options.status_fd < 0 ? STDERR_FILENO : -1;
  const int ours[] = { init->options.lifeline_fd, init->options.status_fd,
                       init->options.owner_fd,    init->signal_fd,
                       init->deadline_fd,         init->watch_fd,
                       init->children_fd,         standalone };
  const size_t n = sizeof ours / sizeof *ours;
  for (int from = 0;;) {
    int next = -1;
    for (size_t i = 0; i < n; i++)
      if (ours[i] >= from && (next < 0 || ours[i] < next))
        next = ours[i];
    if (next != from
        && syscall (SYS_close_range, from, next < 0 ? ~0U : (unsigned) next - 1, 0) != 0)
      for (int fd = from; fd < (next < 0 ? 4096 : next); fd++)
        close (fd);
    if (next < 0)
      return;
    from = next + 1;
  }
}

/* What we open must not become the standard input, output or error of a command that is to have it
 * closed. */
static void
occupy_standard_fds (void)
{
  int fd;
  do
    fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

static void
set_up (Init *init)
{
  occupy_standard_fds ();
  sigset_t all;
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, NULL);
  init->is_pid1 = getpid () == 1;
  if (init->options.signals == SIGNALS_AUTO)
    init->options.signals = init->is_pid1 ? SIGNALS_FORWARD : SIGNALS_END;
  /* Ctrl-C at the owner's terminal reaches the owner alone, who decides. */
  if (init->options.session == SESSION_OWN)
    (void) setsid ();
  if (!init->options.pgroup && prctl (PR_SET_CHILD_SUBREAPER, 1) < 0)
    die (init, "PR_SET_CHILD_SUBREAPER");
  /* A family of the same user can stop us. When the owner dies then, this wakes us, to find that
   * out; at any other time it means nothing, so it does not matter that it comes with the owner's
   * thread. */
  if (init->options.owner_fd >= 0)
    (void) prctl (PR_SET_PDEATHSIG, SIGCONT);
  /* An inherited "ignore SIGCHLD" would reap the family behind our back. */
  reset_signal (SIGCHLD);
  (void) signal (SIGPIPE, SIG_IGN);
  init->signal_fd = signalfd (-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  if (init->signal_fd < 0)
    die (init, "signalfd");
  if (init->options.status_fd >= 0)
    (void) fcntl (init->options.status_fd, F_SETFL,
                  fcntl (init->options.status_fd, F_GETFL) | O_NONBLOCK);
  init->children_fd = open_own_children ();
  init->deadline_fd = -1;
  if (init->options.deadline_ns != INT64_MAX)
    set_deadline (init, init->options.deadline_ns);
  start_watch (init);
  struct sched_attr attr = { .size = sizeof attr };
  if (syscall (SYS_sched_getattr, 0, &attr, sizeof attr, 0) == 0) {
    attr.sched_runtime = OWN_SLICE_NS;
    (void) syscall (SYS_sched_setattr, 0, &attr, 0);
  }
}

/* What the command left behind may have used the rest; it is in the account now that it is reaped.
 */
static void
judge_cpu (Init *init)
{
  if (init->cause != GT_FAMILY_CAUSE_COMMAND || init->released || !is_cpu_spent (init))
    return;
  init->cause = GT_FAMILY_CAUSE_CPU;
  tell (init, "ending %d", (int) init->cause);
}

int
main (int argc, char **argv)
{
  Init init = { .options = parse_options (argc, argv) };
  set_up (&init);
  if (init.options.command[0] != NULL)
    start_command (&init);
  close_all_but_ours (&init);
  /* A family must not keep a folder busy that it left. */
  (void) !chdir ("/");
  watch (&init);
  if (init.released)
    release_family (&init);
  else
    end_family (&init);
  judge_cpu (&init);
  tell_usage (&init);
  remove_cgroups (&init);
  if (init.options.remove_dir != NULL)
    remove_tree (&init, init.options.remove_dir);
  tell (&init, "gone 0");
  /* Not exit(): nothing is buffered, and a leak check of a sanitizer would wait for signals that
   * are blocked here. */
  _exit (exit_code (init.command_status));
}
