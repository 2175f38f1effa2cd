/* A run's watch over one subject: one poll loop over what is seen of it (sight.h), its log, the
 * broker's replies and the user's signals. Everything is recorded at once. Not thread-safe. */
#pragma once

#include "broker/broker.h"
#include "lab/raw.h"
#include "lab/sight.h"
#include "os/clock.h"

#include <stdio.h>

typedef struct GtWatch GtWatch;

typedef enum {
  GT_WAIT_STARTED, /* the task has started, or the worker ended */
  GT_WAIT_DONE,    /* the task and its result are there, or the worker ended */
  GT_WAIT_IDLE,    /* no process of its work goes on */
} GtWaitFor;

typedef enum { GT_WAIT_MET, GT_WAIT_TIMED_OUT, GT_WAIT_FAILED } GtWaitResult;

/* raw and signal_fd (a signalfd) are borrowed. */
GtWatch *gt_watch_new (GtRaw *raw, int signal_fd);
void gt_watch_free (GtWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtWatch, gt_watch_free)

/* Called after every turn of the loop, for a progress line. */
void gt_watch_set_tick (GtWatch *watch, void (*tick) (gpointer data), gpointer data);

/* A subject, which was sent this task: other tasks' results are none of its. All borrowed until
 * gt_watch_end(). */
typedef struct {
  const char *subject, *task_id;
  GtBroker *broker;
  GtSight sight;
  int log_fd;     /* read end of its output */
  FILE *log_file; /* a copy for people; NULL = none */
} GtWatched;

gboolean gt_watch_begin (GtWatch *watch, const GtWatched *watched, GError **error);

/* FAILED with GT_LAB_ERROR_INTERRUPTED when a signal came. */
GtWaitResult gt_watch_wait (GtWatch *watch, GtWaitFor what, GtInstant until, GError **error);

/* Takes in what is left of the sight and the log. Call after the subject was ended. */
gboolean gt_watch_end (GtWatch *watch, GError **error);

const GtWatchState *gt_watch_state (const GtWatch *watch);
