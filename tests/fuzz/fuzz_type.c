/* A column's type by its name, a NUL, and a value: what people and programs get of it. A value that
 * is not to be rewritten stays the same JSON. What another parser takes is JSON here too, but for
 * NUL between values. */
#include "cli/query_json.h"
#include "cli/query_type.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *name = g_strndup ((const char *) data, size);
  size_t at = MIN (strlen (name) + 1, size);
  json_t *value = json_loadb ((const char *) data + at, size - at, JSON_DECODE_ANY, NULL);
  gboolean is_json = gt_query_is_json ((const char *) data + at, size - at)
                     || memchr (data + at, '\0', size - at) != NULL;
  if (value == NULL) /* the executor sends JSON */
    return 0;
  g_assert_true (is_json);
  char *text = json_dumps (value, JSON_COMPACT | JSON_ENCODE_ANY);
  GtQueryCell cell = { text, strlen (text) };
  g_autoptr (GtQueryType) type = gt_query_type_new (name);
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GString) shown = g_string_new (NULL);
  gt_query_append_json (json, type, cell);
  gt_query_append_text (shown, type, cell);
  g_assert_true (json->len > 0 || type->rewritten);
  if (!type->rewritten)
    g_assert_cmpstr (json->str, ==, text);
  free (text);
  json_decref (value);
  return 0;
}
