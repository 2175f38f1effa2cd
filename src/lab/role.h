/* What a process of a subject's family is there for, told from outside. Pure. */
#pragma once

#include <glib.h>

/* Multiprocessing's own helpers, which stay for as long as the worker does: the resource tracker,
 * and the fork server itself. Its children have the same command line, but another parent than the
 * process that runs the task (or the reaper, when that one is gone). */
gboolean gt_role_is_helper (const char *cmdline, gint64 parent_pid, gint64 subject_pid,
                            gint64 root_pid);
