#include "lab/stop.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t
stop_signals (void)
{
  sigset_t set;
  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGHUP);
  return set;
}

void
gt_stop_begin (GtStop *stop)
{
  const sigset_t set = stop_signals ();
  pthread_sigmask (SIG_BLOCK, &set, &stop->old_mask);
  stop->fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

gboolean
gt_stop_asked (const GtStop *stop)
{
  struct pollfd fd = { .fd = stop->fd, .events = POLLIN };
  return poll (&fd, 1, 0) > 0;
}

void
gt_stop_end (GtStop *stop)
{
  const sigset_t set = stop_signals ();
  const struct timespec at_once = { 0 };
  if (stop->fd < 0)
    return;
  close (stop->fd);
  stop->fd = -1;
  while (sigtimedwait (&set, NULL, &at_once) > 0) {
  }
  pthread_sigmask (SIG_SETMASK, &stop->old_mask, NULL);
}
