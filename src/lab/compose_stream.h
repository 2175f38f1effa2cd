/* What an observer in a container saw (observe.h), read from its standard output and recorded as if
 * it had been seen here. Not thread-safe. */
#pragma once

#include "lab/raw.h"
#include "lab/sight.h"

typedef struct GtStream GtStream;

/* fd is the read end, and becomes the stream's; raw, subject and task_id are borrowed. */
GtStream *gt_stream_new (int fd, GtRaw *raw, const char *subject, const char *task_id);
void gt_stream_free (GtStream *stream);

/* Readable when gt_stream_look() has something to do; stays the stream's. */
int gt_stream_fd (const GtStream *stream);

/* Takes in what is there. What is no record of an observer is an error (GT_LAB_ERROR_SYSTEM). */
gboolean gt_stream_look (GtStream *stream, GtWatchState *state, GError **error);

/* The observer has said that it is ready; or it has ended and will say nothing any more. */
gboolean gt_stream_ready (const GtStream *stream);
gboolean gt_stream_ended (const GtStream *stream);

/* From now on samples are left out: the subject is being ended. */
void gt_stream_stop_sampling (GtStream *stream);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtStream, gt_stream_free)
