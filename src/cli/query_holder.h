/* Who holds a database file. */
#pragma once

#include <glib.h>

typedef struct {
  gint64 pid; /* 0: not known */
  char *text; /* "pid 4711 (python3 load.py)", "a process of another machine or user" */
} GtQueryHolder;

/* Asks the kernel, which knows pids as we see them: an executor in a PID namespace does not. It is
 * only asked, nothing is locked. FALSE: nobody holds it now. */
gboolean gt_query_holder_find (const char *path, GtQueryHolder *holder);

void gt_query_holder_clear (GtQueryHolder *holder);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtQueryHolder, gt_query_holder_clear)
