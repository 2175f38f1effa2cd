/* From the deadline thread, which must not wait, to whoever reads the rows, who may be slow: a
 * bounded queue and a thread that writes. */
#pragma once

#include "cli/query_format.h"
#include "cli/query_out.h"
#include "cli/query_progress.h"
#include "deadline/engine.h"

typedef struct _GtQueryFeed GtQueryFeed;

/* `progress` makes room before rows go to its terminal; `event_fd` is written to when the feed has
 * come to its end. All stay the caller's. */
GtQueryFeed *gt_query_feed_new (GtQueryFormat format, GtQueryLook look, GtQueryOut *out,
                                GtQueryProgress *progress, int event_fd);

/* Before the first part: whose reading goes on when there is room again. */
void gt_query_feed_set_engine (GtQueryFeed *self, GtEngine *engine);

/* A GtJobTakePart with the feed as data. */
gboolean gt_query_feed_part (guint64 job, GtPart *part, gpointer feed);

/* No part will come any more, and the engine is not used any more. `complete`: they are the whole
 * answer; what closes it is written. */
void gt_query_feed_end (GtQueryFeed *self, gboolean complete);

/* The thread has written all, or has failed. */
gboolean gt_query_feed_is_over (GtQueryFeed *self);

/* errno of what failed, 0: nothing. EPIPE: nobody reads any more. */
int gt_query_feed_errno (GtQueryFeed *self);

/* Something that is no answer came; NULL: not so. Belongs to the feed. After it is over. */
const char *gt_query_feed_problem (GtQueryFeed *self);
guint64 gt_query_feed_rows (GtQueryFeed *self);

/* Not over: its thread sits in a write that may never end; it is left, and the feed with it. */
void gt_query_feed_free (GtQueryFeed *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtQueryFeed, gt_query_feed_free)
