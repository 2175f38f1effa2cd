/* --param NAME=VALUE: what a query's ? and $name stand for. Pure. */
#pragma once

#include <jansson.h>

#include <glib.h>

/* The executor's "params": an object, or an array when the names are 1, 2, 3 ... (for ? and $1).
 * NULL without `error` when there are none; NULL with `error` (G_OPTION_ERROR) for a name that
 * cannot be, one given twice, numbers with a gap, both kinds together, and a value with a number
 * that is too large. VALUE is JSON, or text when it is none; integers beyond 64 bits are HUGEINT.
 */
json_t *gt_query_params (char *const *texts, GError **error);
