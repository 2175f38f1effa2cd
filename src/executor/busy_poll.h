/* Whether to look for the next job for a moment before sleeping for it.
 *
 * To be woken on another CPU costs a small query's time once more (on an idle virtual machine 25 us
 * and more: bench/executor). Jobs that come one after the other are found by looking; where none
 * came, the next waits are spared the look, twice as many each time. Pure: no clock, no thread. */
#pragma once

#include <glib.h>

#define GT_BUSY_POLL_NS     100000 /* the longest look */
#define GT_BUSY_POLL_SPARED 4      /* the most waits without one */

typedef struct {
  guint spare, left; /* waits to spare after the next look in vain, and still to go */
} GtBusyPoll;        /* zero: looks at once */

/* At the begin of a wait: TRUE, look; then tell what came of it. */
gboolean gt_busy_poll_due (GtBusyPoll *self);
void gt_busy_poll_told (GtBusyPoll *self, gboolean found);
