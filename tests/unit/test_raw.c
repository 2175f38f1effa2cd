#include "lab/error.h"
#include "lab/raw.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static gboolean
count (const json_t *record, gpointer data, GError **error)
{
  (void) error;
  g_assert_true (json_is_object (record));
  ++*(guint *) data;
  return TRUE;
}

static char *
new_dir (void)
{
  return g_dir_make_tmp ("gilotine-test.XXXXXX", NULL);
}

static void
remove_dir (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, "raw.jsonl", NULL);
  g_unlink (path);
  g_rmdir (dir);
}

static void
write_raw (const char *dir, const char *text)
{
  g_autofree char *path = g_build_filename (dir, "raw.jsonl", NULL);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
records_come_back_and_are_never_written_over (void)
{
  g_autofree char *dir = new_dir ();
  g_autoptr (GError) error = NULL;
  GtRaw *raw = gt_raw_create (dir, NULL);
  for (int i = 0; i < 1000; i++)
    g_assert_true (gt_raw_write (raw, json_pack ("{si}", "i", i), NULL));
  g_assert_true (gt_raw_close (raw, NULL));
  guint seen = 0;
  g_assert_true (gt_raw_read (dir, count, &seen, NULL));
  g_assert_cmpuint (seen, ==, 1000);
  g_assert_null (gt_raw_create (dir, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
  remove_dir (dir);
}

static void
a_full_disk_is_an_error_that_stays (void)
{
  /* /dev/full takes nothing: reached by a link in the place of the file's own descriptor. */
  g_autofree char *dir = new_dir ();
  g_autoptr (GError) first = NULL, last = NULL;
  GtRaw *raw = gt_raw_create (dir, NULL);
  int full = open ("/dev/full", O_WRONLY | O_CLOEXEC);
  g_autofree char *path = g_build_filename (dir, "raw.jsonl", NULL);
  for (int fd = 3; fd < full; fd++) {
    g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link (link, NULL);
    if (g_strcmp0 (target, path) == 0)
      dup2 (full, fd);
  }
  close (full);
  gt_raw_write (raw, json_pack ("{si}", "i", 1), NULL);
  g_assert_false (gt_raw_flush (raw, &first));
  g_assert_error (first, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM);
  g_assert_nonnull (strstr (first->message, "No space left"));
  g_assert_false (gt_raw_close (raw, &last));
  g_assert_error (last, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM);
  remove_dir (dir);
}

static void
a_line_cut_by_a_kill_is_left_out_but_a_malformed_one_is_named (void)
{
  g_autofree char *dir = new_dir ();
  g_autoptr (GError) error = NULL;
  guint seen = 0;
  write_raw (dir, "{\"k\":1}\n{\"k\":2}\n{\"k\":");
  g_assert_true (gt_raw_read (dir, count, &seen, NULL));
  g_assert_cmpuint (seen, ==, 2);
  write_raw (dir, "{\"k\":1}\n{\"k\":\n{\"k\":3}\n");
  g_assert_false (gt_raw_read (dir, count, &seen, &error));
  g_assert_nonnull (strstr (error->message, "raw.jsonl:2: "));
  g_clear_error (&error);
  write_raw (dir, "[1]\n");
  g_assert_false (gt_raw_read (dir, count, &seen, &error));
  g_clear_error (&error);
  write_raw (dir, "");
  g_assert_false (gt_raw_read (dir, count, &seen, &error));
  g_clear_error (&error);
  g_assert_false (gt_raw_read ("/nonexistent", count, &seen, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
  remove_dir (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/raw/round-trip", records_come_back_and_are_never_written_over);
  g_test_add_func ("/raw/full-disk", a_full_disk_is_an_error_that_stays);
  g_test_add_func ("/raw/damaged", a_line_cut_by_a_kill_is_left_out_but_a_malformed_one_is_named);
  return g_test_run ();
}
