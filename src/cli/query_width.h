/* Columns of a screen that text takes. Pure. */
#pragma once

#include <glib.h>

/* Appends the text so that a screen shows it in one line and obeys nothing in it: \n, \t and \x1b
 * instead of the characters themselves. */
void gt_query_append_visible (GString *out, const char *text, gsize bytes);

/* The same for a message of several lines: they stay lines and tabs stay tabs. The ^ of a line that
 * has nothing else stay under their place in the line above, where DuckDB counts what a screen does
 * not show as nothing. */
void gt_query_append_message (GString *out, const char *text);

/* Of visible UTF-8: wide characters count twice, combining ones not at all. */
guint gt_query_width (const char *text);

/* Appends at most `width` columns of it, the last one an ellipsis (`ascii`: ">") when it was cut.
 * Returns how many it took. */
guint gt_query_append_cut (GString *out, const char *text, guint width, gboolean ascii);
