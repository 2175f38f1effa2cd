/* Watches one family from outside, through /proc, and records what it sees. It changes nothing of
 * what it measures: it never asks, signals or waits for a member.
 *
 * One observer serves all subjects of a run, one after the other. Not thread-safe. */
#pragma once

#include "lab/raw.h"

#include <sys/types.h>

typedef struct GtObserver GtObserver;

/* `raw` is borrowed and must outlive it. */
GtObserver *gt_observer_new (GtRaw *raw, GError **error);
void gt_observer_free (GtObserver *observer);

/* From now on: this subject, whose family has this root. `subject` is borrowed until the next. */
gboolean gt_observer_begin (GtObserver *observer, const char *subject, pid_t root_pid,
                            GError **error);

/* The task runs in this process, and starts now: what appears from here on is its work. */
void gt_observer_task_started (GtObserver *observer, pid_t subject_pid);

/* One sample, recorded. */
gboolean gt_observer_sample (GtObserver *observer, GError **error);

/* Of the last sample: processes of the task's work (helpers left out) that have not ended. */
guint gt_observer_working (const GtObserver *observer);

/* Processes anywhere that carry this mark, whoever their parents are: 0 is the proof that a run has
 * left nothing. -1 and `error` when /proc cannot be read. */
int gt_observer_count_marked (const char *mark, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtObserver, gt_observer_free)
