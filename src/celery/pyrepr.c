#include "celery/pyrepr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  GString *out;
  glong room;   /* characters left; may go below 0 by the token that used it up */
  gboolean cut; /* ", ..." is written: only closing brackets follow */
} Repr;

static void
put (Repr *r, const char *text)
{
  g_string_append (r->out, text);
  r->room -= g_utf8_strlen (text, -1);
}

/* TRUE when a token may be written; the first that finds no room leaves the mark instead. */
static gboolean
has_room (Repr *r)
{
  if (r->cut)
    return FALSE;
  if (r->room > 0)
    return TRUE;
  g_string_append (r->out, ", ...");
  r->cut = TRUE;
  return FALSE;
}

static gboolean
put_token (Repr *r, const char *text)
{
  if (!has_room (r))
    return FALSE;
  put (r, text);
  return TRUE;
}

/* Text of `max` characters or more loses its end, back to the last space. */
static char *
shorten (const char *text, glong max)
{
  if (g_utf8_strlen (text, -1) < max)
    return g_strdup (text);
  g_autofree char *head = g_utf8_substring (text, 0, max);
  char *space = strrchr (head, ' ');
  if (space != NULL)
    *space = '\0';
  return g_strconcat (head, "...", NULL);
}

static void
put_atom (Repr *r, const char *text)
{
  if (!has_room (r))
    return;
  g_autofree char *shown = shorten (text, r->room);
  put (r, shown);
}

static void
put_text (Repr *r, const char *bytes, gsize len)
{
  if (!has_room (r))
    return;
  /* A NUL cannot be in a C string; it is the one character shown in another way than there. */
  g_autoptr (GString) text = g_string_new_len (bytes, (gssize) len);
  for (gsize i = 0; i < text->len; i++)
    if (text->str[i] == '\0') {
      g_string_erase (text, (gssize) i, 1);
      g_string_insert (text, (gssize) i, "\\x00");
    }
  g_autofree char *shown = shorten (text->str, r->room);
  GString *quoted = g_string_new (shown);
  g_string_replace (quoted, "'", "\\'", 0);
  g_string_prepend_c (quoted, '\'');
  g_string_append_c (quoted, '\'');
  put (r, quoted->str);
  g_string_free (quoted, TRUE);
}

/* Python's repr of a float: the fewest digits that read back as the same, as a plain number from
 * 1e-4 up to 1e16, else with an exponent of at least two digits. */
static char *
float_repr (double real)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];
  int precision = 0;
  do {
    char format[8];
    g_snprintf (format, sizeof format, "%%.%de", precision);
    g_ascii_formatd (digits, sizeof digits, format, real);
  } while (g_ascii_strtod (digits, NULL) != real && ++precision < 17);
  long exponent = strtol (strchr (digits, 'e') + 1, NULL, 10);
  if (exponent < -4 || exponent >= 16)
    return g_strdup (digits);
  char format[8];
  g_snprintf (format, sizeof format, "%%.%df", (int) MAX (precision - exponent, 1));
  char plain[400];
  g_ascii_formatd (plain, sizeof plain, format, real);
  return g_strdup (plain);
}

static void put_value (Repr *r, json_t *value, gboolean tuple, guint level);

static void
put_items (Repr *r, json_t *value, guint level)
{
  if (json_is_array (value)) {
    size_t i;
    json_t *item;
    json_array_foreach (value, i, item) {
      if (i > 0)
        put_token (r, ", ");
      put_value (r, item, FALSE, level);
    }
    return;
  }
  const char *key;
  json_t *item;
  gboolean first = TRUE;
  json_object_foreach (value, key, item) {
    if (!first)
      put_token (r, ", ");
    first = FALSE;
    put_text (r, key, strlen (key));
    put_token (r, ": ");
    put_value (r, item, FALSE, level);
  }
}

static void
put_container (Repr *r, json_t *value, gboolean tuple, guint level)
{
  const char *open = json_is_object (value) ? "{" : tuple ? "(" : "[";
  const char *close = json_is_object (value) ? "}" : tuple ? ")" : "]";
  if (tuple && json_array_size (value) == 1)
    close = ",)";
  if (level >= GT_PYREPR_MAX_LEVELS) {
    g_autofree char *text = g_strconcat (open, "...", close, NULL);
    put_token (r, text);
    return;
  }
  if (!put_token (r, open))
    return;
  put_items (r, value, level + 1);
  put (r, close); /* brackets close also where there is no room */
}

static void
put_value (Repr *r, json_t *value, gboolean tuple, guint level)
{
  if (r->cut)
    return;
  g_autofree char *number = NULL;
  switch (json_typeof (value)) {
  case JSON_OBJECT:
  case JSON_ARRAY:
    put_container (r, value, tuple, level);
    return;
  case JSON_STRING:
    put_text (r, json_string_value (value), json_string_length (value));
    return;
  case JSON_INTEGER:
    number = g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (value));
    put_atom (r, number);
    return;
  case JSON_REAL:
    number = float_repr (json_real_value (value));
    put_atom (r, number);
    return;
  case JSON_TRUE:
    put_atom (r, "True");
    return;
  case JSON_FALSE:
    put_atom (r, "False");
    return;
  case JSON_NULL:
  default:
    put_atom (r, "None");
    return;
  }
}

char *
gt_pyrepr (json_t *value, GtPyreprOuter outer, guint max_chars)
{
  Repr r = { g_string_new (NULL), (glong) max_chars, FALSE };
  put_value (&r, value, outer == GT_PYREPR_TUPLE, 0);
  return g_string_free (r.out, FALSE);
}
