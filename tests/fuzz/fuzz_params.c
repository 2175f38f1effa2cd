/* --param NAME=VALUE on any texts, separated by NUL. What it takes is JSON with every name in it.
 */
#include "cli/query_params.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Each text's name stands for a value; a number is a place in the array. */
static void
check_names (const json_t *params, const GPtrArray *texts, guint n)
{
  for (guint i = 0; i < n; i++) {
    const char *text = texts->pdata[i];
    g_autofree char *name = g_strndup (text, strcspn (text, "="));
    const char *bare = *name == '$' ? name + 1 : name;
    if (json_is_array (params))
      g_assert_nonnull (json_array_get (params, (size_t) g_ascii_strtoull (bare, NULL, 10) - 1));
    else
      g_assert_nonnull (json_object_get (params, bare));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  for (size_t at = 0; at < size; at += strnlen ((const char *) data + at, size - at) + 1)
    g_ptr_array_add (texts, g_strndup ((const char *) data + at, size - at));
  guint n = texts->len;
  g_ptr_array_add (texts, NULL);

  g_autoptr (GError) error = NULL;
  json_t *params = gt_query_params ((char *const *) texts->pdata, &error);
  g_assert_true (params == NULL ? (n == 0) == (error == NULL) : error == NULL);
  if (params == NULL)
    return 0;
  g_assert_cmpuint (json_is_array (params) ? json_array_size (params) : json_object_size (params),
                    ==, n);
  check_names (params, texts, n);
  char *json = json_dumps (params, JSON_COMPACT);
  g_assert_nonnull (json);
  free (json);
  json_decref (params);
  return 0;
}
