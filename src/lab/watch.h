/* The eye of a run: one poll loop over the sampling timer, the subject's trace socket, its log, the
 * broker's replies, the family's news and the user's signals. Everything seen is recorded at once.
 * Not thread-safe. */
#pragma once

#include "broker/broker.h"
#include "lab/observer.h"
#include "os/family.h"

#include <stdio.h>

typedef struct GtWatch GtWatch;

/* What has happened to the subject that is watched. */
typedef struct {
  gboolean task_started;
  gboolean task_ended; /* its own word */
  gboolean result_came;
  gboolean worker_ended;
  guint iterations_told;
} GtWatchState;

typedef enum {
  GT_WAIT_STARTED, /* the task has started, or the worker ended */
  GT_WAIT_DONE,    /* the task and its result are there, or the worker ended */
  GT_WAIT_IDLE,    /* no process of its work goes on */
} GtWaitFor;

typedef enum { GT_WAIT_MET, GT_WAIT_TIMED_OUT, GT_WAIT_FAILED } GtWaitResult;

/* Binds the trace socket at trace_path. raw and observer are borrowed; signal_fd (a signalfd) too.
 */
GtWatch *gt_watch_new (GtRaw *raw, GtObserver *observer, const char *trace_path, int signal_fd,
                       GError **error);
void gt_watch_free (GtWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtWatch, gt_watch_free)

/* Called after every turn of the loop, for a progress line. */
void gt_watch_set_tick (GtWatch *watch, void (*tick) (gpointer data), gpointer data);

/* Begins with a subject, which was sent this task: other tasks' events and results are none of its.
 * log_fd: read end of its output; log_file: a copy for people. All borrowed
 * until gt_watch_end(). Samples are taken every sample_ms. */
gboolean gt_watch_begin (GtWatch *watch, const char *subject, const char *task_id, GtFamily *family,
                         GtBroker *broker, int log_fd, FILE *log_file, guint sample_ms,
                         GError **error);

/* FAILED with GT_LAB_ERROR_INTERRUPTED when a signal came. */
GtWaitResult gt_watch_wait (GtWatch *watch, GtWaitFor what, GtInstant until, GError **error);

/* Stops sampling; takes in what is left in the trace socket and the log. Call after the family was
 * ended. */
gboolean gt_watch_end (GtWatch *watch, GError **error);

const GtWatchState *gt_watch_state (const GtWatch *watch);
