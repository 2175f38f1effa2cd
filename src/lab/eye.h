/* The eye on this machine: samples of a family at a fixed distance, and one at each trace event.
 * Not thread-safe. */
#pragma once

#include "lab/observer.h"
#include "lab/sight.h"

typedef struct GtEye GtEye;

/* Binds the trace socket at trace_path. `raw` is borrowed. */
GtEye *gt_eye_new (GtRaw *raw, const char *trace_path, GError **error);
void gt_eye_free (GtEye *eye);

/* From now on: this subject, whose family has this root, and which was sent this task (NULL = any);
 * both texts are borrowed until gt_eye_close(). */
gboolean gt_eye_begin (GtEye *eye, const char *subject, const char *task_id, pid_t root_pid,
                       guint sample_ms, GError **error);

/* Readable when gt_eye_look() has something to do; stays the eye's. */
int gt_eye_fd (const GtEye *eye);
gboolean gt_eye_look (GtEye *eye, GtWatchState *state, GError **error);

/* Stops sampling, takes in the trace events that are left. */
gboolean gt_eye_close (GtEye *eye, GtWatchState *state, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtEye, gt_eye_free)
