/* How a subject is started: the command line and the environment of its Celery worker. Pure. */
#pragma once

#include "lab/runtime.h"

/* What all workers of one run share. Borrowed. */
typedef struct {
  const char *broker_url;
  const char *trace_path;  /* socket for trace events */
  const char *mark;        /* GILOTINE_MARK: the run's */
  const char *subject_dir; /* lab/subject */
  const char *queue;       /* this run's own */
} GtWorkerContext;

/* NULL-terminated; free with g_strfreev(). */
char **gt_worker_argv (const GtSubject *subject, const GtRuntimes *runtimes,
                       const GtWorkerContext *context);

/* Our own environment without what would change an interpreter behind our back (PYTHON*, CELERY*
 * and the subject's own variables), plus the subject's. */
char **gt_worker_env (const GtSubject *subject, const GtRuntimes *runtimes,
                      const GtWorkerContext *context);
