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

void
gt_query_append_visible (GString *out, const char *text, gsize bytes)
{
  const char *end = text + bytes;
  while (text < end) {
    gunichar c = g_utf8_get_char_validated (text, end - text);
    gboolean bad = c == (gunichar) -1 || c == (gunichar) -2;
    if (bad || (guchar) *text < 0x20 || *text == 0x7F) {
      if (*text == '\n' || *text == '\t' || *text == '\r')
        g_string_append (out, *text == '\n' ? "\\n" : *text == '\t' ? "\\t" : "\\r");
      else
        g_string_append_printf (out, "\\x%02x", (guchar) *text);
      text++;
      continue;
    }
    const char *next = g_utf8_next_char (text);
    if (is_invisible (c))
      g_string_append_printf (out, "\\u%04x", c);
    else
      g_string_append_len (out, text, next - text);
    text = next;
  }
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
