/* Signals to all members of a family, for those that are not in the command's process group. */
#pragma once

#include "os/family.h"

/* Sends signo (and SIGCONT, so that a stopped one can take it) to every descendant of the family's
 * keeper except the command itself; with `group` not 0, to those in that process group. One look at
 * /proc: what is forked meanwhile is missed; the kill that follows the grace misses nothing.
 * Returns how many it was sent to. */
guint gt_run_signal_members (const GtFamily *family, int signo, pid_t group);

/* "sleep (process 71), sh (process 72)": who is alive below the keeper; "" when nobody is. Free
 * with g_free(). */
char *gt_run_name_members (const GtFamily *family);
