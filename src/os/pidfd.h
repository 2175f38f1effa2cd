/* Handles of processes. Unlike a pid, one never comes to mean somebody else. */
#pragma once

#include <glib.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What a process became when it was reaped. */
typedef struct {
  gboolean known;  /* FALSE: somebody else reaped it, or SIGCHLD is ignored; the rest is zero */
  int wait_status; /* as of waitpid(2) */
  struct rusage usage;
} GtReaped;

/* -1 and errno. Race-free for our own unreaped children, and for ourselves. */
int gt_pidfd_open (pid_t pid);

/* FALSE and errno; ESRCH when it has ended. */
gboolean gt_pidfd_signal (int pidfd, int signo);

/* Whether it has ended (reaped or not). Never blocks. */
gboolean gt_pidfd_ended (int pidfd);

/* Reaps our child without blocking. FALSE while it lives. */
gboolean gt_pidfd_reap (int pidfd, GtReaped *reaped);

/* The pid as seen from our /proc; 0 when it has been reaped or is not visible from here. */
pid_t gt_pidfd_pid (int pidfd);
