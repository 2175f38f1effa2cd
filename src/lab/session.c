#include "lab/session.h"

#include "broker/broker.h"
#include "celery/message.h"
#include "lab/error.h"
#include "lab/observer.h"
#include "lab/watch.h"
#include "os/family.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BROKER_LIMIT_NS  (90 * GT_NSEC_PER_SEC)
#define PUBLISH_LIMIT_NS (30 * GT_NSEC_PER_SEC)
#define END_LIMIT_NS     (20 * GT_NSEC_PER_SEC)

/* A query under a limit that does not hold, beside others that burn on, takes some times as long as
 * calibrated; a subject that takes longer than this does not answer at all. */
#define PATIENCE 8

typedef struct {
  const GtExperiment *experiment;
  const GtSessionOptions *options;
  GtPlace *place;
  GtPlaceRun run; /* what the place uses of this */
  GtRaw *raw;
  GtWatch *watch;
  GtFamily *janitor; /* removes run_dir when we end, in whatever way */
  GtBroker *broker;
  GtProgress *progress;
  char *run_dir;
  char *reply_queue;
  char *mark;
  gboolean sent; /* anything at all */
  GtStop stop;
} Session;

static GtInstant
in_ns (gint64 ns)
{
  return gt_instant_add (gt_instant_now (), ns);
}

static gint64
seconds_ns (double seconds)
{
  return (gint64) (seconds * (double) GT_NSEC_PER_SEC);
}

static json_int_t
now_ns (void)
{
  return (json_int_t) gt_instant_now ().ns;
}

/* --- one subject ---------------------------------------------------------------------------- */

static gboolean
record_subject (Session *s, const GtSubject *subject, guint index, gint64 rows, GError **error)
{
  json_t *factors = json_object ();
  json_t *settings = json_object ();
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    json_object_set_new (factors, gt_factor_key (f), json_string (subject->factors[f]));
  for (GtSetting t = 0; t < GT_N_SETTINGS; t++)
    json_object_set_new (settings, gt_setting_key (t), json_real (subject->settings[t]));
  json_t *record = json_pack ("{ss ss sI si so so sI}", "k", "subject", "s", subject->name, "t",
                              now_ns (), "index", (int) index, "factors", factors, "settings",
                              settings, "rows", (json_int_t) rows);
  s->place->funcs->describe (s->place, subject, record);
  return gt_raw_write (s->raw, record, error);
}

static gint64
rows_for (Session *s, const GtSubject *subject, GError **error)
{
  return s->options->rows > 0 ? s->options->rows : s->place->funcs->rows (s->place, subject, error);
}

static gboolean
send_task (Session *s, const GtSubject *subject, const char *queue, const char *id, gint64 rows,
           GError **error)
{
  json_t *kwargs
      = json_pack ("{si sI sf}", "iterations", (int) subject->settings[GT_SETTING_ITERATIONS],
                   "rows", (json_int_t) rows, "timeout_sec", subject->settings[GT_SETTING_TIMEOUT]);
  const GtTask task = { .task = "tasks.leak_demo",
                        .id = id,
                        .kwargs = kwargs,
                        .reply_to = s->reply_queue,
                        .origin = "gilotine-lab",
                        .now_unix_us = g_get_real_time () };
  g_autoptr (GtMessage) message = gt_message_new (&task, error);
  json_decref (kwargs);
  GtInstant until = in_ns (PUBLISH_LIMIT_NS);
  s->sent = TRUE;
  return message != NULL && gt_broker_declare (s->broker, queue, until, error)
         && gt_broker_publish (s->broker, queue, message, until, error)
         && gt_broker_flush (s->broker, until, error)
         && gt_raw_write (s->raw,
                          json_pack ("{ss ss sI ss}", "k", "sent", "s", subject->name, "t",
                                     now_ns (), "task", id),
                          error);
}

/* Longest time that the task may take until its result is there. */
static gint64
task_limit_ns (const GtSubject *subject)
{
  const double *set = subject->settings;
  return seconds_ns (set[GT_SETTING_STARTUP]
                     + set[GT_SETTING_ITERATIONS]
                           * (set[GT_SETTING_TIMEOUT] + PATIENCE * set[GT_SETTING_QUERY_SECONDS]));
}

/* Waits for the start, the end, and for the work to die down. A subject that does not answer is a
 * finding, not a failure of the run. */
static gboolean
observe (Session *s, const GtSubject *subject, GError **error)
{
  const struct {
    GtWaitFor what;
    gint64 limit_ns;
  } steps[] = {
    { GT_WAIT_STARTED, seconds_ns (subject->settings[GT_SETTING_STARTUP]) },
    { GT_WAIT_DONE, task_limit_ns (subject) },
    { GT_WAIT_IDLE, seconds_ns (subject->settings[GT_SETTING_LINGER]) },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    switch (gt_watch_wait (s->watch, steps[i].what, in_ns (steps[i].limit_ns), error)) {
    case GT_WAIT_MET:
      break;
    case GT_WAIT_TIMED_OUT:
      return TRUE;
    case GT_WAIT_FAILED:
      return FALSE;
    }
  return TRUE;
}

/* Ends the worker whatever has happened before; the first error is the one that is kept. */
static gboolean
end_worker (Session *s, const GtSubject *subject, gboolean ok, GError **error)
{
  g_autoptr (GError) end_error = NULL;
  gboolean ended = s->place->funcs->end (s->place, &end_error);
  ok = gt_watch_end (s->watch, ok ? error : NULL) && ok;
  json_t *record = json_pack ("{ss ss sI si}", "k", "end", "s", subject->name, "t", now_ns (),
                              "left", ended ? 0 : 1);
  ok = gt_raw_write (s->raw, record, ok ? error : NULL) && gt_raw_flush (s->raw, ok ? error : NULL)
       && ok;
  if (!ended && ok) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER, "%s: %s", subject->name,
                 end_error->message);
    return FALSE;
  }
  return ok;
}

static FILE *
open_log_copy (const Session *s, const GtSubject *subject)
{
  g_autofree char *dir = g_build_filename (s->options->out_dir, "logs", NULL);
  g_autofree char *file = g_strconcat (subject->name, ".log", NULL);
  g_autofree char *path = g_build_filename (dir, file, NULL);
  g_mkdir_with_parents (dir, 0777);
  FILE *copy = fopen (path, "we");
  if (copy != NULL)
    setvbuf (copy, NULL, _IOLBF, BUFSIZ);
  return copy;
}

/* Of a broker that others use nothing of ours may stay, and of one whose queue the next subject
 * shares no task. What cannot be removed any more (the broker is gone) is not worth failing for. */
static void
remove_queue (const Session *s, const char *queue)
{
  (void) gt_broker_delete (s->broker, queue, in_ns (END_LIMIT_NS), NULL);
}

static gboolean
run_worker (Session *s, const GtSubject *subject, const char *queue, gint64 rows, GError **error)
{
  g_autofree char *task_id = g_uuid_string_random ();
  GtPlaced placed;
  if (!s->place->funcs->start (s->place, subject, task_id, &placed, error))
    return FALSE;
  FILE *log_copy = open_log_copy (s, subject);
  const GtWatched watched = { .subject = subject->name,
                              .task_id = task_id,
                              .broker = s->broker,
                              .sight = placed.sight,
                              .log_fd = placed.log_fd,
                              .log_file = log_copy };
  gboolean ok = gt_watch_begin (s->watch, &watched, error)
                && send_task (s, subject, queue, task_id, rows, error)
                && observe (s, subject, error);
  ok = end_worker (s, subject, ok, error);
  s->place->funcs->forget (s->place);
  close (placed.log_fd);
  if (log_copy != NULL)
    fclose (log_copy);
  return ok;
}

static gboolean
run_subject (Session *s, const GtSubject *subject, guint index, GError **error)
{
  g_autofree char *queue = g_strdup (s->place->funcs->queue (s->place, subject));
  gint64 rows = rows_for (s, subject, error);
  if (rows < 0 || !record_subject (s, subject, index, rows, error))
    return FALSE;
  gboolean ok = run_worker (s, subject, queue, rows, error);
  remove_queue (s, queue);
  return ok;
}

static gboolean
run_or_skip (Session *s, guint index, GError **error)
{
  const GtSubject *subject = s->experiment->subjects->pdata[index];
  g_autofree char *missing = NULL;
  if (!s->place->funcs->missing (s->place, subject, &missing, error))
    return FALSE;
  gt_progress_begin (s->progress, subject, index);
  if (missing == NULL)
    return run_subject (s, subject, index, error);
  gt_progress_say (s->progress, "%s: skipped: %s", subject->name, missing);
  return record_subject (s, subject, index, 0, error)
         && gt_raw_write (s->raw,
                          json_pack ("{ss ss ss}", "k", "skip", "s", subject->name, "why", missing),
                          error);
}

/* --- set-up and tear-down ------------------------------------------------------------------- */

/* The folder for everything that must not outlive the run, and who removes it even when we are
 * killed. Its name is short: a socket's path has little room. */
static gboolean
make_run_dir (Session *s, GError **error)
{
  g_autofree char *made = g_dir_make_tmp ("gilotine-lab.XXXXXX", error);
  if (made == NULL)
    return FALSE;
  s->run_dir = g_canonicalize_filename (made, NULL);
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.remove_dir = s->options->keep ? NULL : s->run_dir;
  s->janitor = gt_family_spawn (&spec, error);
  if (s->janitor == NULL)
    rmdir (s->run_dir);
  return s->janitor != NULL;
}

static void
on_broker_notice (const char *line, gpointer data)
{
  const Session *s = data;
  gt_progress_warn (s->progress, "%s", line);
}

static gboolean
open_broker (Session *s, const char *url, GError **error)
{
  const GtBrokerOptions options = { .until = in_ns (BROKER_LIMIT_NS),
                                    .notice = on_broker_notice,
                                    .notice_data = s,
                                    .cancel_fd = s->stop.fd };
  s->broker = gt_broker_open (url, &options, error);
  if (s->broker == NULL)
    return FALSE;
  s->reply_queue
      = g_strdup (gt_broker_open_replies (s->broker, NULL, in_ns (PUBLISH_LIMIT_NS), error));
  return s->reply_queue != NULL;
}

static gboolean
record_run (Session *s, GError **error)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *started = g_date_time_format_iso8601 (now);
  g_autofree char *broker = s->place->funcs->broker_name (s->place);
  return gt_raw_write (s->raw,
                       json_pack ("{ss ss ss ss? ss? si ss ss}", "k", "run", "version", GT_VERSION,
                                  "experiment", s->experiment->name, "title", s->experiment->title,
                                  "question", s->experiment->question, "cpus",
                                  (int) s->place->funcs->cpus (s->place), "broker", broker,
                                  "started", started),
                       error);
}

static gboolean
open_place (Session *s, GError **error)
{
  s->run = (GtPlaceRun){
    .raw = s->raw, .progress = s->progress, .stop = &s->stop, .run_dir = s->run_dir, .mark = s->mark
  };
  const char *url = s->place->funcs->open (s->place, &s->run, error);
  if (url == NULL || !open_broker (s, url, error))
    return FALSE;
  for (guint i = 0; i < s->experiment->subjects->len; i++) {
    g_autofree char *missing = NULL;
    if (!s->place->funcs->missing (s->place, s->experiment->subjects->pdata[i], &missing, error))
      return FALSE;
    if (missing != NULL)
      gt_progress_will_skip (s->progress, i);
  }
  return TRUE;
}

static gboolean
set_up (Session *s, GError **error)
{
  gt_stop_begin (&s->stop);
  s->mark = g_uuid_string_random ();
  s->progress = gt_progress_new (s->options->show_progress, s->experiment->subjects);
  /* First: for a run that cannot be recorded nothing is started. */
  s->raw = gt_raw_create (s->options->out_dir, error);
  if (s->raw == NULL || !record_run (s, error) || !make_run_dir (s, error)
      || !open_place (s, error))
    return FALSE;
  s->watch = gt_watch_new (s->raw, s->stop.fd);
  gt_progress_attach (s->progress, s->watch);
  return TRUE;
}

/* The last record: what was left anywhere, found by the run's mark, and why the run ended. */
static gboolean
record_end (Session *s, gboolean ok, GError **error)
{
  g_autoptr (GError) census_error = NULL;
  int left = gt_observer_count_marked (s->mark, &census_error);
  const GError *why = ok || error == NULL ? NULL : *error;
  gboolean interrupted = g_error_matches (why, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED);
  json_t *record
      = json_pack ("{ss sI si sb ss?}", "k", "final", "t", now_ns (), "left", left, "interrupted",
                   interrupted, "error", why != NULL ? why->message : NULL);
  ok = gt_raw_write (s->raw, record, ok ? error : NULL) && ok;
  if (ok && left != 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER, "%s",
                 census_error != NULL ? census_error->message : "processes of the run remained");
    return FALSE;
  }
  if (left > 0)
    gt_progress_warn (s->progress, "%d processes of the run remained", left);
  return ok;
}

/* Ends everything, then proves it: no process anywhere carries the run's mark. */
static gboolean
tear_down (Session *s, gboolean ok, GError **error)
{
  g_clear_pointer (&s->watch, gt_watch_free);
  g_clear_pointer (&s->broker, gt_broker_close);
  ok = s->place->funcs->close (s->place, ok ? error : NULL) && ok;
  g_clear_pointer (&s->janitor, gt_family_free);
  if (s->raw != NULL && !ok && !s->sent) {
    gt_raw_discard (s->raw);
  } else if (s->raw != NULL) {
    ok = record_end (s, ok, error);
    ok = gt_raw_close (s->raw, ok ? error : NULL) && ok;
  }
  if (s->options->keep && s->run_dir != NULL)
    gt_progress_warn (s->progress, "kept: %s", s->run_dir);
  gt_progress_free (s->progress);
  char *const texts[] = { s->run_dir, s->reply_queue, s->mark };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  gt_stop_end (&s->stop);
  return ok;
}

/* The broker ends its waits with an error of its own when a signal came; a URL that cannot be is
 * the user's mistake. */
static void
translate_error (GError **error)
{
  static const struct {
    GtBrokerError from;
    GtLabError to;
  } rows[] = { { GT_BROKER_ERROR_CANCELLED, GT_LAB_ERROR_INTERRUPTED },
               { GT_BROKER_ERROR_URL, GT_LAB_ERROR_INPUT } };
  for (gsize i = 0; error != NULL && *error != NULL && i < G_N_ELEMENTS (rows); i++)
    if (g_error_matches (*error, GT_BROKER_ERROR, (gint) rows[i].from)) {
      (*error)->domain = GT_LAB_ERROR;
      (*error)->code = (gint) rows[i].to;
    }
}

gboolean
gt_session_run (const GtExperiment *experiment, GtPlace *place, const GtSessionOptions *options,
                GError **error)
{
  Session session
      = { .experiment = experiment, .place = place, .options = options, .stop = { .fd = -1 } };
  gboolean ok = set_up (&session, error);
  for (guint i = 0; ok && i < experiment->subjects->len; i++)
    ok = run_or_skip (&session, i, error);
  if (!ok)
    translate_error (error);
  return tear_down (&session, ok, error);
}
