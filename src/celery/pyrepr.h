/* A JSON value as Celery shows it to monitors: the text of argsrepr and kwargsrepr. Pure. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* What the outermost array is shown as: args are a tuple in Celery's clients. */
typedef enum {
  GT_PYREPR_LIST,
  GT_PYREPR_TUPLE,
} GtPyreprOuter;

/* Celery's limits for headers: characters before "...", and levels before "[...]". */
#define GT_PYREPR_MAX_CHARS  1024
#define GT_PYREPR_MAX_LEVELS 3

/* Python's repr for numbers, True, False and None; texts in single quotes with only the quote
 * escaped (so Celery's saferepr does it, unlike repr); cut where saferepr cuts, brackets closed.
 * `value` is not changed. */
char *gt_pyrepr (json_t *value, GtPyreprOuter outer, guint max_chars);
