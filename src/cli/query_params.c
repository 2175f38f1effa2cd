#include "cli/query_params.h"

#include "cli/query_json.h"

#include <string.h>

/* A misread parameter would be a wrong answer: everything unclear is refused. */
static gboolean
refuse (GError **error, const char *text, const char *why)
{
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--param '%s': %s", text, why);
  return FALSE;
}

static gboolean
is_integer (const char *text)
{
  text += *text == '-' ? 1 : 0;
  gsize digits = strspn (text, "0123456789");
  return digits > 0 && text[digits] == '\0' && (digits == 1 || *text != '0');
}

/* JSON with a number in it that no program here holds. An object is its text in any case. */
static gboolean
is_too_large (const char *text, const json_error_t *why)
{
  return json_error_code (why) == json_error_numeric_overflow
         && text[strspn (text, " \t\r\n")] != '{' && gt_query_is_json (text, strlen (text));
}

/* `given` is the whole of it, for the message. */
static json_t *
read_value (const char *text, const char *given, GError **error)
{
  json_error_t why;
  json_t *value
      = json_loads (text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
  if (value != NULL)
    return value;
  if (is_integer (text)) /* JSON, but beyond 64 bits */
    return json_pack ("{s:s, s:s}", "$type", "HUGEINT", "$value", text);
  if (!is_too_large (text, &why))
    return json_string (text);
  (void) refuse (error, given,
                 "a number is too large; give it a type, as "
                 "{\"$type\": \"HUGEINT[]\", \"$value\": \"[...]\"}, or in quotes it is a text");
  return NULL;
}

/* "name" of "$name=..." or "name=...". */
static char *
read_name (const char *text, const char **value)
{
  const char *equal = strchr (text, '=');
  const char *start = *text == '$' ? text + 1 : text;
  if (equal == NULL || equal == start)
    return NULL;
  *value = equal + 1;
  return g_strndup (start, (gsize) (equal - start));
}

static gboolean
is_name (const char *name)
{
  for (const char *c = name; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && *c != '_')
      return FALSE;
  return TRUE;
}

static gboolean
add (json_t *params, const char *text, guint *numbered, GError **error)
{
  const char *value_text = NULL;
  g_autofree char *name = read_name (text, &value_text);
  if (name == NULL || !is_name (name))
    return refuse (error, text, "write NAME=VALUE, or 1=VALUE for the first ?");
  if (json_object_get (params, name) != NULL)
    return refuse (error, text, "this name was given already");
  if (!g_utf8_validate (value_text, -1, NULL))
    return refuse (error, text, "the value is not UTF-8");
  if (g_ascii_isdigit (*name) && strspn (name, "0123456789") != strlen (name))
    return refuse (error, text, "a name does not begin with a digit");
  json_t *value = read_value (value_text, text, error);
  if (value == NULL)
    return FALSE;
  *numbered += g_ascii_isdigit (*name) ? 1 : 0;
  json_object_set_new (params, name, value);
  return TRUE;
}

static json_t *
as_array (const json_t *params, guint n, GError **error)
{
  json_t *array = json_array ();
  for (guint i = 1; i <= n; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    json_t *value = json_object_get (params, name);
    if (value == NULL) {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "--param: there are %u numbered ones, but none is %u", n, i);
      json_decref (array);
      return NULL;
    }
    json_array_append (array, value);
  }
  return array;
}

json_t *
gt_query_params (char *const *texts, GError **error)
{
  if (texts == NULL || *texts == NULL)
    return NULL;
  json_t *params = json_object ();
  guint numbered = 0;
  gboolean good = TRUE;
  for (char *const *text = texts; good && *text != NULL; text++)
    good = add (params, *text, &numbered, error);
  if (good && numbered > 0 && numbered < json_object_size (params))
    good = refuse (error, *texts, "named and numbered parameters cannot be mixed");
  json_t *array = good && numbered > 0 ? as_array (params, numbered, error) : NULL;
  if (good && numbered == 0)
    return params;
  json_decref (params);
  return array;
}
