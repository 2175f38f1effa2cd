#include "executor/busy_poll.h"

gboolean
gt_busy_poll_due (GtBusyPoll *self)
{
  if (self->left == 0)
    return TRUE;
  self->left--;
  return FALSE;
}

void
gt_busy_poll_told (GtBusyPoll *self, gboolean found)
{
  self->spare = found ? 0 : CLAMP (self->spare * 2, 1, GT_BUSY_POLL_SPARED);
  self->left = self->spare;
}
