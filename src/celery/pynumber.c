#include "celery/pynumber.h"

#include <string.h>

/* More than any 64-bit integer is sure to hold. */
#define BIG_DIGITS 19

static gsize
string_end (const char *text, gsize len, gsize at)
{
  for (at++; at < len && text[at] != '"'; at++)
    if (text[at] == '\\')
      at++;
  return MIN (at + 1, len);
}

static gboolean
in_number (char c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '+' || c == '.';
}

static gboolean
must_quote (const char *token, gsize len)
{
  static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (len == strlen (words[i]) && memcmp (token, words[i], len) == 0)
      return TRUE;
  gsize start = len > 0 && token[0] == '-' ? 1 : 0;
  for (gsize i = start; i < len; i++)
    if (!g_ascii_isdigit (token[i]))
      return FALSE;
  return len - start >= BIG_DIGITS;
}

GString *
gt_pynumber_quote (const char *text, gsize len)
{
  GString *out = g_string_sized_new (len + 64);
  gboolean changed = FALSE;
  for (gsize at = 0; at < len;) {
    gsize end = at + 1;
    if (text[at] == '"')
      end = string_end (text, len, at);
    else
      while (in_number (text[at]) && end < len && in_number (text[end]))
        end++;
    gboolean quote = must_quote (text + at, end - at);
    changed |= quote;
    if (quote)
      g_string_append_c (out, '"');
    g_string_append_len (out, text + at, (gssize) (end - at));
    if (quote)
      g_string_append_c (out, '"');
    at = end;
  }
  if (!changed)
    g_string_free (g_steal_pointer (&out), TRUE);
  return out;
}
