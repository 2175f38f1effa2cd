#include "engine_support.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *temp_root;

GtInstant
in (gint64 ns)
{
  return gt_instant_add (gt_instant_now (), ns);
}

guint
count_entries (const char *path)
{
  guint n = 0;
  DIR *folder = opendir (path);
  if (folder == NULL)
    g_error ("%s: %s", path, g_strerror (errno));
  for (struct dirent *entry; (entry = readdir (folder)) != NULL;)
    n += entry->d_name[0] != '.';
  closedir (folder);
  return n;
}

GtEngine *
engine_in (GtDomain domain, GtEngineOptions options, const char *start)
{
  const char *fake = g_getenv ("GT_FAKE_EXECUTOR");
  const char *argv[] = { fake, start != NULL ? "--start" : NULL, start, NULL };
  g_assert_nonnull (fake);
  options.argv = argv;
  options.domain = domain;
  options.temp_root = temp_root;
  options.quiet = TRUE;
  g_autoptr (GError) error = NULL;
  GtEngine *engine = gt_engine_new (&options, &error);
  g_assert_no_error (error);
  return engine;
}

GtEngine *
warm_engine (GtDomain domain)
{
  g_autoptr (GError) error = NULL;
  GtEngine *engine = engine_in (domain, (GtEngineOptions) GT_ENGINE_OPTIONS_INIT, NULL);
  gt_engine_wait_warm (engine, 0, in (10 * S), &error);
  g_assert_no_error (error);
  return engine;
}

GtJobSpec
job_of (const char *steps, GtLimitsAsked asked)
{
  GtLimitsWorld world = { .now = gt_instant_now (), .inherited = GT_NEVER };
  GtJobSpec spec = { .kind = "steps", .body = g_bytes_new (steps, strlen (steps)) };
  g_assert_true (gt_limits_make (&asked, &world, &spec.limits, NULL));
  return spec;
}

GtJobResult *
run_limited (GtEngine *engine, const char *steps, GtLimitsAsked asked)
{
  GtJobSpec spec = job_of (steps, asked);
  GtJobResult *result = gt_engine_run (engine, &spec, NULL);
  g_bytes_unref (spec.body);
  g_assert_nonnull (result);
  return result;
}

GtJobResult *
run (GtEngine *engine, const char *steps, gint64 soft_ms, gint64 hard_ms)
{
  return run_limited (engine, steps,
                      (GtLimitsAsked){ .soft_ns = soft_ms * MS, .hard_ns = hard_ms * MS });
}

void
assert_outcome (const GtJobResult *result, GtOutcome outcome, GtReason reason)
{
  const GtOutcomeRecord *record = &result->record;
  if (record->outcome == outcome && record->reason == reason)
    return;
  g_autofree char *json = gt_outcome_record_json (record);
  g_error ("expected %s by %s: %s", gt_outcome_info (outcome)->name, gt_reason_name (reason), json);
}

void
assert_fine (GtEngine *engine)
{
  g_autoptr (GtJobResult) result = run (engine, "value 5", 0, 10000);
  assert_outcome (result, GT_OUTCOME_VALUE, GT_REASON_ANSWER);
  g_assert_nonnull (result->answer);
  g_assert_cmpuint (g_bytes_get_size (result->answer->body), ==, 5);
}

guint
our_children (void)
{
  guint n = 0;
  DIR *proc = opendir ("/proc");
  if (proc == NULL)
    g_error ("/proc: %s", g_strerror (errno));
  for (struct dirent *entry; (entry = readdir (proc)) != NULL;) {
    g_autofree char *path = g_build_filename ("/proc", entry->d_name, "stat", NULL);
    g_autofree char *text = NULL;
    if (!g_ascii_isdigit (entry->d_name[0]) || !g_file_get_contents (path, &text, NULL, NULL))
      continue;
    const char *end = strrchr (text, ')');
    n += end != NULL && strtol (end + 4, NULL, 10) == getpid ();
  }
  closedir (proc);
  return n;
}

/* Keepers are our children; beside them nobody may be: this process is a subreaper, so whoever
 * escapes from a family comes to us. */
void
assert_keepers_only (GtEngine *engine, guint keepers)
{
  GtInstant until = in (5 * S);
  gt_engine_wait_warm (engine, 0, until, NULL);
  while (our_children () != keepers && gt_instant_until (gt_instant_now (), until) > 0)
    g_usleep (1000);
  g_assert_cmpuint (our_children (), ==, keepers);
}

void
finish (GtEngine *engine)
{
  gt_engine_free (engine);
  g_assert_cmpuint (our_children (), ==, 0);
  g_assert_cmpuint (count_entries (temp_root), ==, 0);
}

void
tally (GtJobResult *result, gpointer data)
{
  Tally *t = data;
  g_atomic_int_inc (&t->outcomes[result->record.outcome]);
  gt_job_result_free (result);
  g_atomic_int_inc (&t->done);
}

void
wait_for (Tally *t, gint n)
{
  GtInstant until = in (60 * S);
  while (g_atomic_int_get (&t->done) < n && gt_instant_until (gt_instant_now (), until) > 0)
    g_usleep (500);
  g_assert_cmpint (g_atomic_int_get (&t->done), ==, n);
}

char *
freezer_new (void)
{
  char *path = g_strdup_printf ("/sys/fs/cgroup/freezer/gilotine-test-%d", (int) getpid ());
  if (mkdir (path, 0700) == 0)
    return path;
  g_free (path);
  return NULL;
}

void
freezer_open (const char *freezer)
{
  g_autofree char *path = g_build_filename (freezer, "freezer.state", NULL);
  g_autoptr (GError) error = NULL;
  GFileSetContentsFlags flags
      = G_FILE_SET_CONTENTS_NONE; /* in place: the file cannot be replaced */
  g_file_set_contents_full (path, "THAWED", -1, flags, 0600, &error);
  g_assert_no_error (error);
}

void
freezer_remove (char *freezer)
{
  GtInstant until = in (10 * S);
  while (rmdir (freezer) != 0 && gt_instant_until (gt_instant_now (), until) > 0)
    g_usleep (1000);
  g_assert_false (g_file_test (freezer, G_FILE_TEST_EXISTS));
  g_free (freezer);
}
