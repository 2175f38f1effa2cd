/* gilotine-init: the process every family lives under.
 *
 * It is the subreaper of all that the command starts: whatever leaves by setsid or a double fork
 * comes back here as a child. It ends the whole family when the command ends (unless --linger),
 * when its lifeline closes - the owner closed it or died, by SIGKILL too - or on SIGTERM, SIGINT or
 * SIGHUP. It returns only when waitid() says ECHILD: the kernel's own word that nothing is left.
 *
 * Plain C on purpose: no library that could start a thread, block or allocate much. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* As timeout(1): our own failure, command found but not executable, command not found. */
enum { EXIT_OURS = 125, EXIT_CANNOT_EXEC = 126, EXIT_NOT_FOUND = 127 };

/* How long a folder may stay non-empty because somebody else's family still writes into it. */
enum { REMOVE_TRIES = 500, REMOVE_PAUSE_MS = 10 };

typedef struct {
  int lifeline_fd;        /* -1 = none */
  int status_fd;          /* -1 = none */
  bool linger;            /* the command's end does not end the family */
  const char *remove_dir; /* NULL = none */
  char **command;         /* command[0] NULL = none: hold until the lifeline closes */
} Options;

typedef struct {
  Options options;
  int signal_fd;
  pid_t command_pid;  /* 0 = none or reaped */
  int command_status; /* wait status, valid once command_pid is 0 again */
  bool ending;
} Init;

static void
die (const char *what)
{
  fprintf (stderr, "gilotine-init: %s: %s\n", what, strerror (errno));
  exit (EXIT_OURS);
}

/* One line an event to the owner. The owner may be gone: then nobody is there to tell. */
static void
tell (const Init *init, const char *event, int value)
{
  char line[64];
  int length = snprintf (line, sizeof line, "%s %d\n", event, value);
  if (init->options.status_fd >= 0 && length > 0)
    (void) !write (init->options.status_fd, line, (size_t) length);
}

static int
exit_code (int wait_status)
{
  if (WIFEXITED (wait_status))
    return WEXITSTATUS (wait_status);
  return 128 + WTERMSIG (wait_status);
}

/* Reaps what has ended. waitid (P_ALL) is right here and nowhere else: this process does nothing
 * but own its children, adopted ones included, whose pids it cannot know. False when none is left.
 */
static bool
reap (Init *init)
{
  for (;;) {
    siginfo_t info = { 0 };
    if (waitid (P_ALL, 0, &info, WEXITED | WNOHANG) < 0)
      return errno != ECHILD;
    if (info.si_pid == 0)
      return true;
    if (info.si_pid != init->command_pid)
      continue;
    init->command_pid = 0;
    init->command_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    tell (init, info.si_code == CLD_EXITED ? "exited" : "signaled", info.si_status);
    if (!init->options.linger)
      init->ending = true;
  }
}

static pid_t
parent_of (const char *pid_name)
{
  char path[64], text[512];
  snprintf (path, sizeof path, "/proc/%.20s/stat", pid_name);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t length = read (fd, text, sizeof text - 1);
  close (fd);
  if (length <= 0)
    return -1;
  text[length] = '\0';
  /* The name may hold anything, parentheses too: the fields go on behind the last one. */
  const char *end = strrchr (text, ')');
  return end != NULL && strlen (end) > strlen (") S ") ? (pid_t) strtol (end + 4, NULL, 10) : -1;
}

/* SIGKILL to every child. Safe by pid: only this thread reaps them, so none can be reused. Their
 * children become ours as they die, and the next round finds them. /proc/PID/task/TID/children is
 * not compiled into every kernel, so parents are read one by one. */
static void
kill_children (void)
{
  DIR *proc = opendir ("/proc");
  if (proc == NULL)
    return;
  const pid_t self = getpid ();
  for (struct dirent *entry; (entry = readdir (proc)) != NULL;)
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of (entry->d_name) == self)
      kill ((pid_t) strtol (entry->d_name, NULL, 10), SIGKILL);
  closedir (proc);
}

static void
end_family (Init *init)
{
  struct pollfd wait = { .fd = init->signal_fd, .events = POLLIN };
  while (reap (init)) {
    kill_children ();
    /* SIGCHLD wakes us at once; the time-out is for children that appear without one. */
    if (poll (&wait, 1, 2) > 0) {
      struct signalfd_siginfo ignored;
      (void) !read (init->signal_fd, &ignored, sizeof ignored);
    }
  }
}

static int
remove_entry (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void) st, (void) type, (void) ftw;
  (void) remove (path);
  return 0;
}

static void
remove_tree (const char *dir)
{
  const struct timespec pause = { 0, REMOVE_PAUSE_MS * 1000000L };
  for (int try = 0; try < REMOVE_TRIES; try++) {
    nftw (dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (access (dir, F_OK) != 0)
      return;
    nanosleep (&pause, NULL);
  }
  fprintf (stderr, "gilotine-init: %s could not be removed\n", dir);
}

/* By the system call: glibc keeps its hands on signals 32 and 33, which can be inherited as ignored
 * like any other. All zero is SIG_DFL with no flags, in whatever order the kernel has the fields.
 */
static void
reset_signal (int signo)
{
  static const unsigned long as_default[8];
  syscall (SYS_rt_sigaction, signo, as_default, NULL, sizeof (unsigned long));
}

static void
child_main (const Init *init, const sigset_t *all, pid_t parent, int error_fd)
{
  /* What was ignored or blocked when we were started would be inherited across exec. */
  for (int signo = 1; signo < NSIG; signo++)
    reset_signal (signo);
  sigprocmask (SIG_UNBLOCK, all, NULL);
  /* Second line for the command itself, should this process be killed; the check closes the race
   * with a parent that died before the call. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (EXIT_OURS);
  execvp (init->options.command[0], init->options.command);
  int error = errno;
  (void) !write (error_fd, &error, sizeof error);
  _exit (error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC);
}

/* Starts the command; an exec error comes back here as an error, not as a child that exits. */
static void
start_command (Init *init, const sigset_t *all)
{
  int error_pipe[2];
  if (pipe2 (error_pipe, O_CLOEXEC) < 0)
    die ("pipe2");
  const pid_t parent = getpid ();
  pid_t pid = fork ();
  if (pid < 0)
    die ("fork");
  if (pid == 0)
    child_main (init, all, parent, error_pipe[1]);
  close (error_pipe[1]);
  int error = 0;
  ssize_t got;
  do
    got = read (error_pipe[0], &error, sizeof error);
  while (got < 0 && errno == EINTR);
  close (error_pipe[0]);
  if (got == (ssize_t) sizeof error) {
    siginfo_t info;
    waitid (P_PID, (id_t) pid, &info, WEXITED);
    tell (init, "failed", error);
    fprintf (stderr, "gilotine-init: %s: %s\n", init->options.command[0], strerror (error));
    exit (error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC);
  }
  init->command_pid = pid;
  tell (init, "started", pid);
}

static void
on_signal (Init *init)
{
  struct signalfd_siginfo info;
  if (read (init->signal_fd, &info, sizeof info) != (ssize_t) sizeof info)
    return;
  if (info.ssi_signo != SIGCHLD)
    init->ending = true;
}

static void
watch (Init *init)
{
  while (!init->ending) {
    /* The lifeline carries no data: any event on it is its end. poll() skips a negative fd. */
    struct pollfd fds[] = {
      { .fd = init->signal_fd, .events = POLLIN },
      { .fd = init->options.lifeline_fd, .events = POLLIN },
    };
    if (poll (fds, 2, -1) < 0 && errno != EINTR)
      die ("poll");
    if (fds[1].revents != 0)
      init->ending = true;
    if (fds[0].revents != 0)
      on_signal (init);
    reap (init);
  }
}

static int
parse_fd (const char *text)
{
  char *end;
  errno = 0;
  long fd = strtol (text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || fd < 0 || fd > INT_MAX
      || fcntl ((int) fd, F_SETFD, FD_CLOEXEC) < 0) {
    fprintf (stderr, "gilotine-init: '%s' is not an open descriptor\n", text);
    exit (EXIT_OURS);
  }
  return (int) fd;
}

static void
print_help (void)
{
  puts ("Usage: gilotine-init [OPTION]... [--] [COMMAND [ARG]...]\n"
        "Runs COMMAND as the head of a family and ends the whole family with it.\n"
        "Without COMMAND it holds until the lifeline closes.\n\n"
        "  --lifeline FD   end everything when FD (a pipe's read end) reaches its end\n"
        "  --status FD     write 'started PID', 'exited CODE', 'signaled N', 'failed ERRNO', 'gone "
        "0'\n"
        "  --linger        the end of COMMAND does not end what it left running\n"
        "  --remove DIR    remove DIR when the family is gone\n\n"
        "Exit status: that of COMMAND (128+n when signal n ended it), 125 own failure,\n"
        "126 COMMAND cannot be executed, 127 COMMAND not found.");
}

static Options
parse_options (int argc, char **argv)
{
  static const struct option table[] = {
    { "lifeline", required_argument, NULL, 'l' }, { "status", required_argument, NULL, 's' },
    { "linger", no_argument, NULL, 'g' },         { "remove", required_argument, NULL, 'r' },
    { "help", no_argument, NULL, 'h' },           { 0 },
  };
  Options options = { .lifeline_fd = -1, .status_fd = -1 };
  for (int c; (c = getopt_long (argc, argv, "+h", table, NULL)) != -1;)
    switch (c) {
    case 'l':
      options.lifeline_fd = parse_fd (optarg);
      break;
    case 's':
      options.status_fd = parse_fd (optarg);
      break;
    case 'g':
      options.linger = true;
      break;
    case 'r':
      options.remove_dir = optarg;
      break;
    case 'h':
      print_help ();
      exit (0);
    default:
      exit (EXIT_OURS);
    }
  options.command = argv + optind;
  if (options.command[0] == NULL && options.lifeline_fd < 0) {
    fprintf (stderr, "gilotine-init: a COMMAND or --lifeline is needed; --help tells more\n");
    exit (EXIT_OURS);
  }
  return options;
}

int
main (int argc, char **argv)
{
  Init init = { .options = parse_options (argc, argv) };
  sigset_t all;
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, NULL);
  /* A session of its own: Ctrl-C at the owner's terminal reaches the owner alone, who decides. */
  setsid ();
  if (prctl (PR_SET_CHILD_SUBREAPER, 1) < 0)
    die ("PR_SET_CHILD_SUBREAPER");
  /* An inherited "ignore SIGCHLD" would reap the family behind our back. */
  signal (SIGCHLD, SIG_DFL);
  sigset_t watched;
  sigemptyset (&watched);
  for (const int *s = (const int[]){ SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, 0 }; *s != 0; s++)
    sigaddset (&watched, *s);
  init.signal_fd = signalfd (-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (init.signal_fd < 0)
    die ("signalfd");
  if (init.options.command[0] != NULL)
    start_command (&init, &all);
  watch (&init);
  end_family (&init);
  if (init.options.remove_dir != NULL)
    remove_tree (init.options.remove_dir);
  tell (&init, "gone", 0);
  return exit_code (init.command_status);
}
