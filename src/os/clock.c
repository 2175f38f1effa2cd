#include "os/clock.h"

#include <errno.h>
#include <time.h>

GtInstant
gt_instant_now (void)
{
  struct timespec ts;
  if (clock_gettime (CLOCK_MONOTONIC, &ts) != 0)
    g_error ("clock_gettime(CLOCK_MONOTONIC): %s", g_strerror (errno));
  return (GtInstant){ (gint64) ts.tv_sec * GT_NSEC_PER_SEC + ts.tv_nsec };
}

GtInstant
gt_instant_add (GtInstant at, gint64 duration_ns)
{
  gint64 sum;
  if (at.ns == GT_NEVER.ns || __builtin_add_overflow (at.ns, duration_ns, &sum))
    return duration_ns < 0 && at.ns != GT_NEVER.ns ? (GtInstant){ 0 } : GT_NEVER;
  return (GtInstant){ sum };
}

gint64
gt_instant_until (GtInstant from, GtInstant until)
{
  if (until.ns == GT_NEVER.ns)
    return G_MAXINT64;
  return until.ns > from.ns ? until.ns - from.ns : 0;
}

int
gt_instant_poll_ms (GtInstant until)
{
  gint64 ns = gt_instant_until (gt_instant_now (), until);
  if (ns == G_MAXINT64)
    return -1;
  gint64 ms = ns / GT_NSEC_PER_MSEC + (ns % GT_NSEC_PER_MSEC != 0);
  return (int) MIN (ms, (gint64) G_MAXINT);
}
