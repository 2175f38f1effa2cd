/* Points in time. Deadlines never use the wall clock: it jumps. */
#pragma once

#include <glib.h>

#define GT_NSEC_PER_SEC  G_GINT64_CONSTANT (1000000000)
#define GT_NSEC_PER_MSEC G_GINT64_CONSTANT (1000000)

/* An instant on CLOCK_MONOTONIC, in nanoseconds. A struct of one field, so that a duration or a
 * wall-clock time cannot be passed by mistake. GT_NEVER sorts after every other instant. */
typedef struct {
  gint64 ns;
} GtInstant;

#define GT_NEVER ((GtInstant){ G_MAXINT64 })

GtInstant gt_instant_now (void);

/* at + duration_ns; saturates at GT_NEVER instead of overflowing, and NEVER stays NEVER. */
GtInstant gt_instant_add (GtInstant at, gint64 duration_ns);

/* Nanoseconds from `from` until `until`; 0 when it has passed, G_MAXINT64 for GT_NEVER. */
gint64 gt_instant_until (GtInstant from, GtInstant until);

/* The same from now, in milliseconds rounded up (so that poll() does not spin through the last
 * one), -1 for GT_NEVER, at most G_MAXINT: what poll(2) takes. */
int gt_instant_poll_ms (GtInstant until);
