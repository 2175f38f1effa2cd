/* A JSON value as Celery's saferepr shows it: the text of argsrepr and kwargsrepr. Pure. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* `outer` is what the outermost array is shown as: a tuple for args, as Celery's clients send them.
 */
typedef enum {
  GT_PYREPR_LIST,
  GT_PYREPR_TUPLE,
} GtPyreprOuter;

/* At most `max_chars` characters, then "...". */
char *gt_pyrepr (const json_t *value, GtPyreprOuter outer, guint max_chars);
