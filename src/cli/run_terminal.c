#include "cli/run_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The command stays in our process group where timeout(1) at a shell prompt does it too: in a job
 * of its own, or part of one. And also inside a script, when its input or output is the terminal: a
 * group of its own would be one in the background, stopped at its first read. Handing the
 * foreground over to a new group instead would take the terminal away from the other side of "run
 * 10 producer | less". */
void
gt_run_terminal_open (GtRunTerminal *terminal, gboolean forced)
{
  *terminal
      = (GtRunTerminal){ .fd = open ("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), .shared = forced };
  if (terminal->fd < 0)
    return;
  gboolean own_job = getpgrp () == getpid () || getpgid (getppid ()) != getpgrp ();
  if (own_job || isatty (STDIN_FILENO) || isatty (STDOUT_FILENO))
    terminal->shared = TRUE;
  terminal->foreground = tcgetpgrp (terminal->fd);
  terminal->saved = tcgetattr (terminal->fd, &terminal->modes) == 0;
}

/* SIGTTOU is blocked all the time (run_inherit.c), so a background process may do this. */
void
gt_run_terminal_restore (const GtRunTerminal *terminal, gboolean killed)
{
  if (terminal->fd < 0 || !terminal->shared)
    return;
  const pid_t ours = getpgrp ();
  pid_t foreground = tcgetpgrp (terminal->fd);
  if (foreground != ours && terminal->foreground == ours && foreground > 0
      && kill (-foreground, 0) != 0 && errno == ESRCH && tcsetpgrp (terminal->fd, ours) == 0)
    foreground = ours;
  /* Not TCSADRAIN: it would wait for a terminal stopped by Ctrl-S. */
  if (killed && terminal->saved && foreground == ours)
    tcsetattr (terminal->fd, TCSANOW, &terminal->modes);
}
