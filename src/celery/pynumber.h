/* Numbers that Python's json module writes and strict JSON has no room for. Pure. */
#pragma once

#include <glib.h>

/* A copy of the JSON text in which NaN, Infinity, -Infinity and integers of 19 digits or more stand
 * as texts ("NaN", "12345678901234567890"); NULL when there are none. Malformed JSON stays so. */
GString *gt_pynumber_quote (const char *text, gsize len);
