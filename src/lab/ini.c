#include "lab/ini.h"

#include "lab/error.h"

#include <string.h>

static gboolean
is_group_line (const char *line, const char *group)
{
  g_autofree char *header = g_strdup_printf ("[%s]", group);
  return g_str_has_prefix (line, header);
}

static gboolean
is_key_line (const char *line, const char *key)
{
  gsize n = strlen (key);
  if (strncmp (line, key, n) != 0)
    return FALSE;
  const char *rest = line + n;
  return rest[strspn (rest, " \t")] == '=';
}

/* Line of `key` in `group` (of the group itself when key is NULL), 0 when not found. */
static guint
find_line (const char *text, const char *group, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  gboolean inside = FALSE;
  for (guint i = 0; lines[i] != NULL; i++) {
    const char *line = g_strchug (lines[i]);
    if (*line == '[') {
      inside = is_group_line (line, group);
      if (inside && key == NULL)
        return i + 1;
    } else if (inside && key != NULL && is_key_line (line, key)) {
      return i + 1;
    }
  }
  return 0;
}

/* First line that is no comment, group or key = value; 0 when all are. */
static guint
find_malformed (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  gboolean grouped = FALSE;
  for (guint i = 0; lines[i] != NULL; i++) {
    const char *line = g_strstrip (lines[i]);
    if (*line == '\0' || *line == '#')
      continue;
    if (*line == '[' && g_str_has_suffix (line, "]") && strlen (line) > 2)
      grouped = TRUE;
    else if (*line == '[' || !grouped || *line == '=' || strchr (line, '=') == NULL)
      return i + 1;
  }
  return 0;
}

gboolean
gt_ini_fail (const GtIni *ini, GError **error, const char *group, const char *key,
             const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s:%u: %s", ini->path,
               find_line (ini->text, group, key), what);
  return FALSE;
}

gboolean
gt_ini_number (const GtIni *ini, const char *group, const char *key, double least, double most,
               gboolean whole, double *value, GError **error)
{
  g_autofree char *text = g_key_file_get_string (ini->keys, group, key, NULL);
  if (text == NULL)
    return TRUE;
  char *end;
  double number = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0' || !(number >= least) || !(number <= most)
      || (whole && number != (double) (gint64) number))
    return gt_ini_fail (ini, error, group, key, "%s must be a %s from %g to %g, not '%s'", key,
                        whole ? "whole number" : "number", least, most, text);
  *value = number;
  return TRUE;
}

GtIni *
gt_ini_parse (const char *path, const char *text, gsize length, GError **error)
{
  g_autoptr (GtIni) ini = g_new0 (GtIni, 1);
  ini->keys = g_key_file_new ();
  ini->path = g_strdup (path);
  ini->text = g_strndup (text, length);
  g_autoptr (GError) cause = NULL;
  guint malformed = strlen (ini->text) == length ? find_malformed (ini->text) : 1;
  if (malformed == 0
      && g_key_file_load_from_data (ini->keys, ini->text, length, G_KEY_FILE_NONE, &cause))
    return g_steal_pointer (&ini);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s:%u: %s", path, MAX (malformed, 1),
               cause != NULL ? cause->message : "neither a comment (#), a [group] nor key = value");
  return NULL;
}

GtIni *
gt_ini_load (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize length;
  g_autoptr (GError) cause = NULL;
  if (g_file_get_contents (path, &text, &length, &cause))
    return gt_ini_parse (path, text, length, error);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s", cause->message);
  return NULL;
}

void
gt_ini_free (GtIni *ini)
{
  g_key_file_free (ini->keys);
  g_free (ini->path);
  g_free (ini->text);
  g_free (ini);
}

char *
gt_ini_name (const char *path)
{
  char *base = g_path_get_basename (path);
  if (g_str_has_suffix (base, ".ini"))
    base[strlen (base) - strlen (".ini")] = '\0';
  return base;
}
