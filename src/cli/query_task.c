#include "cli/query_task.h"

#include "os/error.h"
#include "os/paths.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST_ROWS_NS (100 * GT_NSEC_PER_MSEC)
#define TICK_NS      (100 * GT_NSEC_PER_MSEC) /* of the bar */
#define LOCK_LEAST   (10 * GT_NSEC_PER_MSEC)  /* from one look at a locked file to the next */
#define LOCK_MOST    (200 * GT_NSEC_PER_MSEC)

/* While it runs. */
typedef struct {
  GtQueryTask *task;
  GtEngine *engine;
  GtQueryFeed *feed;
  GtQueryProgress progress;
  GBytes *body;
  int event_fd, signal_fd;
  gboolean watch_reader; /* standard output is a pipe: its reader may leave */
  guint64 job;
  gboolean cancelled;

  /* Under the lock: from the deadline thread. */
  GMutex lock;
  GtJobResult *arrived;
  double percent;
} Run;

/* --- from the deadline thread ------------------------------------------------------------------
 */

static void
on_done (GtJobResult *result, gpointer data)
{
  Run *run = data;
  const guint64 one = 1;
  g_mutex_lock (&run->lock);
  run->arrived = result;
  g_mutex_unlock (&run->lock);
  (void) !write (run->event_fd, &one, sizeof one);
}

static void
on_progress (guint64 job, double percent, gint64 done, gint64 total, gpointer data)
{
  Run *run = data;
  (void) job, (void) done, (void) total;
  g_mutex_lock (&run->lock);
  run->percent = percent;
  g_mutex_unlock (&run->lock);
}

static gboolean
on_part (guint64 job, GtPart *part, gpointer data)
{
  Run *run = data;
  return gt_query_feed_part (job, part, run->feed);
}

/* --- waiting ------------------------------------------------------------------------------------
 */

/* The first signal asks the query to stop, the next one does not wait for it. */
static void
on_signal (Run *run)
{
  struct signalfd_siginfo info;
  if (read (run->signal_fd, &info, sizeof info) != sizeof info)
    return;
  if (run->task->signo == 0)
    run->task->signo = (int) info.ssi_signo;
  if (run->job != 0 && !run->cancelled)
    gt_engine_cancel (run->engine, run->job);
  run->cancelled = TRUE;
}

static void
cancel_unread (Run *run)
{
  if (run->cancelled)
    return;
  run->cancelled = TRUE;
  run->watch_reader = FALSE;
  run->task->write_errno = EPIPE;
  if (run->job != 0)
    gt_engine_cancel (run->engine, run->job);
}

static void
draw (Run *run, const char *note)
{
  g_mutex_lock (&run->lock);
  double percent = run->percent;
  g_mutex_unlock (&run->lock);
  gt_query_progress_show (&run->progress, percent, note);
}

/* Until something happens, `until`, or the bar wants to move. */
static void
wait_once (Run *run, GtInstant until, const char *note)
{
  if (run->progress.wanted) {
    GtInstant tick = gt_instant_add (gt_instant_now (), TICK_NS);
    until = tick.ns < until.ns ? tick : until;
    draw (run, note);
  }
  struct pollfd fds[] = { { .fd = run->event_fd, .events = POLLIN },
                          { .fd = run->signal_fd, .events = POLLIN },
                          { .fd = run->watch_reader ? run->task->out->fd : -1 } };
  if (poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (until)) <= 0)
    return;
  guint64 count;
  if (fds[0].revents != 0)
    (void) !read (run->event_fd, &count, sizeof count);
  if (fds[1].revents != 0)
    on_signal (run);
  /* Rows that cannot be written end the query: nobody will see them. */
  int failed = gt_query_feed_errno (run->feed);
  if (failed != 0 && !run->cancelled) {
    cancel_unread (run);
    run->task->write_errno = failed;
  } else if ((fds[2].revents & (POLLERR | POLLNVAL)) != 0)
    cancel_unread (run);
}

static GtJobResult *
wait_for_result (Run *run)
{
  for (;;) {
    g_mutex_lock (&run->lock);
    GtJobResult *result = g_steal_pointer (&run->arrived);
    g_mutex_unlock (&run->lock);
    if (result != NULL)
      return result;
    wait_once (run, GT_NEVER, NULL);
  }
}

/* --- a file that others hold -------------------------------------------------------------------
 */

/* Nobody waits for ever: without a limit a locked file is an error at once. */
static GtInstant
patience (const GtQueryTask *task)
{
  if (task->limits.soft.ns != GT_NEVER.ns)
    return task->limits.soft;
  return task->limits.hard.ns != GT_NEVER.ns ? task->limits.hard : (GtInstant){ 0 };
}

static gboolean
is_locked (const GtJobResult *result)
{
  return result->record.outcome == GT_OUTCOME_ERROR
         && g_strcmp0 (result->error_class, "locked") == 0;
}

static void
see_holder (GtQueryTask *task)
{
  GtQueryHolder now;
  if (task->options->database == NULL || !gt_query_holder_find (task->options->database, &now))
    return;
  gt_query_holder_clear (&task->holder);
  task->holder = now;
}

/* The limit ended the wait; nothing was begun. */
static void
record_timeout (const GtQueryTask *task, GtOutcomeRecord *record)
{
  gboolean soft = task->limits.soft.ns != GT_NEVER.ns;
  record->outcome = soft ? GT_OUTCOME_SOFT_TIMEOUT : GT_OUTCOME_HARD_TIMEOUT;
  record->reason = soft ? GT_REASON_DEADLINE_SOFT : GT_REASON_DEADLINE_HARD;
  record->committed = "no";
  record->told_ns = gt_instant_now ().ns;
  record->dead_ns = record->reaped_ns = -1;
  gt_outcome_record_finish (record);
}

/* FALSE: the time is over, or we were told to stop. */
static gboolean
wait_for_file (Run *run, gint64 pause_ns)
{
  GtInstant limit = patience (run->task);
  GtInstant again = gt_instant_add (gt_instant_now (), pause_ns);
  GtInstant until = again.ns < limit.ns ? again : limit;
  g_autofree char *note = g_strdup_printf (
      "waiting for %s: it is held by %s", run->task->options->database,
      run->task->holder.text != NULL ? run->task->holder.text : "another process");
  while (!run->cancelled && gt_instant_until (gt_instant_now (), until) > 0)
    wait_once (run, until, note);
  return !run->cancelled && gt_instant_until (gt_instant_now (), limit) > 0;
}

/* --- the job ------------------------------------------------------------------------------------
 */

static GBytes *
make_body (const GtQueryOptions *options)
{
  json_t *body = json_pack ("{s:s, s:b}", "sql", options->sql, "read_only", options->read_only);
  if (options->database != NULL)
    json_object_set_new (body, "database", json_string (options->database));
  if (options->params != NULL)
    json_object_set (body, "params", options->params);
  if (options->format == GT_QUERY_FORMAT_PARQUET)
    json_object_set_new (body, "output", json_string ("parquet"));
  char *text = json_dumps (body, JSON_COMPACT);
  json_decref (body);
  return g_bytes_new_with_free_func (text, strlen (text), free, text);
}

static gboolean
submit (Run *run, GError **error)
{
  const GtQueryTask *task = run->task;
  GtJobSpec spec = { .kind = "sql",
                     .body = run->body,
                     .limits = task->limits,
                     .threads = task->options->threads,
                     .answer_bytes = (gsize) task->options->max_result_bytes,
                     .done = on_done,
                     .part = on_part,
                     .progress = run->progress.wanted ? on_progress : NULL,
                     .data = run };
  run->job = gt_engine_submit (run->engine, &spec, error);
  return run->job != 0;
}

/* Again and again while the file is held by somebody else. */
static gboolean
run_job (Run *run, GError **error)
{
  GtQueryTask *task = run->task;
  GtInstant met = GT_NEVER;
  for (gint64 pause_ns = LOCK_LEAST;; pause_ns = MIN (pause_ns * 2, LOCK_MOST)) {
    g_clear_pointer (&task->result, gt_job_result_free);
    if (!submit (run, error))
      return FALSE;
    task->result = wait_for_result (run);
    run->job = 0;
    if (!is_locked (task->result) || run->cancelled)
      break;
    if (met.ns == GT_NEVER.ns)
      met = gt_instant_now ();
    see_holder (task);
    if (patience (task).ns == 0)
      break;
    if (!wait_for_file (run, pause_ns)) {
      if (!run->cancelled)
        record_timeout (task, &task->result->record);
      break;
    }
  }
  task->waited_ns = met.ns == GT_NEVER.ns ? 0 : gt_instant_until (met, gt_instant_now ());
  return TRUE;
}

static gboolean
is_complete (const GtJobResult *result)
{
  return result->record.outcome == GT_OUTCOME_VALUE
         || result->record.outcome == GT_OUTCOME_LATE_VALUE;
}

/* Handing the rows over is within the hard limit. What a limit cut short is not worth a wait: only
 * what a reader takes at once still goes out. */
static GtInstant
rows_until (const GtQueryTask *task)
{
  GtInstant least = gt_instant_add (gt_instant_now (), LAST_ROWS_NS);
  GtInstant hard = task->limits.hard;
  gboolean whole = is_complete (task->result) || task->result->record.outcome == GT_OUTCOME_ERROR;
  return whole && hard.ns > least.ns ? hard : least;
}

/* The query was done, but not all of its rows have got out. */
static void
record_undelivered (GtQueryTask *task)
{
  GtOutcomeRecord *record = &task->result->record;
  task->undelivered = TRUE;
  if (!is_complete (task->result))
    return;
  record->outcome = task->signo != 0 ? GT_OUTCOME_CANCELLED : GT_OUTCOME_HARD_TIMEOUT;
  record->reason = task->signo != 0 ? GT_REASON_CANCELLED : GT_REASON_DEADLINE_HARD;
  if (task->signo == 0)
    record->asked_ns = task->limits.hard.ns;
  record->told_ns = gt_instant_now ().ns;
  gt_outcome_record_finish (record);
}

/* The rows that are still on their way to a reader. A signal does not wait for them. */
static void
wait_for_rows (Run *run)
{
  GtQueryTask *task = run->task;
  GtInstant until = rows_until (task);
  while (!gt_query_feed_is_over (run->feed) && task->signo == 0
         && gt_instant_until (gt_instant_now (), until) > 0)
    wait_once (run, until, NULL);
  if (task->write_errno == 0)
    task->write_errno = gt_query_feed_errno (run->feed);
  if (!gt_query_feed_is_over (run->feed)) {
    record_undelivered (task);
    return;
  }
  task->problem = g_strdup (gt_query_feed_problem (run->feed));
  task->rows = gt_query_feed_rows (run->feed);
}

/* --- start and end ------------------------------------------------------------------------------
 */

/* What whoever started us made us ignore stays ignored: nohup, a shell's background job. */
static int
open_signals (void)
{
  static const int wanted[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
  sigset_t set;
  sigemptyset (&set);
  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++) {
    struct sigaction now;
    if (sigaction (wanted[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
      sigaddset (&set, wanted[i]);
  }
  (void) pthread_sigmask (SIG_BLOCK, &set, NULL);
  (void) signal (SIGPIPE, SIG_IGN);
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static gboolean
start_engine (Run *run, GError **error)
{
  const GtQueryOptions *asked = run->task->options;
  g_autofree char *program = gt_path_program ("gilotine-duckdb", error);
  if (program == NULL) {
    g_prefix_error (error, "DuckDB is not at hand (tools/fetch-duckdb gets it, then build): ");
    return FALSE;
  }
  const char *argv[] = { program, "--temp-dir", "{temp}", NULL };
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.argv = argv;
  options.spares = G_MAXUINT;
  options.domain = asked->domain;
  options.temp_root = asked->temp_root;
  options.start_tries = 1;
  run->engine = gt_engine_new (&options, error);
  if (run->engine != NULL)
    gt_query_feed_set_engine (run->feed, run->engine);
  return run->engine != NULL;
}

static void
run_open (Run *run)
{
  struct stat st;
  GtQueryTask *task = run->task;
  g_mutex_init (&run->lock);
  run->percent = -1;
  run->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  run->signal_fd = open_signals ();
  run->watch_reader = fstat (task->out->fd, &st) == 0 && S_ISFIFO (st.st_mode);
  run->body = make_body (task->options);
  gt_query_progress_init (&run->progress, &task->limits, !task->options->no_progress);
  run->feed = gt_query_feed_new (task->options->format, task->look, task->out, &run->progress,
                                 run->event_fd);
}

static void
run_close (Run *run)
{
  gt_query_progress_hide (&run->progress, TRUE);
  if (!gt_query_feed_is_over (run->feed))
    return; /* its thread is in a write and uses what is here: left to the end of the process */
  gt_query_feed_free (run->feed);
  gt_query_progress_clear (&run->progress);
  g_bytes_unref (run->body);
  g_mutex_clear (&run->lock);
  (void) close (run->event_fd);
  (void) close (run->signal_fd);
  g_free (run);
}

gboolean
gt_query_task_run (GtQueryTask *task, GError **error)
{
  Run *run = g_new0 (Run, 1);
  run->task = task;
  run_open (run);
  gboolean good = start_engine (run, error) && run_job (run, error);
  gt_query_feed_end (run->feed, good && is_complete (task->result) && task->signo == 0);
  /* Before the rows: their reader may take for ever, and no executor shall stay for that. */
  g_clear_pointer (&run->engine, gt_engine_free);
  if (good)
    wait_for_rows (run);
  while (!good && !gt_query_feed_is_over (run->feed))
    wait_once (run, GT_NEVER, NULL);
  run_close (run);
  return good;
}

void
gt_query_task_clear (GtQueryTask *task)
{
  g_clear_pointer (&task->result, gt_job_result_free);
  g_clear_pointer (&task->problem, g_free);
  gt_query_holder_clear (&task->holder);
}
