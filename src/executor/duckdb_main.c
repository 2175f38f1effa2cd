/* gilotine-duckdb: the executor that holds DuckDB. The only program that links it. */
#include "executor/control.h"
#include "executor/duckdb_fail.h"
#include "executor/duckdb_run.h"
#include "executor/duckdb_session.h"
#include "executor/tempdir.h"
#include "os/machine_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME        "gilotine-duckdb"
#define EXIT_USAGE  2
#define EXIT_SYSTEM 111
#define DEFAULT_FD  3

typedef struct {
  int fd;
  gint64 threads;
  char *temp_dir;
} Options;

typedef struct {
  GtControl *control;
  GtSession session;
} Executor;

/* How many threads this process has; 0: /proc does not say. */
static gint64
count_entries (const char *path)
{
  DIR *dir = opendir (path);
  gint64 n = 0;
  if (dir == NULL)
    return 0;
  while (readdir (dir) != NULL) /* NOLINT: one thread reads this stream */
    n++;
  (void) closedir (dir);
  return n - 2; /* . and .. */
}

static gint64
count_threads (void)
{
  return count_entries ("/proc/self/task");
}

static gint64
count_fds (void)
{
  return count_entries ("/proc/self/fd") - 1; /* the folder itself */
}

static void
on_interrupt (gpointer data)
{
  duckdb_interrupt (data);
}

static gboolean
on_progress (gpointer data, GtProgress *out)
{
  duckdb_query_progress_type progress = duckdb_query_progress (data);
  *out = (GtProgress){ .percent = progress.percentage,
                       .rows_done = (gint64) progress.rows_processed,
                       .rows_total = (gint64) progress.total_rows_to_process };
  return TRUE;
}

/* Whether the job was begun: else its failure is a refusal. */
static gboolean
do_job (Executor *self, GtRun *run, GtFailure *failure, gboolean *begun)
{
  GtSession *session = &self->session;
  *begun = FALSE;
  if (!gt_session_begin (session, run->job, failure))
    return FALSE;
  *begun = TRUE;
  gt_control_arm (self->control, on_interrupt, session->connection);
  if (run->job->head.progress)
    gt_control_report (self->control, on_progress, session->connection);
  gboolean good = gt_run_all (run, failure);
  gt_control_disarm (self->control);
  return good;
}

/* Failures that another executor would meet as well are errors even when nothing has begun; what
 * this one cannot do is refused. */
static GtWireType
answer_type (gboolean begun, const GtFailure *failure)
{
  static const GtWireClass refusals[] = { GT_WIRE_CLASS_UNSUPPORTED, GT_WIRE_CLASS_INPUT };
  for (gsize i = 0; !begun && i < G_N_ELEMENTS (refusals); i++)
    if (g_strcmp0 (failure->class_name, gt_wire_class_name (refusals[i])) == 0)
      return GT_WIRE_REFUSED;
  return GT_WIRE_ERROR;
}

static void
answer (Executor *self, GtRun *run, gboolean good, gboolean begun, const GtFailure *failure)
{
  GtEnd end = { 0 };
  GtResultHead result = { .format = (char *) "sql",
                          .statements = run->statements,
                          .rows = run->sender.rows,
                          .changed = run->sender.changed };
  gt_sender_head (&run->sender, good ? GT_WIRE_RESULT : answer_type (begun, failure),
                  good ? gt_result_text (&result) : gt_failure_text (failure), -1);
  gt_control_finish (self->control, &end);
  end.late_value = good && end.interrupted;
  end.statements = run->statements;
  if (end.interrupted) {
    end.threads = count_threads () - gt_session_extra_threads (&self->session);
    end.fds = count_fds ();
  }
  gt_sender_head (&run->sender, GT_WIRE_END, gt_end_text (&end), -1);
}

static void
serve_job (Executor *self, const GtRequest *request)
{
  g_auto (GtSqlJob) job = { 0 };
  g_auto (GtFailure) failure = { 0 };
  gboolean begun = FALSE;
  GtRun run = { .control = self->control, .session = &self->session, .job = &job };
  run.sender = (GtSender){ .control = self->control, .job = request->job };
  gboolean good = gt_sql_job_parse (&job, request->job, request->head, request->body, &failure);
  run.sender.limit_bytes = job.head.result_bytes;
  if (good) {
    good = do_job (self, &run, &failure, &begun);
    gt_session_end (&self->session, &job);
  }
  answer (self, &run, good, begun, &failure);
  gt_session_tidy (&self->session);
}

static void
send_ready (Executor *self)
{
  GtReady ready = { .threads = count_threads (), .fds = count_fds () };
  char *head = gt_ready_text (&ready);
  GtFrame frame = { .type = GT_WIRE_READY, .head = head, .head_bytes = strlen (head), .fd = -1 };
  (void) gt_control_send (self->control, &frame, NULL);
  free (head);
}

static void
send_hello (Executor *self)
{
  g_autofree char *library = g_strdup_printf ("DuckDB %s", duckdb_library_version ());
  GtHello hello = { .protocol = GT_WIRE_VERSION,
                    .name = (char *) NAME,
                    .version = (char *) GT_VERSION,
                    .library = library,
                    .kinds = (char *) "sql",
                    .pid = getpid (),
                    .threads = count_threads (),
                    .fds = count_fds () };
  char *head = gt_hello_text (&hello);
  GtFrame frame = { .type = GT_WIRE_HELLO, .head = head, .head_bytes = strlen (head), .fd = -1 };
  (void) gt_control_send (self->control, &frame, NULL);
  free (head);
}

static void
serve (Executor *self)
{
  for (;;) {
    g_auto (GtRequest) request = { 0 };
    if (!gt_control_wait (self->control, &request) || request.type == GT_WIRE_BYE)
      return;
    if (request.type == GT_WIRE_JOB) {
      serve_job (self, &request);
    } else {
      self->session.dirty = TRUE;
      gt_session_tidy (&self->session);
      send_ready (self);
    }
  }
}

/* What was inherited must not decide how jobs run. SIGPIPE is ignored: DuckDB may write to sockets.
 */
static void
clean_signals (void)
{
  sigset_t none;
  for (int signo = 1; signo < NSIG; signo++)
    if (signo != SIGKILL && signo != SIGSTOP)
      (void) signal (signo, SIG_DFL);
  (void) signal (SIGPIPE, SIG_IGN);
  sigemptyset (&none);
  (void) sigprocmask (SIG_SETMASK, &none, NULL);
}

/* A dump would keep a killed executor, and its files, for as long as it is written. A limit of one
 * byte is the one that a core_pattern with a pipe obeys; being undumpable would do as well, but
 * hide the process from who measures it. */
static void
no_core_dumps (void)
{
  const struct rlimit one = { 1, 1 }, none = { 0, 0 };
  if (setrlimit (RLIMIT_CORE, &one) == 0)
    return;
  (void) setrlimit (RLIMIT_CORE, &none);
  (void) prctl (PR_SET_DUMPABLE, 0);
}

/* Nobody reads it, and there are more ways to name it in SQL than can be seen in the text: what is
 * written to it must fail. A socket is nothing that can be opened by a name. */
static void
no_output (void)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  (void) dup2 (fd, STDOUT_FILENO);
  if (fd != STDOUT_FILENO)
    (void) close (fd);
}

static void
print_help (void)
{
  (void) puts (
      "usage: " NAME " --temp-dir DIR [--fd N] [--threads N]\n"
      "\n"
      "Runs DuckDB queries for an engine, one at a time, over the connected socket that it was\n"
      "started with. The protocol is written down in executor-wire.md.\n"
      "\n"
      "  --temp-dir DIR  where DuckDB spills; made when missing, this executor's alone, emptied\n"
      "                  at the start and between jobs\n"
      "  --fd N          the socket's descriptor (3)\n"
      "  --threads N     worker threads of a job that does not say (one for\n"
      "                  each CPU that it may use)\n"
      "  --help, --version");
}

static gboolean
parse_number (const char *text, gint64 most, gint64 *out)
{
  char *end = NULL;
  *out = g_ascii_strtoll (text, &end, 10);
  return g_ascii_isdigit (*text) && *end == '\0' && *out <= most;
}

/* -1: go on; else the exit code. */
static int
parse_options (int argc, char **argv, Options *options)
{
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    gint64 fd = 0;
    if (g_str_equal (argv[i], "--help")) {
      print_help ();
      return EXIT_SUCCESS;
    }
    if (g_str_equal (argv[i], "--version")) {
      (void) printf (NAME " " GT_VERSION ", DuckDB %s\n", duckdb_library_version ());
      return EXIT_SUCCESS;
    }
    if (g_str_equal (argv[i], "--temp-dir") && *value != '\0') {
      options->temp_dir = argv[++i];
    } else if (g_str_equal (argv[i], "--fd") && parse_number (value, G_MAXINT, &fd)) {
      options->fd = (int) fd;
      i++;
    } else if (g_str_equal (argv[i], "--threads")
               && parse_number (value, 4096, &options->threads)) {
      i++;
    } else {
      (void) fprintf (stderr, NAME ": %s: not understood; see --help\n", argv[i]);
      return EXIT_USAGE;
    }
  }
  if (options->temp_dir != NULL)
    return -1;
  (void) fprintf (stderr, NAME ": --temp-dir is missing; see --help\n");
  return EXIT_USAGE;
}

static int
check_socket (int fd)
{
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM
      && fcntl (fd, F_SETFD, FD_CLOEXEC) == 0)
    return -1;
  (void) fprintf (stderr,
                  NAME ": descriptor %d is no connected stream socket; this program is started by "
                       "an engine (--fd N)\n",
                  fd);
  return EXIT_USAGE;
}

static int
run_executor (const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_auto (GtFailure) failure = { 0 };
  Executor self = { .session = { .default_threads = options->threads } };
  g_autoptr (GPtrArray) hierarchies = gt_hierarchies_read ();
  g_autoptr (GtTempDir) temp = gt_temp_dir_open (options->temp_dir, &error);
  if (temp != NULL)
    self.control = gt_control_new (options->fd, TRUE, NULL, NULL, &error);
  if (self.control == NULL) {
    (void) fprintf (stderr, NAME ": %s\n", error->message);
    return EXIT_SYSTEM;
  }
  if (self.session.default_threads == 0)
    self.session.default_threads = gt_hierarchies_cpus (hierarchies, NULL);
  self.session.temp = temp;
  if (!gt_session_warm (&self.session, &failure)) {
    (void) fprintf (stderr, NAME ": DuckDB does not start: %s\n", failure.message);
    return EXIT_SYSTEM;
  }
  send_hello (&self);
  send_ready (&self);
  serve (&self);
  gt_session_close (&self.session);
  gt_control_free (self.control);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  Options options = { .fd = DEFAULT_FD };
  g_set_prgname (NAME);
  int code = parse_options (argc, argv, &options);
  if (code >= 0)
    return code;
  code = check_socket (options.fd);
  if (code >= 0)
    return code;
  clean_signals ();
  no_core_dumps ();
  no_output ();
  return run_executor (&options);
}
