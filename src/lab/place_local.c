#include "lab/place_local.h"

#include "broker/broker.h"
#include "lab/calibrate.h"
#include "lab/error.h"
#include "lab/eye.h"
#include "lab/rabbit.h"
#include "lab/worker.h"
#include "os/family.h"
#include "os/paths.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BROKER_LIMIT_NS    (90 * GT_NSEC_PER_SEC)
#define CALIBRATE_LIMIT_NS (120 * GT_NSEC_PER_SEC)
#define END_LIMIT_NS       (20 * GT_NSEC_PER_SEC)

typedef struct {
  GtPlace place;
  const char *broker;
  GtRuntimes *runtimes;
  char *subject_dir;
  const GtPlaceRun *run;
  char *trace_path, *broker_url, *queue;
  GtRabbit *rabbit; /* NULL = not ours to run */
  GtEye *eye;
  GHashTable *rows; /* "query/threads/driver/seconds" -> gint64 */
  GtFamily *family; /* of the subject at hand */
} Local;

static GtInstant
in_ns (gint64 ns)
{
  return gt_instant_add (gt_instant_now (), ns);
}

/* --- the run --------------------------------------------------------------------------------- */

static gboolean
start_rabbit (Local *l, GError **error)
{
  gt_progress_say (l->run->progress, "starting a private RabbitMQ");
  g_autofree char *folder = g_build_filename (l->run->run_dir, "rabbitmq", NULL);
  g_mkdir_with_parents (folder, 0700);
  g_auto (GStrv) env = g_environ_setenv (g_get_environ (), "GILOTINE_MARK", l->run->mark, TRUE);
  l->rabbit = gt_rabbit_start (folder, (const char *const *) env, l->run->stop->fd,
                               in_ns (BROKER_LIMIT_NS), error);
  if (l->rabbit == NULL)
    return FALSE;
  l->broker_url = g_strdup (gt_rabbit_url (l->rabbit));
  return TRUE;
}

static const char *
local_open (GtPlace *place, const GtPlaceRun *run, GError **error)
{
  Local *l = (Local *) place;
  l->run = run;
  l->trace_path = g_build_filename (run->run_dir, "trace", NULL);
  if (strcmp (l->broker, "filesystem") == 0) {
    g_autofree char *folder = g_build_filename (run->run_dir, "broker", NULL);
    g_autofree char *escaped = g_uri_escape_string (folder, "/", FALSE);
    l->broker_url = g_strconcat ("filesystem://", escaped, NULL);
    g_mkdir_with_parents (folder, 0700);
  } else if (strcmp (l->broker, "rabbitmq") == 0) {
    if (!start_rabbit (l, error))
      return NULL;
  } else {
    l->broker_url = g_strdup (l->broker);
  }
  l->eye = gt_eye_new (run->raw, l->trace_path, error);
  return l->eye != NULL ? l->broker_url : NULL;
}

static char *
local_broker_name (const GtPlace *place)
{
  const Local *l = (const Local *) place;
  gboolean is_ours = strcmp (l->broker, "filesystem") == 0 || strcmp (l->broker, "rabbitmq") == 0;
  return is_ours ? g_strdup (l->broker) : gt_broker_url_display (l->broker);
}

static guint
local_cpus (const GtPlace *place)
{
  (void) place;
  return g_get_num_processors ();
}

static gboolean
local_close (GtPlace *place, GError **error)
{
  Local *l = (Local *) place;
  (void) error;
  g_clear_pointer (&l->eye, gt_eye_free);
  g_clear_pointer (&l->rabbit, gt_rabbit_stop);
  return TRUE;
}

static void
local_free (GtPlace *place)
{
  Local *l = (Local *) place;
  gt_runtimes_free (l->runtimes);
  g_hash_table_unref (l->rows);
  char *const texts[] = { l->subject_dir, l->trace_path, l->broker_url, l->queue };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_free (l);
}

/* --- subjects -------------------------------------------------------------------------------- */

static gboolean
local_missing (GtPlace *place, const GtSubject *subject, char **why, GError **error)
{
  (void) error;
  *why = g_str_equal (subject->factors[GT_FACTOR_REAPER], "worker")
             ? g_strdup ("the worker is PID 1 in a container only: --compose")
             : gt_runtimes_missing (((Local *) place)->runtimes, subject);
  return TRUE;
}

static void
local_describe (GtPlace *place, const GtSubject *subject, json_t *record)
{
  const Local *l = (const Local *) place;
  const struct {
    const char *key, *value;
  } facts[] = {
    { "python", gt_runtimes_version (l->runtimes, subject->factors[GT_FACTOR_RUNTIME]) },
    { "duckdb", gt_runtimes_duckdb_version (l->runtimes, subject) },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (facts); i++)
    json_object_set_new (record, facts[i].key,
                         facts[i].value != NULL ? json_string (facts[i].value) : json_null ());
}

/* A queue of this run alone: a task that an earlier one left at the broker is not ours. */
static const char *
local_queue (GtPlace *place, const GtSubject *subject)
{
  Local *l = (Local *) place;
  g_free (l->queue);
  l->queue = g_strdup_printf ("lab-%.8s-%s", l->run->mark, subject->name);
  return l->queue;
}

static GtWorkerContext
worker_context (const Local *l)
{
  return (GtWorkerContext){ .broker_url = l->broker_url,
                            .trace_path = l->trace_path,
                            .mark = l->run->mark,
                            .subject_dir = l->subject_dir,
                            .queue = l->queue };
}

static char **
worker_env (const Local *l, const GtSubject *subject)
{
  const GtWorkerContext context = worker_context (l);
  char **env = gt_worker_env (subject, l->runtimes, &context);
  return g_environ_setenv (env, "TMPDIR", l->run->run_dir, TRUE);
}

/* Calibrated once for each query, number of threads, driver (another DuckDB) and wanted time. */
static gint64
local_rows (GtPlace *place, const GtSubject *subject, GError **error)
{
  Local *l = (Local *) place;
  g_autofree char *key = gt_calibrate_key (subject);
  gint64 *known = g_hash_table_lookup (l->rows, key);
  if (known != NULL)
    return *known;
  gt_progress_say (l->run->progress, "calibrating the query to %g s (%s)",
                   subject->settings[GT_SETTING_QUERY_SECONDS], subject->factors[GT_FACTOR_DRIVER]);
  g_auto (GStrv) env = worker_env (l, subject);
  gint64 rows = gt_calibrate_rows (l->runtimes, subject, l->subject_dir, l->run->run_dir,
                                   (const char *const *) env, l->run->stop->fd,
                                   in_ns (CALIBRATE_LIMIT_NS), error);
  if (rows > 0)
    g_hash_table_insert (l->rows, g_steal_pointer (&key), g_memdup2 (&rows, sizeof rows));
  return rows;
}

static GtFamily *
spawn_worker (const Local *l, const GtSubject *subject, int *log_fd, GError **error)
{
  int log_pipe[2];
  if (!g_unix_open_pipe (log_pipe, FD_CLOEXEC, error))
    return NULL;
  const GtWorkerContext context = worker_context (l);
  g_auto (GStrv) argv = gt_worker_argv (subject, l->runtimes, &context);
  g_auto (GStrv) env = worker_env (l, subject);
  const GtFdMap fds[] = { { log_pipe[1], STDOUT_FILENO }, { log_pipe[1], STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = (const char *const *) argv;
  spec.env = (const char *const *) env;
  spec.cwd = l->run->run_dir;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  spec.command_end = GT_COMMAND_END_HOLD;
  /* A worker that is told to kill everything may kill its keeper: then its children come to us. */
  spec.adopt = TRUE;
  GtFamily *family = gt_family_spawn (&spec, error);
  close (log_pipe[1]);
  *log_fd = log_pipe[0];
  if (family == NULL)
    close (log_pipe[0]);
  return family;
}

static gboolean
record_spawn (const Local *l, const GtSubject *subject, GError **error)
{
  return gt_raw_write (l->run->raw,
                       json_pack ("{ss ss sI si si}", "k", "spawn", "s", subject->name, "t",
                                  (json_int_t) gt_instant_now ().ns, "root",
                                  (int) gt_family_root_pid (l->family), "worker",
                                  (int) gt_family_command_pid (l->family)),
                       error);
}

static gboolean
look (gpointer data, GtWatchState *state, GError **error)
{
  return gt_eye_look (((Local *) data)->eye, state, error);
}

static gboolean
close_eye (gpointer data, GtWatchState *state, GError **error)
{
  return gt_eye_close (((Local *) data)->eye, state, error);
}

static gboolean
ended (gpointer data, char **how, GError **error)
{
  GtFamily *family = ((Local *) data)->family;
  int status;
  (void) error;
  GtFamilyState state = gt_family_poll (family);
  if (!gt_family_ended (family, &status)) {
    if (state < GT_FAMILY_ENDED)
      return TRUE;
    status = SIGKILL; /* whoever killed the keeper killed the worker with it */
  }
  *how = WIFEXITED (status) ? g_strdup_printf ("exit code %d", WEXITSTATUS (status))
                            : g_strdup_printf ("signal %d", WTERMSIG (status));
  return TRUE;
}

static gboolean
local_start (GtPlace *place, const GtSubject *subject, const char *task_id, GtPlaced *placed,
             GError **error)
{
  Local *l = (Local *) place;
  l->family = spawn_worker (l, subject, &placed->log_fd, error);
  if (l->family == NULL)
    return FALSE;
  if (!record_spawn (l, subject, error)
      || !gt_eye_begin (l->eye, subject->name, task_id, gt_family_root_pid (l->family),
                        (guint) subject->settings[GT_SETTING_SAMPLE_MS], error)) {
    close (placed->log_fd);
    g_clear_pointer (&l->family, gt_family_free);
    return FALSE;
  }
  placed->sight = (GtSight){ .fd = gt_eye_fd (l->eye),
                             .look = look,
                             .end_fd = gt_family_fd (l->family),
                             .ended = ended,
                             .close = close_eye,
                             .data = l };
  return TRUE;
}

static gboolean
local_end (GtPlace *place, GError **error)
{
  return gt_family_end (((Local *) place)->family, in_ns (END_LIMIT_NS), error);
}

static void
local_forget (GtPlace *place)
{
  g_clear_pointer (&((Local *) place)->family, gt_family_free);
}

static const GtPlaceFuncs funcs = {
  .open = local_open,
  .broker_name = local_broker_name,
  .cpus = local_cpus,
  .missing = local_missing,
  .describe = local_describe,
  .rows = local_rows,
  .queue = local_queue,
  .start = local_start,
  .end = local_end,
  .forget = local_forget,
  .close = local_close,
  .free = local_free,
};

GtPlace *
gt_place_local_new (const char *broker, GError **error)
{
  g_autofree char *data_dir = gt_path_data ("lab", error);
  if (data_dir == NULL)
    return NULL;
  GtRuntimes *runtimes = gt_runtimes_load (error);
  if (runtimes == NULL)
    return NULL;
  g_autofree char *relative = g_build_filename (data_dir, "subject", NULL);
  Local *l = g_new0 (Local, 1);
  l->place.funcs = &funcs;
  l->broker = broker;
  l->runtimes = runtimes;
  l->subject_dir = g_canonicalize_filename (relative, NULL);
  l->rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return &l->place;
}
