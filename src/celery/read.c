#include "celery/read.h"

gboolean
gt_read_error (GError **error, const char *key, const char *wanted)
{
  g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_SHAPE, "'%s' is not %s", key, wanted);
  return FALSE;
}

char *
gt_read_dup (const json_t *text)
{
  GString *copy = g_string_new_len (json_string_value (text), (gssize) json_string_length (text));
  for (gsize i = 0; i < copy->len; i++)
    if (copy->str[i] == '\0') {
      g_string_erase (copy, (gssize) i, 1);
      g_string_insert (copy, (gssize) i, "\xEF\xBF\xBD");
    }
  return g_string_free (copy, FALSE);
}

gboolean
gt_read_text (const json_t *object, const char *key, char **text, GError **error)
{
  const json_t *value = json_object_get (object, key);
  if (!json_is_string (value) || json_string_length (value) == 0)
    return gt_read_error (error, key, "a text");
  *text = gt_read_dup (value);
  return TRUE;
}

gboolean
gt_read_optional (const json_t *object, const char *key, char **text, GError **error)
{
  const json_t *value = json_object_get (object, key);
  *text = NULL;
  if (value == NULL || json_is_null (value))
    return TRUE;
  if (!json_is_string (value))
    return gt_read_error (error, key, "a text or null");
  *text = gt_read_dup (value);
  return TRUE;
}
