#include "os/paths.h"

#include "os/error.h"

#include <string.h>
#include <sys/auxv.h>

/* /proc tells where we are; without it, the name that we were executed by. */
static char *
own_directory (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  const char *executed
      = (const char *) getauxval (AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */
  if (self == NULL && executed != NULL && strchr (executed, '/') != NULL)
    self = g_canonicalize_filename (executed, NULL);
  return self != NULL ? g_path_get_dirname (self) : g_strdup (".");
}

/* The first of the candidates (consumed) that exists. */
static char *
first_existing (const char *what, GPtrArray *candidates, GFileTest test, GError **error)
{
  for (guint i = 0; i < candidates->len; i++)
    if (g_file_test (candidates->pdata[i], test))
      return g_strdup (candidates->pdata[i]);
  g_ptr_array_add (candidates, NULL);
  g_autofree char *tried = g_strjoinv (", ", (char **) candidates->pdata);
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_NOT_FOUND, "no %s (looked for %s)", what, tried);
  return NULL;
}

char *
gt_path_program (const char *name, GError **error)
{
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *here = own_directory ();
  const char *given = g_getenv ("GILOTINE_LIBEXECDIR");
  if (given != NULL)
    g_ptr_array_add (candidates, g_build_filename (given, name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, "..", "executor", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, "..", "..", "src", "executor", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, "..", "..", "lab", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, "..", "libexec", "gilotine", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (GT_LIBEXECDIR, name, NULL));
  return first_existing (name, candidates, G_FILE_TEST_IS_EXECUTABLE, error);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

char **
gt_path_variants (const char *program)
{
  g_autofree char *folder = g_path_get_dirname (program);
  g_autofree char *base = g_path_get_basename (program);
  g_autofree char *prefix = g_strconcat (base, "-", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GPtrArray *found = g_ptr_array_new ();
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    /* A build folder has PROGRAM-....p/ too: folders are "executable". */
    if (g_str_has_prefix (name, prefix) && g_file_test (path, G_FILE_TEST_IS_REGULAR)
        && g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
      g_ptr_array_add (found, g_steal_pointer (&path));
  }
  g_ptr_array_sort (found, compare_names);
  g_ptr_array_add (found, NULL);
  return (char **) g_ptr_array_free (found, FALSE);
}

char *
gt_path_data (const char *name, GError **error)
{
  g_autoptr (GPtrArray) candidates = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *here = own_directory ();
  const char *given = g_getenv ("GILOTINE_DATADIR");
  if (given != NULL)
    g_ptr_array_add (candidates, g_build_filename (given, name, NULL));
  /* BUILD/src/cli/gilotine in a source tree: the build folder is directly below the root. */
  g_ptr_array_add (candidates, g_build_filename (here, "..", "..", "..", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (here, "..", "share", "gilotine", name, NULL));
  g_ptr_array_add (candidates,
                   g_build_filename (here, "..", "..", "share", "gilotine", name, NULL));
  g_ptr_array_add (candidates, g_build_filename (GT_DATADIR, name, NULL));
  return first_existing (name, candidates, G_FILE_TEST_IS_DIR, error);
}

char *
gt_path_cache (void)
{
  const char *given = g_getenv ("GILOTINE_CACHE");
  if (given != NULL && *given != '\0')
    return g_strdup (given);
  return g_build_filename (g_get_user_cache_dir (), "gilotine", NULL);
}
