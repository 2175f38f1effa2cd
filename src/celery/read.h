/* Reading fields of untrusted JSON objects. */
#pragma once

#include "celery/error.h"

#include <glib.h>
#include <jansson.h>

/* Sets GT_CELERY_ERROR_SHAPE "'KEY' is not WANTED" and returns FALSE. */
gboolean gt_read_error (GError **error, const char *key, const char *wanted);

/* A copy that a C string can hold: NUL becomes U+FFFD. */
char *gt_read_dup (const json_t *text);

/* A text that is not empty. */
gboolean gt_read_text (const json_t *object, const char *key, char **text, GError **error);

/* The same, but absent and null are NULL and "" is "". */
gboolean gt_read_optional (const json_t *object, const char *key, char **text, GError **error);
