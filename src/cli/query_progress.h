/* The bar on a terminal: how far, for how long, and how much is left to the limit. */
#pragma once

#include "deadline/limits.h"

typedef struct {
  GMutex lock; /* over the terminal: rows and bar must not mix */
  gboolean wanted, drawn;
  GtInstant began;
  GtInstant limit; /* soft, or else hard; GT_NEVER = none */
  gboolean limit_is_soft;
} GtQueryProgress;

/* `wanted`: standard error is asked whether it is a terminal that can do it. */
void gt_query_progress_init (GtQueryProgress *self, const GtLimits *limits, gboolean wanted);
void gt_query_progress_clear (GtQueryProgress *self);

/* Draws. percent -1: not known. `note` instead of the bar; NULL = none. */
void gt_query_progress_show (GtQueryProgress *self, double percent, const char *note);

/* Removes it; `for_good` before rows go to the same terminal. Any thread. */
void gt_query_progress_hide (GtQueryProgress *self, gboolean for_good);

/* Appends "42% [####....] 1.2 s, 0.8 s left to the soft limit", at most `columns` wide. Pure. */
void gt_query_progress_text (GString *out, double percent, gint64 elapsed_ns, gint64 left_ns,
                             gboolean soft, guint columns);
