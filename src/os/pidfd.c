#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int
gt_pidfd_open (pid_t pid)
{
  return (int) syscall (SYS_pidfd_open, pid, 0);
}

gboolean
gt_pidfd_signal (int pidfd, int signo)
{
  return syscall (SYS_pidfd_send_signal, pidfd, signo, NULL, 0) == 0;
}

gboolean
gt_pidfd_ended (int pidfd)
{
  struct pollfd p = { .fd = pidfd, .events = POLLIN };
  return poll (&p, 1, 0) > 0;
}

gboolean
gt_pidfd_reap (int pidfd, GtReaped *reaped)
{
  siginfo_t info = { 0 };
  *reaped = (GtReaped){ 0 };
  /* The raw call: glibc's waitid() hides the fifth argument. */
  if (syscall (SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG | __WALL, &reaped->usage) != 0)
    return errno == ECHILD;
  if (info.si_pid == 0)
    return FALSE;
  reaped->known = TRUE;
  reaped->wait_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
  return TRUE;
}

pid_t
gt_pidfd_pid (int pidfd)
{
  char path[64], text[512];
  (void) g_snprintf (path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  ssize_t length = read (fd, text, sizeof text - 1);
  close (fd);
  text[MAX (length, 0)] = '\0';
  const char *found = strstr (text, "\nPid:");
  long pid = found != NULL ? strtol (found + strlen ("\nPid:"), NULL, 10) : 0;
  return pid > 0 ? (pid_t) pid : 0;
}
