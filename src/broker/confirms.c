#include "broker/confirms.h"

#include <string.h>

G_STATIC_ASSERT ((GT_CONFIRMS_WINDOW & (GT_CONFIRMS_WINDOW - 1)) == 0);
#define SLOT(tag) ((tag) & (GT_CONFIRMS_WINDOW - 1))

void
gt_confirms_init (GtConfirms *confirms)
{
  memset (confirms->done, 0, sizeof confirms->done);
  confirms->lowest = confirms->next = 1;
}

guint64
gt_confirms_in_flight (const GtConfirms *confirms)
{
  return confirms->next - confirms->lowest;
}

guint64
gt_confirms_add (GtConfirms *confirms)
{
  g_assert (gt_confirms_in_flight (confirms) < GT_CONFIRMS_WINDOW);
  confirms->done[SLOT (confirms->next)] = FALSE;
  return confirms->next++;
}

/* Up to `tag`, leaving out what was confirmed out of order before. */
static void
ack_up_to (GtConfirms *confirms, guint64 tag, GtConfirmsFunc func, gpointer data)
{
  guint64 first = confirms->lowest;
  for (guint64 t = confirms->lowest; t <= tag; t++)
    if (confirms->done[SLOT (t)]) {
      if (t > first)
        func (first, t - 1, data);
      first = t + 1;
    }
  if (first <= tag)
    func (first, tag, data);
  confirms->lowest = tag + 1;
}

gboolean
gt_confirms_ack (GtConfirms *confirms, guint64 tag, gboolean multiple, GtConfirmsFunc func,
                 gpointer data)
{
  if (tag == 0 && multiple)
    tag = confirms->next - 1; /* AMQP: 0 means all that are in flight */
  if (tag == 0 || tag >= confirms->next)
    return FALSE;
  if (tag < confirms->lowest)
    return multiple;
  if (multiple) {
    ack_up_to (confirms, tag, func, data);
  } else {
    if (confirms->done[SLOT (tag)])
      return FALSE;
    confirms->done[SLOT (tag)] = TRUE;
    func (tag, tag, data);
  }
  while (confirms->lowest < confirms->next && confirms->done[SLOT (confirms->lowest)])
    confirms->lowest++;
  return TRUE;
}
