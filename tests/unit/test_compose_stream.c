/* What an observer elsewhere writes, taken in as if it had been seen here. */
#include "lab/compose_stream.h"
#include "lab/error.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  GtStream *stream;
  GtRaw *raw;
  GtWatchState state;
  FILE *file;
  char *recorded;
  size_t length;
  int writer;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  int fds[2];
  (void) data;
  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  f->writer = fds[1];
  f->file = open_memstream (&f->recorded, &f->length);
  f->raw = gt_raw_stream (f->file);
  f->stream = gt_stream_new (fds[0], f->raw, "mine", "t1");
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void) data;
  gt_stream_free (f->stream);
  g_assert_true (gt_raw_close (f->raw, NULL));
  fclose (f->file);
  free (f->recorded);
  if (f->writer >= 0)
    close (f->writer);
}

static void
say (const Fixture *f, const char *text)
{
  g_assert_cmpint (write (f->writer, text, strlen (text)), ==, (gssize) strlen (text));
}

static void
look (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (gt_stream_look (f->stream, &f->state, &error));
  g_assert_no_error (error);
  g_assert_true (gt_raw_flush (f->raw, NULL));
}

static void
test_records (Fixture *f, gconstpointer data)
{
  (void) data;
  g_assert_false (gt_stream_ready (f->stream));
  say (f, "{\"k\":\"observer\",\"root\":1}\n");
  look (f);
  g_assert_true (gt_stream_ready (f->stream));
  g_assert_cmpuint (f->length, ==, 0);

  /* A record may come in pieces. */
  say (f, "{\"k\":\"sample\",\"s\":\"?\",\"t\":5,\"w\":2,\"p\":[]}\n{\"k\":\"trace\",\"s\":\"?\","
          "\"t\":6,");
  look (f);
  g_assert_cmpstr (f->recorded, ==, "{\"k\":\"sample\",\"s\":\"mine\",\"t\":5,\"w\":2,\"p\":[]}\n");
  g_assert_cmpuint (f->state.working, ==, 2);
  say (f, "\"e\":{\"ev\":\"task_start\",\"task_id\":\"other\"}}\n");
  look (f);
  g_assert_false (f->state.task_started);
  say (f, "{\"k\":\"trace\",\"e\":{\"ev\":\"task_start\",\"task_id\":\"t1\"}}\n"
          "{\"k\":\"trace\",\"e\":{\"ev\":\"iter_told\"}}\n{\"k\":\"trace\",\"e\":{\"ev\":\"task_"
          "end\"}}\n");
  look (f);
  g_assert_true (f->state.task_started && f->state.task_ended);
  g_assert_cmpuint (f->state.iterations_told, ==, 1);
}

/* While the subject is being ended its deaths are of our making; its last words still count. */
static void
test_no_samples_at_the_end (Fixture *f, gconstpointer data)
{
  (void) data;
  gt_stream_stop_sampling (f->stream);
  say (f, "{\"k\":\"sample\",\"t\":5,\"w\":2,\"p\":[]}\n{\"k\":\"proc\",\"pid\":3}\n");
  look (f);
  g_assert_cmpstr (f->recorded, ==, "{\"k\":\"proc\",\"pid\":3,\"s\":\"mine\"}\n");
  g_assert_cmpuint (f->state.working, ==, 0);
}

static void
test_end (Fixture *f, gconstpointer data)
{
  (void) data;
  say (f, "{\"k\":\"proc\",\"pid\":3}\n{\"k\":\"sam");
  look (f);
  g_assert_false (gt_stream_ended (f->stream));
  close (f->writer);
  f->writer = -1;
  look (f);
  g_assert_true (gt_stream_ended (f->stream));
  g_assert_cmpstr (f->recorded, ==, "{\"k\":\"proc\",\"pid\":3,\"s\":\"mine\"}\n");
}

static void
test_nonsense (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  say (f, data);
  g_assert_false (gt_stream_look (f->stream, &f->state, &error));
  g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM);
  g_assert_nonnull (strstr (error->message, "docker compose build"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/compose-stream/records", Fixture, NULL, set_up, test_records, tear_down);
  g_test_add ("/compose-stream/no-samples-at-the-end", Fixture, NULL, set_up,
              test_no_samples_at_the_end, tear_down);
  g_test_add ("/compose-stream/end", Fixture, NULL, set_up, test_end, tear_down);
  static const struct {
    const char *name, *text;
  } nonsense[] = {
    { "no-json", "gilotine lab: unknown option --observe\n" },
    { "no-kind", "{}\n" },
    { "no-object", "[1]\n" },
    { "other-kind", "{\"k\":\"final\",\"left\":0}\n" },
    { "not-utf-8", "\xff\xfe\n" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (nonsense); i++) {
    g_autofree char *path = g_strconcat ("/compose-stream/nonsense/", nonsense[i].name, NULL);
    g_test_add (path, Fixture, nonsense[i].text, set_up, test_nonsense, tear_down);
  }
  return g_test_run ();
}
