/* Which of the messages in flight the broker has confirmed. Tags count from 1. Pure. */
#pragma once

#include <glib.h>

/* Messages in flight at most: enough to keep the broker busy over a round trip. A power of two. */
#define GT_CONFIRMS_WINDOW 8192

typedef struct {
  guint64 lowest; /* the first that is not confirmed */
  guint64 next;   /* the tag of the next message */
  guint8 done[GT_CONFIRMS_WINDOW];
} GtConfirms;

/* Told of tags that became confirmed, each once. */
typedef void (*GtConfirmsFunc) (guint64 first, guint64 last, gpointer data);

void gt_confirms_init (GtConfirms *confirms);
guint64 gt_confirms_in_flight (const GtConfirms *confirms);

/* The tag for a message that is about to be sent; the caller keeps in_flight below the window. */
guint64 gt_confirms_add (GtConfirms *confirms);

/* The broker's ack: of `tag`, or of all up to it. FALSE for a tag that is not in flight. */
gboolean gt_confirms_ack (GtConfirms *confirms, guint64 tag, gboolean multiple, GtConfirmsFunc func,
                          gpointer data);
