#include "lab/session.h"

#include "broker/broker.h"
#include "celery/message.h"
#include "lab/calibrate.h"
#include "lab/error.h"
#include "lab/progress.h"
#include "lab/rabbit.h"
#include "lab/runtime.h"
#include "lab/stop.h"
#include "lab/watch.h"
#include "lab/worker.h"
#include "os/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BROKER_LIMIT_NS    (90 * GT_NSEC_PER_SEC)
#define PUBLISH_LIMIT_NS   (30 * GT_NSEC_PER_SEC)
#define CALIBRATE_LIMIT_NS (120 * GT_NSEC_PER_SEC)
#define END_LIMIT_NS       (20 * GT_NSEC_PER_SEC)

/* A query under a limit that does not hold, beside others that burn on, takes some times as long as
 * calibrated; a subject that takes longer than this does not answer at all. */
#define PATIENCE 8

typedef struct {
  const GtExperiment *experiment;
  const GtSessionOptions *options;
  GtRuntimes *runtimes;
  GtRaw *raw;
  GtObserver *observer;
  GtWatch *watch;
  GtFamily *janitor; /* removes run_dir when we end, in whatever way */
  GtRabbit *rabbit;  /* NULL = not ours to run */
  GtBroker *broker;
  GtProgress *progress;
  char *run_dir;
  char *subject_dir;
  char *trace_path;
  char *broker_url;
  char *reply_queue;
  char *mark;
  GPtrArray *queues; /* that this run has made at somebody's broker */
  GHashTable *rows;  /* "query/threads/driver/seconds" -> gint64 */
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
  const char *version = gt_runtimes_version (s->runtimes, subject->factors[GT_FACTOR_RUNTIME]);
  return gt_raw_write (s->raw,
                       json_pack ("{ss ss sI si so so sI ss? ss?}", "k", "subject", "s",
                                  subject->name, "t", now_ns (), "index", (int) index, "factors",
                                  factors, "settings", settings, "rows", (json_int_t) rows,
                                  "python", version, "duckdb",
                                  gt_runtimes_duckdb_version (s->runtimes, subject)),
                       error);
}

/* Calibrated once for each query, number of threads, driver (another DuckDB) and wanted time. */
static gint64
rows_for (Session *s, const GtSubject *subject, const char *const *env, GError **error)
{
  if (s->options->rows > 0)
    return s->options->rows;
  g_autofree char *key = g_strdup_printf (
      "%s/%s/%s/%g", subject->factors[GT_FACTOR_QUERY], subject->factors[GT_FACTOR_THREADS],
      subject->factors[GT_FACTOR_DRIVER], subject->settings[GT_SETTING_QUERY_SECONDS]);
  gint64 *known = g_hash_table_lookup (s->rows, key);
  if (known != NULL)
    return *known;
  gt_progress_say (s->progress, "calibrating the query to %g s (%s)",
                   subject->settings[GT_SETTING_QUERY_SECONDS], subject->factors[GT_FACTOR_DRIVER]);
  gint64 rows = gt_calibrate_rows (s->runtimes, subject, s->subject_dir, s->run_dir, env,
                                   s->stop.fd, in_ns (CALIBRATE_LIMIT_NS), error);
  if (rows > 0) {
    known = g_new (gint64, 1);
    *known = rows;
    g_hash_table_insert (s->rows, g_steal_pointer (&key), known);
  }
  return rows;
}

/* A queue of this run alone: a task that an earlier one left at the broker is not ours. */
static char *
queue_name (const Session *s, const GtSubject *subject)
{
  return g_strdup_printf ("lab-%.8s-%s", s->mark, subject->name);
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
  g_ptr_array_add (s->queues, g_strdup (queue));
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

static GtFamily *
spawn_worker (Session *s, const GtSubject *subject, const GtWorkerContext *context, char **env,
              int *log_fd, GError **error)
{
  int log_pipe[2];
  if (!g_unix_open_pipe (log_pipe, FD_CLOEXEC, error))
    return NULL;
  g_auto (GStrv) argv = gt_worker_argv (subject, s->runtimes, context);
  const GtFdMap fds[] = { { log_pipe[1], STDOUT_FILENO }, { log_pipe[1], STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = (const char *const *) argv;
  spec.env = (const char *const *) env;
  spec.cwd = s->run_dir;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  spec.command_end = GT_COMMAND_END_HOLD;
  /* A worker that is told to kill everything may kill its keeper: then its children come to us. */
  spec.adopt = TRUE;
  GtFamily *family = gt_family_spawn (&spec, error);
  close (log_pipe[1]);
  *log_fd = log_pipe[0];
  if (family == NULL) {
    close (log_pipe[0]);
    return NULL;
  }
  if (gt_raw_write (s->raw,
                    json_pack ("{ss ss sI si si}", "k", "spawn", "s", subject->name, "t", now_ns (),
                               "root", (int) gt_family_root_pid (family), "worker",
                               (int) gt_family_command_pid (family)),
                    error))
    return family;
  close (log_pipe[0]);
  gt_family_free (family);
  return NULL;
}

/* Ends the family whatever has happened before; the first error is the one that is kept. */
static gboolean
end_worker (Session *s, const GtSubject *subject, GtFamily *family, gboolean ok, GError **error)
{
  g_autoptr (GError) end_error = NULL;
  gboolean ended = gt_family_end (family, in_ns (END_LIMIT_NS), &end_error);
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

static gboolean
run_subject (Session *s, const GtSubject *subject, guint index, GError **error)
{
  g_autofree char *queue = queue_name (s, subject);
  g_autofree char *task_id = g_uuid_string_random ();
  const GtWorkerContext context = { .broker_url = s->broker_url,
                                    .trace_path = s->trace_path,
                                    .mark = s->mark,
                                    .subject_dir = s->subject_dir,
                                    .queue = queue };
  g_auto (GStrv) env = gt_worker_env (subject, s->runtimes, &context);
  env = g_environ_setenv (env, "TMPDIR", s->run_dir, TRUE);
  gint64 rows = rows_for (s, subject, (const char *const *) env, error);
  if (rows < 0 || !record_subject (s, subject, index, rows, error)
      || !send_task (s, subject, queue, task_id, rows, error))
    return FALSE;
  int log_fd = -1;
  GtFamily *family = spawn_worker (s, subject, &context, env, &log_fd, error);
  if (family == NULL)
    return FALSE;
  FILE *log_copy = open_log_copy (s, subject);
  gboolean ok = gt_watch_begin (s->watch, subject->name, task_id, family, s->broker, log_fd,
                                log_copy, (guint) subject->settings[GT_SETTING_SAMPLE_MS], error)
                && observe (s, subject, error);
  ok = end_worker (s, subject, family, ok, error);
  gt_family_free (family);
  close (log_fd);
  if (log_copy != NULL)
    fclose (log_copy);
  return ok;
}

static gboolean
run_or_skip (Session *s, guint index, GError **error)
{
  const GtSubject *subject = s->experiment->subjects->pdata[index];
  g_autofree char *missing = gt_runtimes_missing (s->runtimes, subject);
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
  s->trace_path = g_build_filename (s->run_dir, "trace", NULL);
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
open_broker (Session *s, GError **error)
{
  const char *asked = s->options->broker;
  if (strcmp (asked, "filesystem") == 0) {
    g_autofree char *folder = g_build_filename (s->run_dir, "broker", NULL);
    g_autofree char *escaped = g_uri_escape_string (folder, "/", FALSE);
    s->broker_url = g_strconcat ("filesystem://", escaped, NULL);
    g_mkdir_with_parents (folder, 0700);
  } else if (strcmp (asked, "rabbitmq") == 0) {
    gt_progress_say (s->progress, "starting a private RabbitMQ");
    g_autofree char *folder = g_build_filename (s->run_dir, "rabbitmq", NULL);
    g_mkdir_with_parents (folder, 0700);
    g_auto (GStrv) env = g_environ_setenv (g_get_environ (), "GILOTINE_MARK", s->mark, TRUE);
    s->rabbit = gt_rabbit_start (folder, (const char *const *) env, s->stop.fd,
                                 in_ns (BROKER_LIMIT_NS), error);
    if (s->rabbit == NULL)
      return FALSE;
    s->broker_url = g_strdup (gt_rabbit_url (s->rabbit));
  } else {
    s->broker_url = g_strdup (asked);
  }
  const GtBrokerOptions options = { .until = in_ns (BROKER_LIMIT_NS),
                                    .notice = on_broker_notice,
                                    .notice_data = s,
                                    .cancel_fd = s->stop.fd };
  s->broker = gt_broker_open (s->broker_url, &options, error);
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
  g_autofree char *broker = strstr (s->options->broker, "://") != NULL
                                ? gt_broker_url_display (s->options->broker)
                                : g_strdup (s->options->broker);
  return gt_raw_write (s->raw,
                       json_pack ("{ss ss ss ss? ss? si ss ss}", "k", "run", "version", GT_VERSION,
                                  "experiment", s->experiment->name, "title", s->experiment->title,
                                  "question", s->experiment->question, "cpus",
                                  (int) g_get_num_processors (), "broker", broker, "started",
                                  started),
                       error);
}

static gboolean
set_up (Session *s, GError **error)
{
  gt_stop_begin (&s->stop);
  s->mark = g_uuid_string_random ();
  s->queues = g_ptr_array_new_with_free_func (g_free);
  s->rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  s->progress = gt_progress_new (s->options->show_progress, s->experiment->subjects);
  g_autofree char *data_dir = gt_path_data ("lab", error);
  if (data_dir == NULL)
    return FALSE;
  g_autofree char *relative = g_build_filename (data_dir, "subject", NULL);
  s->subject_dir = g_canonicalize_filename (relative, NULL);
  s->runtimes = gt_runtimes_load (error);
  if (s->runtimes == NULL)
    return FALSE;
  for (guint i = 0; i < s->experiment->subjects->len; i++) {
    g_autofree char *missing = gt_runtimes_missing (s->runtimes, s->experiment->subjects->pdata[i]);
    if (missing != NULL)
      gt_progress_will_skip (s->progress, i);
  }
  s->raw = gt_raw_create (s->options->out_dir, error);
  if (s->raw == NULL || !record_run (s, error) || !make_run_dir (s, error)
      || !open_broker (s, error))
    return FALSE;
  s->observer = gt_observer_new (s->raw, error);
  if (s->observer == NULL)
    return FALSE;
  s->watch = gt_watch_new (s->raw, s->observer, s->trace_path, s->stop.fd, error);
  if (s->watch == NULL)
    return FALSE;
  gt_progress_attach (s->progress, s->watch);
  return TRUE;
}

/* At a broker that is not our own nothing of ours stays. What cannot be removed any more (the
 * broker is gone) is not worth failing for. */
static void
remove_queues (const Session *s)
{
  gboolean own = s->rabbit != NULL || strstr (s->options->broker, "://") == NULL;
  for (guint i = 0; s->broker != NULL && !own && i < s->queues->len; i++)
    if (!gt_broker_delete (s->broker, s->queues->pdata[i], in_ns (END_LIMIT_NS), NULL))
      return;
}

/* The last record: what was left anywhere, found by the run's mark, and why the run ended. */
static gboolean
record_end (Session *s, gboolean ok, GError **error)
{
  g_autoptr (GError) census_error = NULL;
  int left = gt_observer_count_marked (s->mark, &census_error);
  gboolean interrupted
      = !ok && error != NULL && g_error_matches (*error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED);
  json_t *record
      = json_pack ("{ss sI si sb ss?}", "k", "final", "t", now_ns (), "left", left, "interrupted",
                   interrupted, "error", !ok && error != NULL ? (*error)->message : NULL);
  ok = gt_raw_write (s->raw, record, ok ? error : NULL) && ok;
  if (ok && left != 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER, "%s",
                 left < 0 ? census_error->message : "processes of the run remained");
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
  g_clear_pointer (&s->observer, gt_observer_free);
  if (s->queues != NULL)
    remove_queues (s);
  g_clear_pointer (&s->broker, gt_broker_close);
  g_clear_pointer (&s->rabbit, gt_rabbit_stop);
  g_clear_pointer (&s->janitor, gt_family_free);
  if (s->raw != NULL && !ok && s->queues->len == 0) {
    gt_raw_discard (s->raw);
  } else if (s->raw != NULL) {
    ok = record_end (s, ok, error);
    ok = gt_raw_close (s->raw, ok ? error : NULL) && ok;
  }
  if (s->options->keep && s->run_dir != NULL)
    gt_progress_warn (s->progress, "kept: %s", s->run_dir);
  gt_progress_free (s->progress);
  g_clear_pointer (&s->queues, g_ptr_array_unref);
  g_clear_pointer (&s->runtimes, gt_runtimes_free);
  g_clear_pointer (&s->rows, g_hash_table_unref);
  char *const texts[]
      = { s->run_dir, s->subject_dir, s->trace_path, s->broker_url, s->reply_queue, s->mark };
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
gt_session_run (const GtExperiment *experiment, const GtSessionOptions *options, GError **error)
{
  Session session = { .experiment = experiment, .options = options, .stop = { .fd = -1 } };
  gboolean ok = set_up (&session, error);
  for (guint i = 0; ok && i < experiment->subjects->len; i++)
    ok = run_or_skip (&session, i, error);
  if (!ok)
    translate_error (error);
  return tear_down (&session, ok, error);
}
