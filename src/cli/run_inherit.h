/* What `gilotine run` was started with and hands on to the command: descriptors, signal state,
 * environment. */
#pragma once

#include "os/clock.h"
#include "os/family.h"
#include "os/spawn.h"

#include <signal.h>

typedef struct {
  GArray *fds;             /* GtFdMap: each inherited descriptor to its own number */
  guint64 ignored_signals; /* bit signo - 1, for the command */
  guint64 blocked_signals;
  sigset_t watched; /* blocked here, to be read from a signalfd */
  GStrv env;
  GtRlimit files;  /* descriptors, as the command is to have it */
  guint n_rlimits; /* 1 when ours is another */
} GtRunInherited;

/* To be called before anything opens a descriptor. `first_signo` (that of -s) works also when it
 * is ignored here. `private_fd` stays ours (-1: none). A soft limit of descriptors is raised for us
 * alone, as far as it may be. From here on the watched signals are blocked and SIGCHLD is at
 * default. */
void gt_run_inherit (GtRunInherited *inherited, int first_signo, int private_fd);
void gt_run_inherited_clear (GtRunInherited *inherited);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtRunInherited, gt_run_inherited_clear)

/* Sets GILOTINE_DEADLINE in the command's environment; GT_NEVER: leaves it as it is. */
void gt_run_set_deadline (GtRunInherited *inherited, GtInstant deadline);

/* Closes all that only the command needs, so that nobody waits for a pipe that we hold open. Keeps
 * standard error, for what is to be said, and `private_fd`. */
void gt_run_close_inherited (const GtRunInherited *inherited);

/* As signo is at default and alone: ends this process by it, without a core. Returns when the
 * signal does not end processes. */
void gt_run_die_by (int signo);
