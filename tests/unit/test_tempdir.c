#include "executor/tempdir.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  char *root, *path;
} Place;

static void
set_up (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  place->root = g_dir_make_tmp ("gilotine-test-XXXXXX", NULL);
  g_assert_nonnull (place->root);
  place->path = g_build_filename (place->root, "executor", NULL);
}

static void
tear_down (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  const char *const names[]
      = { "executor/owner", "executor/spill", "executor/unfinished", "executor/thesis",
          "executor",       "link",           ".gilotine-other",     "innocent" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (place->root, names[i], NULL);
    (void) g_remove (path);
  }
  g_assert_cmpint (g_rmdir (place->root), ==, 0);
  g_free (place->root);
  g_free (place->path);
}

static char *
put (Place *place, const char *name)
{
  char *path = g_build_filename (place->root, name, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  return path;
}

static gboolean
is_there (const char *path)
{
  return g_file_test (path, G_FILE_TEST_EXISTS) || g_file_test (path, G_FILE_TEST_IS_SYMLINK);
}

static void
test_one_owner_at_a_time (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  GtTempDir *first = gt_temp_dir_open (place->path, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_test (first->spill, G_FILE_TEST_IS_DIR));
  g_assert_null (gt_temp_dir_open (place->path, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN);
  g_assert_nonnull (strstr (error->message, "belongs to another executor"));
  gt_temp_dir_free (first);
  g_autoptr (GtTempDir) second = gt_temp_dir_open (place->path, NULL);
  g_assert_nonnull (second);
}

static void
test_what_is_left_is_removed (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *spilled = put (place, "executor/spill/deep/down");
  g_autofree char *innocent = put (place, "innocent");
  g_autofree char *half = put (place, ".gilotine-1-2-out.csv");
  g_autofree char *unfinished = g_build_filename (place->path, "unfinished", NULL);
  g_autofree char *outward = g_build_filename (place->path, "spill", "outward", NULL);
  g_autofree char *note = g_build_filename (unfinished, "a", NULL);
  g_autofree char *wrong_note = g_build_filename (unfinished, "b", NULL);
  g_assert_cmpint (g_mkdir (unfinished, 0700), ==, 0);
  g_assert_cmpint (symlink (place->root, outward), ==, 0); /* is not followed */
  g_assert_cmpint (symlink (half, note), ==, 0);
  g_assert_cmpint (symlink (innocent, wrong_note), ==, 0); /* its name is not one of ours */
  g_autoptr (GError) error = NULL;
  g_assert_true (gt_temp_dir_empty (place->path, &error));
  g_assert_no_error (error);
  g_assert_false (is_there (spilled));
  g_assert_false (is_there (outward));
  g_assert_false (is_there (half));
  g_assert_false (is_there (note));
  g_assert_true (is_there (innocent));
}

static void
test_a_folder_that_is_not_there_is_empty (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  g_assert_true (gt_temp_dir_empty (place->path, NULL));
}

static void
test_notes (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *file = g_build_filename (place->root, ".gilotine-other", NULL);
  g_autoptr (GtTempDir) dir = gt_temp_dir_open (place->path, NULL);
  g_assert_nonnull (dir);
  g_assert_true (gt_temp_dir_note (dir, file, NULL));
  g_assert_true (g_file_set_contents (file, "x", 1, NULL));
  gt_temp_dir_forget (dir, file); /* it has its final name now: here, the same */
  g_assert_true (gt_temp_dir_empty (place->path, NULL));
  g_assert_true (is_there (file));
  g_assert_true (gt_temp_dir_note (dir, file, NULL));
  g_assert_true (gt_temp_dir_empty (place->path, NULL));
  g_assert_false (is_there (file));
}

static void
test_strange_folders_are_refused (Place *place, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *thesis = put (place, "executor/thesis");
  g_assert_null (gt_temp_dir_open (place->path, &error));
  g_assert_nonnull (strstr (error->message, "thesis"));
  g_assert_true (is_there (thesis));
  (void) g_remove (thesis);
  g_clear_error (&error);
  g_assert_cmpint (g_chmod (place->path, 0770), ==, 0);
  g_assert_null (gt_temp_dir_open (place->path, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM);
  g_clear_error (&error);
  g_assert_cmpint (g_chmod (place->path, 0700), ==, 0);
  g_autofree char *link = g_build_filename (place->root, "link", NULL);
  g_assert_cmpint (symlink ("nowhere", link), ==, 0);
  g_assert_null (gt_temp_dir_open (link, &error));
  g_assert_nonnull (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, test) g_test_add ("/tempdir/" name, Place, NULL, set_up, test, tear_down)
  ADD ("one_owner_at_a_time", test_one_owner_at_a_time);
  ADD ("what_an_earlier_owner_left_is_removed", test_what_is_left_is_removed);
  ADD ("a_folder_that_is_not_there_is_empty", test_a_folder_that_is_not_there_is_empty);
  ADD ("notes_of_unfinished_files", test_notes);
  ADD ("strange_folders_are_refused", test_strange_folders_are_refused);
  return g_test_run ();
}
