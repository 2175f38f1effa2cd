#include "cli/run_inherit.h"

#include "deadline/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static guint64
bit (int signo)
{
  return G_GUINT64_CONSTANT (1) << (signo - 1);
}

/* By the system call: glibc keeps two signals for itself and tells nothing of them, but they are
 * inherited like the others. The kernel's struct begins with the handler. */
static gboolean
is_ignored (int signo)
{
  gulong action[8] = { 0 };
  return syscall (SYS_rt_sigaction, signo, NULL, action, sizeof (gulong)) == 0
         && action[0] == (gulong) SIG_IGN;
}

static void
add_fd (GArray *fds, int fd, int private_fd)
{
  int flags = fcntl (fd, F_GETFD);
  if (fd != private_fd && flags >= 0 && (flags & FD_CLOEXEC) == 0)
    g_array_append_val (fds, ((GtFdMap){ fd, fd }));
}

static void
list_fds (GArray *fds, int private_fd)
{
  DIR *dir = opendir ("/proc/self/fd");
  if (dir == NULL) { /* no /proc: the standard ones at least */
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
      add_fd (fds, fd, private_fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir (dir)) != NULL;)
    if (g_ascii_isdigit (entry->d_name[0]))
      add_fd (fds, (int) strtol (entry->d_name, NULL, 10), private_fd);
  closedir (dir);
}

/* Not watched: what cannot be, what only a fault of our own raises, and what the kernel tells us
 * for its own ends. */
static gboolean
is_watchable (int signo)
{
  static const int not []
      = { SIGKILL, SIGSTOP,   SIGSEGV, SIGILL, SIGBUS,  SIGFPE,  SIGTRAP, SIGABRT,
          SIGSYS,  SIGVTALRM, SIGPROF, SIGURG, SIGXCPU, SIGXFSZ, 32,      33 };
  for (gsize i = 0; i < G_N_ELEMENTS (not ); i++)
    if (not [i] == signo)
      return FALSE;
  return TRUE;
}

/* Whoever started us may have ignored a signal. nohup and a shell's background jobs mean it: HUP,
 * INT, QUIT stay ignored, for us and for the command. TERM, ALRM and the first signal must work, as
 * in timeout(1): so at default for both; TTIN and TTOU, too, as a shell does for its jobs. */
static gboolean
must_work (int signo, int first_signo)
{
  return signo == SIGTERM || signo == SIGALRM || signo == SIGTTIN || signo == SIGTTOU
         || signo == SIGCHLD || signo == first_signo;
}

/* We need more of them than timeout(1): the limit may leave room for the command's own only. */
static void
raise_files (GtRunInherited *inherited)
{
  struct rlimit files;
  if (getrlimit (RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
    return;
  inherited->files = (GtRlimit){ RLIMIT_NOFILE, files };
  files.rlim_cur = files.rlim_max;
  inherited->n_rlimits = setrlimit (RLIMIT_NOFILE, &files) == 0 ? 1 : 0;
}

void
gt_run_inherit (GtRunInherited *inherited, int first_signo, int private_fd)
{
  *inherited = (GtRunInherited){ .fds = g_array_new (FALSE, FALSE, sizeof (GtFdMap)) };
  raise_files (inherited);
  list_fds (inherited->fds, private_fd);
  sigset_t mask;
  sigprocmask (SIG_BLOCK, NULL, &mask);
  sigemptyset (&inherited->watched);
  for (int signo = 1; signo <= SIGRTMAX; signo++) {
    gboolean ignored = is_ignored (signo);
    if (sigismember (&mask, signo) == 1 && signo != SIGCHLD)
      inherited->blocked_signals |= bit (signo);
    if (ignored && !must_work (signo, first_signo))
      inherited->ignored_signals |= bit (signo);
    else {
      if (ignored)
        signal (signo, SIG_DFL);
      if (is_watchable (signo))
        sigaddset (&inherited->watched, signo);
    }
  }
  /* The set, not an addition to it: a blocked SIGCONT or SIGSEGV of the caller is not for us. */
  sigprocmask (SIG_SETMASK, &inherited->watched, NULL);
  inherited->env = g_get_environ ();
}

void
gt_run_inherited_clear (GtRunInherited *inherited)
{
  g_clear_pointer (&inherited->fds, g_array_unref);
  g_clear_pointer (&inherited->env, g_strfreev);
}

void
gt_run_set_deadline (GtRunInherited *inherited, GtInstant deadline)
{
  char text[32];
  if (deadline.ns == GT_NEVER.ns)
    return;
  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, deadline.ns);
  inherited->env = g_environ_setenv (inherited->env, GT_DEADLINE_ENV, text, TRUE);
}

void
gt_run_close_inherited (const GtRunInherited *inherited)
{
  int null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0)
    return;
  for (guint i = 0; i < inherited->fds->len; i++) {
    int fd = g_array_index (inherited->fds, GtFdMap, i).source;
    if (fd == STDIN_FILENO || fd == STDOUT_FILENO)
      dup2 (null_fd, fd);
    else if (fd != STDERR_FILENO)
      close (fd);
  }
  close (null_fd);
}

void
gt_run_die_by (int signo)
{
  const struct rlimit none = { 0, 0 };
  sigset_t only;
  sigemptyset (&only);
  sigaddset (&only, signo);
  setrlimit (RLIMIT_CORE, &none);
  prctl (PR_SET_DUMPABLE, 0);
  signal (signo, SIG_DFL);
  sigprocmask (SIG_UNBLOCK, &only, NULL);
  raise (signo);
}
