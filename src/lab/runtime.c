#include "lab/runtime.h"

#include "lab/error.h"
#include "os/paths.h"

struct GtRuntimes {
  char *path;
  GHashTable *values; /* "group/key" -> text */
};

GtRuntimes *
gt_runtimes_load (GError **error)
{
  g_autoptr (GtRuntimes) runtimes = g_new0 (GtRuntimes, 1);
  g_autofree char *cache = gt_path_cache ();
  g_autoptr (GKeyFile) keys = g_key_file_new ();
  g_autoptr (GError) cause = NULL;
  runtimes->path = g_build_filename (cache, "manifest.ini", NULL);
  runtimes->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (!g_key_file_load_from_file (keys, runtimes->path, G_KEY_FILE_NONE, &cause)) {
    if (g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      return g_steal_pointer (&runtimes);
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "%s: %s; 'make interpreters' writes it anew", runtimes->path, cause->message);
    return NULL;
  }
  g_auto (GStrv) groups = g_key_file_get_groups (keys, NULL);
  for (char **group = groups; *group != NULL; group++) {
    g_auto (GStrv) names = g_key_file_get_keys (keys, *group, NULL, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++)
      g_hash_table_replace (runtimes->values, g_strconcat (*group, "/", *name, NULL),
                            g_key_file_get_string (keys, *group, *name, NULL));
  }
  return g_steal_pointer (&runtimes);
}

void
gt_runtimes_free (GtRuntimes *runtimes)
{
  g_free (runtimes->path);
  g_clear_pointer (&runtimes->values, g_hash_table_unref);
  g_free (runtimes);
}

static const char *
lookup (const GtRuntimes *runtimes, const char *group, const char *key)
{
  g_autofree char *name = g_strconcat (group, "/", key, NULL);
  return g_hash_table_lookup (runtimes->values, name);
}

const char *
gt_runtimes_python (const GtRuntimes *runtimes, const char *runtime)
{
  return lookup (runtimes, runtime, "python");
}

const char *
gt_runtimes_version (const GtRuntimes *runtimes, const char *runtime)
{
  return lookup (runtimes, runtime, "version");
}

const char *
gt_runtimes_duckdb_library (const GtRuntimes *runtimes)
{
  return lookup (runtimes, "duckdb", "library");
}

static gboolean
uses_module (const GtSubject *subject)
{
  return g_str_equal (subject->factors[GT_FACTOR_DRIVER], "module");
}

const char *
gt_runtimes_duckdb_version (const GtRuntimes *runtimes, const GtSubject *subject)
{
  if (uses_module (subject))
    return lookup (runtimes, subject->factors[GT_FACTOR_RUNTIME], "duckdb_module");
  return lookup (runtimes, "duckdb", "version");
}

char *
gt_runtimes_missing (const GtRuntimes *runtimes, const GtSubject *subject)
{
  const char *runtime = subject->factors[GT_FACTOR_RUNTIME];
  const char *python = gt_runtimes_python (runtimes, runtime);
  const char *library = gt_runtimes_duckdb_library (runtimes);
  if (python == NULL)
    return g_strdup_printf ("no '%s' interpreter in %s: 'make interpreters' builds it", runtime,
                            runtimes->path);
  if (!g_file_test (python, G_FILE_TEST_IS_EXECUTABLE))
    return g_strdup_printf ("%s is gone: 'make interpreters' builds it", python);
  if (uses_module (subject) && gt_runtimes_duckdb_version (runtimes, subject) == NULL)
    return g_strdup_printf (
        "no 'duckdb' module for the '%s' interpreter (there is no wheel for it)", runtime);
  if (uses_module (subject))
    return NULL;
  if (library == NULL || !g_file_test (library, G_FILE_TEST_EXISTS))
    return g_strdup_printf ("no libduckdb in %s: 'make interpreters' fetches it", runtimes->path);
  return NULL;
}
