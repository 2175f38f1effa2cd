#include "cli/query_width.h"

#include <string.h>

/* Characters that turn the direction of what follows, or hide: a row could be made to look like
 * another one. */
static gboolean
is_invisible (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);
  return type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR
         || type == G_UNICODE_PARAGRAPH_SEPARATOR || (c >= 0x202A && c <= 0x202E)
         || (c >= 0x2066 && c <= 0x2069);
}

/* The character at `text`. Returns what comes behind it. */
static const char *
append_character (GString *out, const char *text, const char *end, gboolean *escaped)
{
  gunichar c = g_utf8_get_char_validated (text, end - text);
  gboolean bad = c == (gunichar) -1 || c == (gunichar) -2;
  *escaped = TRUE;
  if (bad || (guchar) *text < 0x20 || *text == 0x7F) {
    if (*text == '\n' || *text == '\t' || *text == '\r')
      g_string_append (out, *text == '\n' ? "\\n" : *text == '\t' ? "\\t" : "\\r");
    else
      g_string_append_printf (out, "\\x%02x", (guchar) *text);
    return text + 1;
  }
  const char *next = g_utf8_next_char (text);
  *escaped = is_invisible (c);
  if (*escaped)
    g_string_append_printf (out, "\\u%04x", c);
  else
    g_string_append_len (out, text, next - text);
  return next;
}

void
gt_query_append_visible (GString *out, const char *text, gsize bytes)
{
  gboolean escaped = FALSE;
  for (const char *end = text + bytes; text < end;)
    text = append_character (out, text, end, &escaped);
}

static guint
width_of (gunichar c)
{
  if (g_unichar_iszerowidth (c))
    return 0;
  return g_unichar_iswide (c) ? 2 : 1;
}

guint
gt_query_width (const char *text)
{
  guint width = 0;
  for (; *text != '\0'; text = g_utf8_next_char (text))
    width += width_of (g_utf8_get_char (text));
  return width;
}

/* "    ^", or "    ^^^^" of DuckDB 2.0. */
static gboolean
is_marks (const char *line)
{
  const char *first = line + strspn (line, " ");
  return *first == '^' && first[strspn (first, "^")] == '\0';
}

/* Marks under what is at `n` columns from `place` on of the line above, as that is shown. What is
 * escaped just before them is not meant. */
static void
append_marks (GString *out, const char *above, gsize place, gsize n)
{
  g_autoptr (GString) shown = g_string_new (NULL);
  const char *end = above + strlen (above);
  gsize at = 0;
  gboolean begun = FALSE;
  while (above < end && at < place + n) {
    gboolean escaped = FALSE, tab = *above == '\t';
    g_string_truncate (shown, 0);
    above = append_character (shown, above, end, &escaped);
    guint width = gt_query_width (shown->str);
    begun = begun || (!escaped && at >= place);
    at += escaped ? 0 : width;
    if (tab)
      g_string_append_c (out, '\t');
    for (; width > 0 && !tab; width--)
      g_string_append_c (out, begun ? '^' : ' ');
  }
  for (; at < place + n; at++)
    g_string_append_c (out, at < place ? ' ' : '^');
}

void
gt_query_append_message (GString *out, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++) {
    if (i > 0)
      g_string_append_c (out, '\n');
    if (i > 0 && is_marks (lines[i])) {
      gsize place = strspn (lines[i], " ");
      append_marks (out, lines[i - 1], place, strlen (lines[i]) - place);
      continue;
    }
    g_auto (GStrv) parts = g_strsplit (lines[i], "\t", -1);
    for (guint part = 0; parts[part] != NULL; part++) {
      if (part > 0)
        g_string_append_c (out, '\t');
      gt_query_append_visible (out, parts[part], strlen (parts[part]));
    }
  }
}

guint
gt_query_append_cut (GString *out, const char *text, guint width, gboolean ascii)
{
  guint all = gt_query_width (text);
  if (all <= width) {
    g_string_append (out, text);
    return all;
  }
  guint taken = 0;
  const char *at = text;
  for (; *at != '\0'; at = g_utf8_next_char (at)) {
    guint next = width_of (g_utf8_get_char (at));
    if (taken + next + 1 > width)
      break;
    taken += next;
  }
  g_string_append_len (out, text, at - text);
  g_string_append (out, ascii ? ">" : "\xE2\x80\xA6");
  return taken + 1;
}
