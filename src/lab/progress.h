/* What a person sees during a run: on a terminal one line that changes, elsewhere one line for each
 * subject. Written to standard error. */
#pragma once

#include "lab/experiment.h"
#include "lab/watch.h"

typedef struct GtProgress GtProgress;

/* `subjects` (GtSubject) is borrowed. Not enabled: only gt_progress_say() writes. */
GtProgress *gt_progress_new (gboolean enabled, const GPtrArray *subjects);
void gt_progress_free (GtProgress *progress);

/* Subject number `index` will take no time. */
void gt_progress_will_skip (GtProgress *progress, guint index);

/* Follows a watch from now on. */
void gt_progress_attach (GtProgress *progress, GtWatch *watch);

void gt_progress_begin (GtProgress *progress, const GtSubject *subject, guint index);

/* A line of its own, which stays: what the user must know in any case. */
void gt_progress_warn (const GtProgress *progress, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Said when progress is wanted. */
void gt_progress_say (const GtProgress *progress, const char *format, ...) G_GNUC_PRINTF (2, 3);
