/* --on-soft: a shell command that is run when the time is over, before the first signal. */
#pragma once

#include "cli/run_inherit.h"
#include "os/family.h"

/* Until when it may run: half of what is left until the kill, or one second when there is no kill.
 */
GtInstant gt_run_hook_limit (GtInstant hard);

/* From the limit to the kill when the first signal is SIGKILL: 0 without a hook. */
gint64 gt_run_hook_room_ns (gboolean has_hook);

/* Its output goes to our standard error; it is a family of its own and ended as a whole at `until`.
 * NULL when it could not be started, which has been said. */
GtFamily *gt_run_hook_start (const char *command, const GtRunInherited *inherited, pid_t late_pid,
                             GtInstant until);

gboolean gt_run_hook_done (GtFamily *hook);
