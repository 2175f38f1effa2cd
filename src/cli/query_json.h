/* Whether a text is JSON. Pure. */
#pragma once

#include <glib.h>

/* By RFC 8259's grammar: numbers of any size, nesting of any depth, any escape. What a reader can
 * hold is not asked. */
gboolean gt_query_is_json (const char *text, gsize bytes);
