#include "broker/broker.h"

#include "celery/envelope.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  char *dir;
  GtBroker *broker;
  GString *notices;
} Fixture;

static void
on_notice (const char *line, gpointer data)
{
  g_string_append_printf (data, "%s\n", line);
}

static GtBroker *
open_dir (const char *dir, GString *notices, GError **error)
{
  g_autofree char *url = g_strconcat ("filesystem://", dir, NULL);
  GtBrokerOptions options = { .notice = on_notice, .notice_data = notices };
  return gt_broker_open (url, &options, error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  g_autoptr (GError) error = NULL;
  f->dir = g_dir_make_tmp ("gilotine-spool-XXXXXX", &error);
  f->notices = g_string_new (NULL);
  f->broker = open_dir (f->dir, f->notices, &error);
  g_assert_no_error (error);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    if (g_file_test (child, G_FILE_TEST_IS_DIR) && !g_file_test (child, G_FILE_TEST_IS_SYMLINK))
      remove_tree (child);
    else
      g_unlink (child);
  }
  g_rmdir (path);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  g_clear_pointer (&f->broker, gt_broker_close);
  remove_tree (f->dir);
  g_free (f->dir);
  g_string_free (f->notices, TRUE);
}

static GtMessage *
some_message (const char *id)
{
  GtTask task = { .task = "t", .id = id, .origin = "o" };
  return gt_message_new (&task, NULL);
}

static void
publish (Fixture *f, const char *queue, const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtMessage) message = some_message (id);
  g_assert_true (gt_broker_publish (f->broker, queue, message, GT_NEVER, &error));
  g_assert_no_error (error);
}

static void
put_file (Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (f->dir, "messages", name, NULL);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static gboolean
has_file (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->dir, "messages", name, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static guint
count_files (Fixture *f, const char *suffix)
{
  g_autofree char *path = g_build_filename (f->dir, "messages", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;)
    n += g_str_has_suffix (name, suffix) != FALSE;
  return n;
}

/* The id of the next reply, NULL when there is none now. */
static char *
next_id (Fixture *f)
{
  GtDelivery *delivery = NULL;
  g_autoptr (GError) error = NULL;
  g_assert_true (gt_broker_try_receive (f->broker, &delivery, &error));
  g_assert_no_error (error);
  char *id = delivery != NULL ? g_strdup (delivery->correlation_id) : NULL;
  g_clear_pointer (&delivery, gt_delivery_free);
  return id;
}

static void
assert_next (Fixture *f, const char *wanted)
{
  g_autofree char *id = next_id (f);
  g_assert_cmpstr (id, ==, wanted);
}

static void
open_replies (Fixture *f, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_assert_cmpstr (gt_broker_open_replies (f->broker, name, GT_NEVER, &error), ==, name);
}

static char *
envelope (const char *id)
{
  g_autoptr (GtMessage) message = some_message (id);
  return gt_envelope_encode (message, "mine", "tag");
}

static void
a_message_is_one_file_named_as_kombu_names_it (Fixture *f, gconstpointer data)
{
  (void) data;
  publish (f, "celery", "a");
  g_assert_cmpuint (gt_broker_confirmed (f->broker), ==, 1);
  g_autofree char *path = g_build_filename (f->dir, "messages", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name = g_dir_read_name (dir);
  g_assert_true (g_regex_match_simple ("^[0-9]+_[0-9a-f-]{36}\\.celery\\.msg$", name, 0, 0));
  g_assert_null (g_dir_read_name (dir));
}

static void
names_that_break_file_names_are_refused (Fixture *f, gconstpointer data)
{
  (void) data;
  g_autofree char *too_long = g_strnfill (200, 'q');
  const char *const names[]
      = { "", ".", "..", "a/b", "../x", "a b", "a\nb", "käse", "x@y", too_long };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GtMessage) message = some_message ("a");
    g_assert_false (gt_broker_publish (f->broker, names[i], message, GT_NEVER, &error));
    g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_NAME);
    g_autoptr (GError) declared = NULL;
    g_assert_false (gt_broker_declare (f->broker, names[i], GT_NEVER, &declared));
    g_assert_error (declared, GT_BROKER_ERROR, GT_BROKER_ERROR_NAME);
  }
  g_assert_cmpuint (count_files (f, ""), ==, 0);
}

static void
replies_come_in_the_order_of_their_names_and_are_removed (Fixture *f, gconstpointer data)
{
  (void) data;
  g_autofree char *one = envelope ("one");
  g_autofree char *two = envelope ("two");
  put_file (f, "20_b.mine.msg", two);
  put_file (f, "10_a.mine.msg", one);
  put_file (f, "05_a.other.msg", one);
  put_file (f, "05_a.not.mine.msg", one);
  put_file (f, "05_a.mine.msg.part", one);
  open_replies (f, "mine");
  assert_next (f, "one");
  assert_next (f, "two");
  assert_next (f, NULL);
  g_assert_false (has_file (f, "10_a.mine.msg"));
  g_assert_true (has_file (f, "05_a.other.msg"));
  g_assert_true (has_file (f, "05_a.not.mine.msg"));
  g_assert_true (has_file (f, "05_a.mine.msg.part"));
}

static void
later_replies_wake_the_reader (Fixture *f, gconstpointer data)
{
  (void) data;
  open_replies (f, "mine");
  assert_next (f, NULL);
  publish (f, "mine", "later");
  g_autoptr (GError) error = NULL;
  GtInstant until = gt_instant_add (gt_instant_now (), 20 * GT_NSEC_PER_SEC);
  g_autoptr (GtDelivery) delivery = gt_broker_receive (f->broker, until, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (delivery->correlation_id, ==, "later");
}

static void
a_file_that_is_still_being_written_is_left_for_later (Fixture *f, gconstpointer data)
{
  (void) data;
  g_autofree char *path = g_build_filename (f->dir, "messages", "1_a.mine.msg", NULL);
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  g_assert_cmpint (flock (fd, LOCK_EX), ==, 0);
  g_autofree char *text = envelope ("slow");
  g_assert_cmpint (write (fd, text, 10), ==, 10);
  open_replies (f, "mine");
  assert_next (f, NULL);
  g_assert_cmpstr (f->notices->str, ==, "");
  gsize rest = strlen (text) - 10;
  g_assert_cmpint (write (fd, text + 10, rest), ==, (gssize) rest);
  close (fd);
  assert_next (f, "slow");
}

static void
malformed_files_stay_and_are_named_once (Fixture *f, gconstpointer data)
{
  (void) data;
  g_autofree char *good = envelope ("good");
  g_autofree char *cut = g_strndup (good, strlen (good) / 2);
  put_file (f, "1_cut.mine.msg", cut);
  put_file (f, "2_list.mine.msg", "[]");
  put_file (f, "3_types.mine.msg", "{\"body\": 5, \"headers\": {}, \"properties\": {}}");
  put_file (f, "4_empty.mine.msg", "");
  put_file (f, "5_good.mine.msg", good);
  g_autofree char *link = g_build_filename (f->dir, "messages", "6_link.mine.msg", NULL);
  put_file (f, "9_good.other.msg", good);
  g_assert_cmpint (symlink ("9_good.other.msg", link), ==, 0);
  g_autofree char *pipe = g_build_filename (f->dir, "messages", "7_pipe.mine.msg", NULL);
  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  g_autofree char *folder = g_build_filename (f->dir, "messages", "8_dir.mine.msg", NULL);
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  open_replies (f, "mine");
  assert_next (f, "good");
  assert_next (f, NULL);
  g_auto (GStrv) lines = g_strsplit (g_strchomp (f->notices->str), "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 3);
  g_assert_nonnull (strstr (lines[0], "1_cut.mine.msg"));
  g_assert_nonnull (strstr (lines[1], "2_list.mine.msg"));
  g_assert_nonnull (strstr (lines[2], "3_types.mine.msg"));
  g_clear_pointer (&f->broker, gt_broker_close);
  g_assert_true (has_file (f, "1_cut.mine.msg"));
  g_assert_true (has_file (f, "2_list.mine.msg"));
  g_assert_true (has_file (f, "3_types.mine.msg"));
}

static void
late_replies_go_with_the_broker (Fixture *f, gconstpointer data)
{
  (void) data;
  open_replies (f, "mine");
  publish (f, "mine", "late");
  publish (f, "other", "kept");
  g_clear_pointer (&f->broker, gt_broker_close);
  g_assert_cmpuint (count_files (f, ".mine.msg"), ==, 0);
  g_assert_cmpuint (count_files (f, ".other.msg"), ==, 1);
}

static void
the_time_limit_of_a_receive_holds (Fixture *f, gconstpointer data)
{
  (void) data;
  open_replies (f, "mine");
  g_autoptr (GError) error = NULL;
  GtInstant until = gt_instant_add (gt_instant_now (), 20 * GT_NSEC_PER_MSEC);
  g_assert_null (gt_broker_receive (f->broker, until, &error));
  g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT);
  g_assert_cmpint (gt_instant_until (gt_instant_now (), until), ==, 0);
}

static void
a_folder_that_vanishes_is_an_error (Fixture *f, gconstpointer data)
{
  (void) data;
  open_replies (f, "mine");
  remove_tree (f->dir);
  g_autoptr (GError) error = NULL;
  GtInstant until = gt_instant_add (gt_instant_now (), 20 * GT_NSEC_PER_SEC);
  g_assert_null (gt_broker_receive (f->broker, until, &error));
  g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_IO);
}

static void
wrong_urls_are_refused (void)
{
  static const struct {
    const char *url;
    GtBrokerError code;
  } rows[] = {
    { "filesystem://", GT_BROKER_ERROR_URL },
    { "filesystem://relative/dir", GT_BROKER_ERROR_URL },
    { "filesystem:///tmp?x=1", GT_BROKER_ERROR_URL },
    { "filesystem:///nonexistent/dir", GT_BROKER_ERROR_IO },
    { "filesystem:///dev/null", GT_BROKER_ERROR_IO },
    { "gopher://x", GT_BROKER_ERROR_URL },
    { "no url", GT_BROKER_ERROR_URL },
    { "amqp://a//;amqp://b//", GT_BROKER_ERROR_URL },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_broker_open (rows[i].url, NULL, &error));
    g_assert_error (error, GT_BROKER_ERROR, (int) rows[i].code);
  }
}

static void
a_full_disk_is_an_error_and_leaves_no_half_message (Fixture *f, gconstpointer data)
{
  (void) data;
  /* A limit on the size of files fails a write as a full disk does, without privileges. */
  struct rlimit before;
  struct rlimit tiny;
  getrlimit (RLIMIT_FSIZE, &before);
  tiny = before;
  tiny.rlim_cur = 100;
  signal (SIGXFSZ, SIG_IGN);
  setrlimit (RLIMIT_FSIZE, &tiny);
  g_autoptr (GError) error = NULL;
  g_autoptr (GtMessage) message = some_message ("a");
  gboolean ok = gt_broker_publish (f->broker, "celery", message, GT_NEVER, &error);
  setrlimit (RLIMIT_FSIZE, &before);
  g_assert_false (ok);
  g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_IO);
  g_assert_cmpuint (count_files (f, ""), ==, 0);
  g_assert_cmpuint (gt_broker_confirmed (f->broker), ==, 0);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/spool/file", a_message_is_one_file_named_as_kombu_names_it);
  ADD ("/spool/names", names_that_break_file_names_are_refused);
  ADD ("/spool/order", replies_come_in_the_order_of_their_names_and_are_removed);
  ADD ("/spool/wake", later_replies_wake_the_reader);
  ADD ("/spool/half-written", a_file_that_is_still_being_written_is_left_for_later);
  ADD ("/spool/malformed", malformed_files_stay_and_are_named_once);
  ADD ("/spool/leftovers", late_replies_go_with_the_broker);
  ADD ("/spool/time-limit", the_time_limit_of_a_receive_holds);
  ADD ("/spool/vanished", a_folder_that_vanishes_is_an_error);
  ADD ("/spool/disk-full", a_full_disk_is_an_error_and_leaves_no_half_message);
  g_test_add_func ("/spool/urls", wrong_urls_are_refused);
  return g_test_run ();
}
