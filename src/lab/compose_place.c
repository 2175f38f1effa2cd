#include "lab/compose_place.h"

#include "lab/calibrate.h"
#include "lab/compose_engine.h"
#include "lab/compose_plan.h"
#include "lab/compose_stream.h"
#include "lab/error.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <unistd.h>

#define BUILD_LIMIT_NS     (3600 * GT_NSEC_PER_SEC)
#define BROKER_LIMIT_NS    (240 * GT_NSEC_PER_SEC)
#define COMMAND_LIMIT_NS   (120 * GT_NSEC_PER_SEC)
#define CALIBRATE_LIMIT_NS (180 * GT_NSEC_PER_SEC)
#define READY_LIMIT_NS     (60 * GT_NSEC_PER_SEC)
#define END_LIMIT_NS       (30 * GT_NSEC_PER_SEC)

/* What an image brings. */
typedef struct {
  char *python, *capi, *module; /* versions; NULL = not there */
} Facts;

typedef struct {
  GtPlace place;
  GtCompose *compose;
  const GtPlaceRun *run;
  char *overlay, *broker_url;
  GHashTable *rows;  /* "query/threads/driver/seconds" -> gint64 */
  GHashTable *facts; /* runtime -> Facts */
  /* of the subject at hand */
  char *service, *container;
  GtFamily *observer, *follower; /* the command lines that read them */
  int observer_errors;
  GtStream *stream;
} Compose;

static GtInstant
in_ns (gint64 ns)
{
  return gt_instant_add (gt_instant_now (), ns);
}

static void
facts_free (gpointer data)
{
  Facts *facts = data;
  g_free (facts->python);
  g_free (facts->capi);
  g_free (facts->module);
  g_free (facts);
}

/* --- the run --------------------------------------------------------------------------------- */

/* Adds what the service itself said last. */
static void
add_last_words (Compose *c, const char *service, GError **error)
{
  if (error == NULL || g_error_matches (*error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED))
    return;
  g_autofree char *said = gt_compose_last_words (c->compose, service);
  g_autofree char *cause = g_steal_pointer (&(*error)->message);
  (*error)->message = g_strdup_printf ("%s; %s said last: %s", cause, service,
                                       said != NULL && *said != '\0' ? said : "nothing");
}

static gboolean
start_broker (Compose *c, GError **error)
{
  static const char *const up[] = { "up", "--detach", "--wait", "rabbitmq", NULL };
  static const char *const port[] = { "port", "rabbitmq", "5672", NULL };
  g_autofree char *output = NULL;
  gt_progress_say (c->run->progress, "starting RabbitMQ in a container");
  if (!gt_compose_run (c->compose, up, in_ns (BROKER_LIMIT_NS), NULL, error)) {
    add_last_words (c, "rabbitmq", error);
    return FALSE;
  }
  if (!gt_compose_run (c->compose, port, in_ns (COMMAND_LIMIT_NS), &output, error))
    return FALSE;
  guint number = gt_compose_parse_port (output);
  if (number == 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
                 "rabbitmq has no published port: docker compose port says '%s'", output);
    return FALSE;
  }
  c->broker_url = g_strdup_printf ("amqp://guest:guest@127.0.0.1:%u//", number);
  return TRUE;
}

static const char *
compose_open (GtPlace *place, const GtPlaceRun *run, GError **error)
{
  static const char *const build[] = { "build", NULL };
  Compose *c = (Compose *) place;
  c->run = run;
  c->overlay = g_build_filename (run->run_dir, "overlay.yml", NULL);
  if (!gt_compose_open (c->compose, c->overlay, run->mark, run->stop->fd, error))
    return NULL;
  gt_progress_say (run->progress, "building the images (minutes the first time)");
  return gt_compose_run (c->compose, build, in_ns (BUILD_LIMIT_NS), NULL, error)
                 && start_broker (c, error)
             ? c->broker_url
             : NULL;
}

static char *
compose_broker_name (const GtPlace *place)
{
  return g_strdup_printf ("compose: RabbitMQ and workers in containers, Docker Engine %s",
                          gt_compose_engine_version (((const Compose *) place)->compose));
}

static guint
compose_cpus (const GtPlace *place)
{
  return gt_compose_cpus (((const Compose *) place)->compose);
}

static gboolean
compose_close (GtPlace *place, GError **error)
{
  Compose *c = (Compose *) place;
  if (c->run != NULL)
    gt_progress_say (c->run->progress, "removing the containers");
  return gt_compose_close (c->compose, error);
}

static void
compose_free (GtPlace *place)
{
  Compose *c = (Compose *) place;
  gt_compose_free (c->compose);
  g_hash_table_unref (c->rows);
  g_hash_table_unref (c->facts);
  char *const texts[] = { c->overlay, c->broker_url, c->service };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_free (c);
}

/* --- what a subject needs -------------------------------------------------------------------- */

/* A command in a new container of a worker's service, with its settings. */
static gboolean
run_in_worker (Compose *c, const GtSubject *subject, const char *const *command, gint64 limit_ns,
               char **output, GError **error)
{
  g_autofree char *service = gt_compose_service (subject);
  const char *const fixed[] = { "run", "--rm", "--no-deps", "--no-TTY", service };
  g_autoptr (GPtrArray) args = g_ptr_array_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (args, (gpointer) fixed[i]);
  for (; *command != NULL; command++)
    g_ptr_array_add (args, (gpointer) *command);
  g_ptr_array_add (args, NULL);
  return gt_compose_run (c->compose, (const char *const *) args->pdata, in_ns (limit_ns), output,
                         error);
}

static const char facts_script[]
    = "import ctypes, os, platform\n"
      "print('python=' + platform.python_version())\n"
      "version = ctypes.CDLL(os.environ['DUCKDB_LIBRARY']).duckdb_library_version\n"
      "version.restype = ctypes.c_char_p\n"
      "print('capi=' + version().decode().lstrip('v'))\n"
      "try:\n"
      "    import duckdb\n"
      "    print('module=' + duckdb.__version__)\n"
      "except ImportError:\n"
      "    pass\n";

/* What the image of a runtime brings; NULL with `error` when it does not run at all. */
static const Facts *
facts_of (Compose *c, const GtSubject *subject, GError **error)
{
  static const char *const command[] = { "python", "-c", facts_script, NULL };
  const char *runtime = subject->factors[GT_FACTOR_RUNTIME];
  Facts *facts = g_hash_table_lookup (c->facts, runtime);
  g_autofree char *output = NULL;
  if (facts != NULL || !run_in_worker (c, subject, command, COMMAND_LIMIT_NS, &output, error))
    return facts;
  facts = g_new0 (Facts, 1);
  facts->python = gt_compose_fact (output, "python");
  facts->capi = gt_compose_fact (output, "capi");
  facts->module = gt_compose_fact (output, "module");
  g_hash_table_insert (c->facts, (gpointer) runtime, facts);
  return facts;
}

static const char *
duckdb_of (const Facts *facts, const GtSubject *subject)
{
  return g_str_equal (subject->factors[GT_FACTOR_DRIVER], "module") ? facts->module : facts->capi;
}

static gboolean
compose_missing (GtPlace *place, const GtSubject *subject, char **why, GError **error)
{
  Compose *c = (Compose *) place;
  g_autofree char *service = gt_compose_service (subject);
  *why = NULL;
  if (!gt_compose_has_service (c->compose, service)) {
    *why = g_strdup_printf ("compose.yml has no service %s", service);
    return TRUE;
  }
  const Facts *facts = facts_of (c, subject, error);
  if (facts != NULL && duckdb_of (facts, subject) == NULL)
    *why
        = g_strdup_printf ("no DuckDB for driver '%s' in the image for '%s' (there is no wheel for "
                           "it)",
                           subject->factors[GT_FACTOR_DRIVER], subject->factors[GT_FACTOR_RUNTIME]);
  return facts != NULL;
}

static json_t *
string_or_null (const char *text)
{
  return text != NULL ? json_string (text) : json_null ();
}

static void
compose_describe (GtPlace *place, const GtSubject *subject, json_t *record)
{
  const Compose *c = (const Compose *) place;
  const Facts *facts = g_hash_table_lookup (c->facts, subject->factors[GT_FACTOR_RUNTIME]);
  g_autofree char *service = gt_compose_service (subject);
  json_object_set_new (record, "service", json_string (service));
  json_object_set_new (record, "reaper", json_string (gt_compose_reaper (subject)));
  json_object_set_new (record, "python", string_or_null (facts != NULL ? facts->python : NULL));
  json_object_set_new (record, "duckdb",
                       string_or_null (facts != NULL ? duckdb_of (facts, subject) : NULL));
}

/* The settings of one subject, for the commands from now on. */
static gboolean
write_overlay (const Compose *c, const GtSubject *subject, GError **error)
{
  g_autofree char *text = gt_compose_overlay (subject, c->run->mark, g_getenv ("DUCKDB_THREADS"),
                                              g_getenv ("LOG_LEVEL"));
  return g_file_set_contents (c->overlay, text, -1, error);
}

/* The image knows its library, the overlay the number of threads. */
static const char calibrate_script[]
    = "exec python -m calibrate --library \"$DUCKDB_LIBRARY\" --threads \"$DUCKDB_THREADS\" "
      "--spill /tmp \"$@\"";

static gint64
calibrate (Compose *c, const GtSubject *subject, GError **error)
{
  g_autofree char *seconds = g_strdup_printf ("%.3f", subject->settings[GT_SETTING_QUERY_SECONDS]);
  const char *const command[] = { "sh",
                                  "-c",
                                  calibrate_script,
                                  "calibrate",
                                  "--seconds",
                                  seconds,
                                  "--query",
                                  subject->factors[GT_FACTOR_QUERY],
                                  "--driver",
                                  subject->factors[GT_FACTOR_DRIVER],
                                  NULL };
  g_autofree char *output = NULL;
  gt_progress_say (c->run->progress, "calibrating the query to %g s (%s)",
                   subject->settings[GT_SETTING_QUERY_SECONDS], subject->factors[GT_FACTOR_DRIVER]);
  return write_overlay (c, subject, error)
                 && run_in_worker (c, subject, command, CALIBRATE_LIMIT_NS, &output, error)
             ? gt_calibrate_parse (output, error)
             : -1;
}

static gint64
compose_rows (GtPlace *place, const GtSubject *subject, GError **error)
{
  Compose *c = (Compose *) place;
  g_autofree char *key = gt_calibrate_key (subject);
  const gint64 *known = g_hash_table_lookup (c->rows, key);
  if (known != NULL)
    return *known;
  gint64 rows = calibrate (c, subject, error);
  if (rows > 0)
    g_hash_table_insert (c->rows, g_steal_pointer (&key), g_memdup2 (&rows, sizeof rows));
  return rows;
}

static const char *
compose_queue (GtPlace *place, const GtSubject *subject)
{
  Compose *c = (Compose *) place;
  g_free (c->service);
  c->service = gt_compose_service (subject);
  return gt_compose_queue (c->service);
}

/* --- a subject's life ------------------------------------------------------------------------ */

static gboolean
look (gpointer data, GtWatchState *state, GError **error)
{
  return gt_stream_look (((Compose *) data)->stream, state, error);
}

/* The observer ends with the worker, whose PID namespace it shares. */
static gboolean
ended (gpointer data, char **how, GError **error)
{
  Compose *c = data;
  if (gt_family_poll (c->observer) < GT_FAMILY_ENDED)
    return TRUE;
  if (!gt_compose_exit (c->compose, c->container, how, error))
    return FALSE;
  if (*how != NULL)
    return TRUE;
  char said[2000];
  ssize_t got = pread (c->observer_errors, said, sizeof said - 1, 0);
  said[MAX (got, 0)] = '\0';
  g_autofree char *valid = g_utf8_make_valid (said, -1);
  g_autofree char *last = gt_compose_last_lines (valid, 4);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "the observer of %s ended: %s", c->service,
               last);
  return FALSE;
}

static gboolean
start_observer (Compose *c, const GtSubject *subject, const char *task_id, GError **error)
{
  static const char *const args[]
      = { "run", "--rm", "--no-deps", "--no-TTY", "observer", "lab", "--observe=1", NULL };
  int pipe_fds[2];
  if (!g_unix_open_pipe (pipe_fds, FD_CLOEXEC, error))
    return FALSE;
  g_autofree char *path = g_build_filename (c->run->run_dir, "observer.log", NULL);
  c->observer_errors = g_open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  c->stream = gt_stream_new (pipe_fds[0], c->run->raw, subject->name, task_id);
  c->observer = gt_compose_start (c->compose, args, pipe_fds[1], c->observer_errors, error);
  close (pipe_fds[1]);
  return c->observer != NULL;
}

/* Waits until the stream says something, at most until then: FALSE when it does not. */
static gboolean
wait_for_stream (Compose *c, gboolean (*until) (const GtStream *), GtInstant limit, int cancel_fd,
                 GError **error)
{
  GtWatchState state = { 0 };
  while (!until (c->stream) && !gt_stream_ended (c->stream)) {
    struct pollfd fds[] = { { .fd = gt_stream_fd (c->stream), .events = POLLIN },
                            { .fd = cancel_fd, .events = POLLIN } };
    int n = poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (limit));
    if (n > 0 && fds[1].revents != 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
      return FALSE;
    }
    if (gt_instant_until (gt_instant_now (), limit) == 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "the observer of %s says nothing",
                   c->service);
      return FALSE;
    }
    if (n > 0 && !gt_stream_look (c->stream, &state, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
follow_log (Compose *c, GtPlaced *placed, GError **error)
{
  int pipe_fds[2];
  if (!g_unix_open_pipe (pipe_fds, FD_CLOEXEC, error))
    return FALSE;
  c->follower = gt_compose_follow (c->compose, c->container, pipe_fds[1], error);
  close (pipe_fds[1]);
  placed->log_fd = pipe_fds[0];
  if (c->follower == NULL)
    close (pipe_fds[0]);
  return c->follower != NULL;
}

static void
compose_forget (GtPlace *place)
{
  Compose *c = (Compose *) place;
  g_clear_pointer (&c->observer, gt_family_free);
  g_clear_pointer (&c->follower, gt_family_free);
  g_clear_pointer (&c->stream, gt_stream_free);
  g_clear_pointer (&c->container, g_free);
  if (c->observer_errors >= 0)
    close (c->observer_errors);
  c->observer_errors = -1;
}

static gboolean
start_worker (Compose *c, const GtSubject *subject, GError **error)
{
  const char *const up[] = { "up", "--detach", "--no-deps", "--no-build", c->service, NULL };
  if (!write_overlay (c, subject, error))
    return FALSE;
  if (!gt_compose_run (c->compose, up, in_ns (COMMAND_LIMIT_NS), NULL, error)) {
    add_last_words (c, c->service, error);
    return FALSE;
  }
  c->container = gt_compose_container (c->compose, c->service, error);
  return c->container != NULL
         && gt_raw_write (c->run->raw,
                          json_pack ("{ss ss sI si ss}", "k", "spawn", "s", subject->name, "t",
                                     (json_int_t) gt_instant_now ().ns, "root", 1, "container",
                                     c->container),
                          error);
}

/* The worker first: its PID namespace is what the observer joins. A worker that has ended by then
 * leaves none, which is a finding and no error: ended() tells how. */
static gboolean
compose_start (GtPlace *place, const GtSubject *subject, const char *task_id, GtPlaced *placed,
               GError **error)
{
  Compose *c = (Compose *) place;
  if (start_worker (c, subject, error) && start_observer (c, subject, task_id, error)
      && wait_for_stream (c, gt_stream_ready, in_ns (READY_LIMIT_NS), c->run->stop->fd, error)
      && follow_log (c, placed, error)) {
    placed->sight = (GtSight){ .fd = gt_stream_fd (c->stream),
                               .look = look,
                               .end_fd = gt_family_fd (c->observer),
                               .ended = ended,
                               .close = look,
                               .data = c };
    return TRUE;
  }
  compose_forget (place);
  return FALSE;
}

/* Removing the worker's container ends the observer and the log that are read. */
static gboolean
compose_end (GtPlace *place, GError **error)
{
  Compose *c = (Compose *) place;
  const char *const rm[] = { "rm", "--force", "--stop", "--volumes", c->service, NULL };
  gt_stream_stop_sampling (c->stream);
  gt_compose_ignore_cancel (c->compose, TRUE);
  gboolean ok = gt_compose_run (c->compose, rm, in_ns (END_LIMIT_NS), NULL, error)
                && wait_for_stream (c, gt_stream_ended, in_ns (END_LIMIT_NS), -1, error);
  while (ok && gt_family_poll (c->follower) < GT_FAMILY_ENDED) {
    struct pollfd fd = { .fd = gt_family_fd (c->follower), .events = POLLIN };
    if (poll (&fd, 1, (int) (END_LIMIT_NS / GT_NSEC_PER_MSEC)) <= 0)
      break;
  }
  gt_compose_ignore_cancel (c->compose, FALSE);
  return ok;
}

static const GtPlaceFuncs funcs = {
  .open = compose_open,
  .broker_name = compose_broker_name,
  .cpus = compose_cpus,
  .missing = compose_missing,
  .describe = compose_describe,
  .rows = compose_rows,
  .queue = compose_queue,
  .start = compose_start,
  .end = compose_end,
  .forget = compose_forget,
  .close = compose_close,
  .free = compose_free,
};

GtPlace *
gt_place_compose_new (const char *project_dir, GError **error)
{
  GtCompose *compose = gt_compose_new (project_dir, error);
  if (compose == NULL)
    return NULL;
  Compose *c = g_new0 (Compose, 1);
  c->place.funcs = &funcs;
  c->compose = compose;
  c->observer_errors = -1;
  c->rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  c->facts = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, facts_free);
  return &c->place;
}
