/* gilotine-case REPORT ACT [NUMBER]: a command that behaves badly in exactly one way, for
 * `gilotine lab run-tools`.
 * gilotine-case exec FD COMMAND...: writes the time to FD, then becomes COMMAND: what starts
 * processes learns that they have started only when the scheduler lets it.
 *
 * REPORT is a FIFO. Every process of the command keeps it open for writing, opened here and not
 * inherited from the tool, so its reader sees the end of file at the instant the last of them is
 * dead. "b NS" is written when main() begins, "r NS" when everything the act sets up is in place
 * (CLOCK_MONOTONIC ns). Plain C, static: its start-up must not blur what is measured.
 *
 * Whatever nobody ends, ends by itself after LIFE_S. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  LIFE_S = 9,
  STORM_CHAINS = 4,
  STORM_STEP_NS = 1000000,
  EXIT_BROKEN = 99,
  EXIT_MISSING = 127
};

#define ACTS(X)                                                                                    \
  X (exit)     /* with this code, at once */                                                       \
  X (die)      /* by this signal, at once */                                                       \
  X (wait)     /* the well-behaved: does nothing until a signal ends it */                         \
  X (child)    /* and so does a child */                                                           \
  X (group)    /* a child in a process group of its own */                                         \
  X (session)  /* a child in a session of its own */                                               \
  X (daemon)   /* a daemon: session of its own, no parent */                                       \
  X (stubborn) /* ignores every signal that can be ignored */                                      \
  X (stop)     /* stops itself */                                                                  \
  X (leave)    /* leaves a daemon and exits with 0 */                                              \
  X (hold)     /* leaves a child that holds standard output and exits with 0 */                    \
  X (storm)    /* chains of processes, each in a new session, started by one that is already gone */

static int report_fd;
static struct timespec life_end;

static void
say_to (int fd, char what)
{
  struct timespec now;
  char line[32];
  clock_gettime (CLOCK_MONOTONIC, &now);
  int length
      = snprintf (line, sizeof line, "%c %lld\n", what, now.tv_sec * 1000000000LL + now.tv_nsec);
  if (write (fd, line, (size_t) length) != length)
    _exit (EXIT_BROKEN);
}

static void
say (char what)
{
  say_to (report_fd, what);
}

static void
live (void)
{
  while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &life_end, NULL) == EINTR) {
  }
}

static pid_t
fork_or_die (void)
{
  pid_t pid = fork ();
  if (pid < 0)
    _exit (EXIT_BROKEN);
  return pid;
}

static void
close_output (void)
{
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  dup2 (null, STDOUT_FILENO);
  dup2 (null, STDERR_FILENO);
}

/* A child that does what `leave_home` says, says that it is ready and lives. */
static void
start_child (pid_t (*leave_home) (void))
{
  if (fork_or_die () > 0)
    return;
  leave_home ();
  say ('r');
  live ();
  _exit (0);
}

static pid_t
stay (void)
{
  return 0;
}

static pid_t
own_group (void)
{
  return setpgid (0, 0);
}

static void
start_daemon (void)
{
  pid_t parent = fork_or_die ();
  if (parent > 0) {
    waitpid (parent, NULL, 0);
    return;
  }
  setsid ();
  if (fork_or_die () > 0)
    _exit (0);
  close_output ();
  say ('r');
  live ();
  _exit (0);
}

static int
act_exit (int code)
{
  return code;
}

static int
act_die (int signo)
{
  raise (signo);
  return EXIT_BROKEN;
}

static int
act_wait (int unused)
{
  (void) unused;
  say ('r');
  live ();
  return 0;
}

static int
act_child (int unused)
{
  (void) unused;
  start_child (stay);
  live ();
  return 0;
}

static int
act_group (int unused)
{
  (void) unused;
  start_child (own_group);
  live ();
  return 0;
}

static int
act_session (int unused)
{
  (void) unused;
  start_child (setsid);
  live ();
  return 0;
}

static int
act_daemon (int unused)
{
  (void) unused;
  start_daemon ();
  live ();
  return 0;
}

static int
act_stubborn (int unused)
{
  (void) unused;
  for (int signo = 1; signo < NSIG; signo++)
    signal (signo, SIG_IGN); /* KILL and STOP answer EINVAL */
  say ('r');
  live ();
  return 0;
}

static int
act_stop (int unused)
{
  (void) unused;
  say ('r');
  raise (SIGSTOP);
  live ();
  return 0;
}

static int
act_leave (int unused)
{
  (void) unused;
  start_daemon ();
  return 0;
}

static int
act_hold (int unused)
{
  (void) unused;
  start_child (stay);
  return 0;
}

/* One process after the other, so that who lists the family and then kills comes too late. */
static void
run_chain (void)
{
  const struct timespec step = { .tv_nsec = STORM_STEP_NS };
  struct timespec now;
  do {
    setsid ();
    nanosleep (&step, NULL);
    clock_gettime (CLOCK_MONOTONIC, &now);
    if (fork_or_die () > 0)
      _exit (0);
  } while (now.tv_sec < life_end.tv_sec);
  _exit (0);
}

static int
act_storm (int unused)
{
  (void) unused;
  signal (SIGCHLD, SIG_IGN);
  for (int i = 0; i < STORM_CHAINS; i++)
    if (fork_or_die () == 0)
      run_chain ();
  say ('r');
  live ();
  return 0;
}

static const struct {
  const char *name;
  int (*act) (int number);
} acts[] = {
#define X(name) { #name, act_##name },
  ACTS (X)
#undef X
};

static int
become (const char *fd_text, char **command)
{
  int fd = (int) strtol (fd_text, NULL, 10);
  fcntl (fd, F_SETFD, FD_CLOEXEC);
  say_to (fd, 'x');
  execvp (command[0], command);
  fprintf (stderr, "gilotine-case: %s: %s\n", command[0], strerror (errno));
  return EXIT_MISSING;
}

int
main (int argc, char **argv)
{
  if (argc < 3) {
    fputs ("usage: gilotine-case FIFO ACT [NUMBER]\n", stderr);
    return EXIT_BROKEN;
  }
  if (argc > 3 && strcmp (argv[1], "exec") == 0)
    return become (argv[2], argv + 3);
  report_fd = open (argv[1], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (report_fd < 0) {
    fprintf (stderr, "gilotine-case: %s: %s\n", argv[1], strerror (errno));
    return EXIT_BROKEN;
  }
  clock_gettime (CLOCK_MONOTONIC, &life_end);
  life_end.tv_sec += LIFE_S;
  say ('b');
  for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
    if (strcmp (acts[i].name, argv[2]) == 0)
      return acts[i].act (argc > 3 ? (int) strtol (argv[3], NULL, 10) : 0);
  fprintf (stderr, "gilotine-case: no act '%s'\n", argv[2]);
  return EXIT_BROKEN;
}
