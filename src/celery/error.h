/* The errors of the pure codecs. */
#pragma once

#include <glib.h>

#define GT_CELERY_ERRORS(X)                                                                        \
  X (SYNTAX, "not JSON, not UTF-8, or not base64")                                                 \
  X (SHAPE, "JSON of another shape than Celery writes: missing key, wrong type")                   \
  X (TOO_BIG, "bigger or nested deeper than is accepted")                                          \
  X (RANGE, "a number or text outside of what Celery accepts")

typedef enum {
#define X(name, text) GT_CELERY_ERROR_##name,
  GT_CELERY_ERRORS (X)
#undef X
} GtCeleryError;

#define GT_CELERY_ERROR (gt_celery_error_quark ())
GQuark gt_celery_error_quark (void);
