/* One query under an engine of its own: the job, its rows, signals, a file that others hold. */
#pragma once

#include "cli/query_feed.h"
#include "cli/query_holder.h"
#include "cli/query_options.h"

typedef struct {
  const GtQueryOptions *options;
  GtLimits limits;
  GtQueryOut *out;
  GtQueryLook look;

  /* What it came to. */
  GtJobResult *result;  /* NULL: no engine or no executor could be started: `error` */
  GtQueryHolder holder; /* of the database file, when it was met locked */
  gint64 waited_ns;     /* for the file */
  int signo;            /* that ended it; 0: none */
  int write_errno;      /* of the rows; EPIPE: nobody reads them any more */
  gboolean undelivered; /* rows were still on their way when the limit or a signal ended it */
  char *problem;        /* an answer that is none; NULL */
  guint64 rows;
} GtQueryTask;

/* Runs it to its end: nothing of it is left when this returns. FALSE and `error`: it was not begun.
 * Only once in a process: it takes over signals. */
gboolean gt_query_task_run (GtQueryTask *task, GError **error);

void gt_query_task_clear (GtQueryTask *task);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtQueryTask, gt_query_task_clear)
