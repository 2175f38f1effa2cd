/* What a query costs through a warm executor, beside the same query in this process, and beside the
 * least that another process can do: one byte wakes it, it runs the query, one byte wakes this one.
 *
 *     bench-executor GILOTINE-DUCKDB LIBDUCKDB [SQL [ROUNDS]]
 *
 * "executor": over its socket, the caller sleeps until the answer is there. "polled": the caller
 * looks for it instead, so that nobody has to be woken. "engine": gt_engine_run(), with a limit.
 *
 * They run in turns of ten, so that a noisy machine disturbs all. Prints microseconds. */
#include "deadline/engine.h"
#include "executor/wire.h"
#include "executor/wire_head.h"
#include "os/clock.h"

#include <dlfcn.h>
#include <duckdb.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Looked up, not linked: gilotine-duckdb is the only program that links DuckDB. */
#define FUNCTIONS(X)                                                                               \
  X (duckdb_open)                                                                                  \
  X (duckdb_connect)                                                                               \
  X (duckdb_query)                                                                                 \
  X (duckdb_fetch_chunk)                                                                           \
  X (duckdb_destroy_data_chunk)                                                                    \
  X (duckdb_destroy_result)                                                                        \
  X (duckdb_disconnect)                                                                            \
  X (duckdb_close)

#define BLOCK       10
#define LOOK_NS     200000 /* of the polling caller, then it sleeps as well */
#define WARM_NS     (30 * GT_NSEC_PER_SEC)
#define HARD_NS     (10 * GT_NSEC_PER_SEC)
#define DEFAULT_SQL "select 42"

typedef struct {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name cannot stand in them */
#define X(name) __typeof__ (&(name)) name;
  FUNCTIONS (X)
#undef X
} Library;

typedef struct {
  int fd;
  guint64 job;
  GtWireDecoder *decoder;
  pid_t pid;
  gboolean polls;
} Executor;

static void
load (Library *library, const char *path)
{
  void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL)
    g_error ("%s", dlerror ());
#define X(name)                                                                                    \
  library->name = (__typeof__ (library->name)) dlsym (handle, #name);                              \
  if (library->name == NULL)                                                                       \
    g_error ("%s has no %s", path, #name);
  FUNCTIONS (X)
#undef X
}

static void
open_memory (const Library *library, duckdb_database *database, duckdb_connection *connection)
{
  if (library->duckdb_open (NULL, database) != DuckDBSuccess
      || library->duckdb_connect (*database, connection) != DuckDBSuccess)
    g_error ("DuckDB does not open");
}

static void
call (const Library *library, duckdb_connection connection, const char *sql)
{
  duckdb_result result;
  duckdb_data_chunk chunk = NULL;
  if (library->duckdb_query (connection, sql, &result) != DuckDBSuccess)
    g_error ("the query fails here");
  while ((chunk = library->duckdb_fetch_chunk (result)) != NULL)
    library->duckdb_destroy_data_chunk (&chunk);
  library->duckdb_destroy_result (&result);
}

/* The bare process: the descriptor of its socket. It ends when that is closed. */
static int
start_bare (const char *library_path, const char *sql, pid_t *pid)
{
  int fds[2];
  char byte = 0;
  if (socketpair (AF_UNIX, SOCK_STREAM, 0, fds) != 0)
    g_error ("no socket");
  *pid = fork ();
  if (*pid != 0) {
    (void) close (fds[1]);
    return fds[0];
  }
  (void) close (fds[0]);
  Library library;
  duckdb_database database = NULL;
  duckdb_connection connection = NULL;
  load (&library, library_path);
  open_memory (&library, &database, &connection);
  while (read (fds[1], &byte, 1) == 1) {
    call (&library, connection, sql);
    if (write (fds[1], &byte, 1) != 1)
      break;
  }
  _exit (EXIT_SUCCESS);
}

static void
start (Executor *self, const char *program, const char *temp_dir)
{
  int fds[2];
  if (socketpair (AF_UNIX, SOCK_STREAM, 0, fds) != 0)
    g_error ("no socket");
  self->pid = fork ();
  if (self->pid == 0) {
    char text[16];
    (void) snprintf (text, sizeof text, "%d", fds[1]);
    (void) close (fds[0]);
    (void) execl (program, program, "--fd", text, "--temp-dir", temp_dir, (char *) NULL);
    _exit (127);
  }
  (void) close (fds[1]);
  self->fd = fds[0];
  self->decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
}

static gssize
receive (const Executor *self, void *space, gsize room)
{
  gssize got = -1;
  GtInstant until = gt_instant_add (gt_instant_now (), self->polls ? LOOK_NS : 0);
  while (got < 0 && gt_instant_until (gt_instant_now (), until) > 0)
    got = recv (self->fd, space, room, MSG_DONTWAIT);
  return got < 0 ? recv (self->fd, space, room, 0) : got;
}

static void
wait_for (Executor *self, GtWireType type)
{
  GtFrame frame = { .fd = -1 };
  for (;;) {
    while (gt_wire_decoder_next (self->decoder, &frame, NULL) == GT_WIRE_HAVE_FRAME) {
      if (frame.type == GT_WIRE_ERROR)
        g_error ("%.*s", (int) frame.head_bytes, frame.head);
      if (frame.type == type)
        return;
    }
    gsize room = 0;
    guint8 *space = gt_wire_decoder_space (self->decoder, &room);
    gssize got = receive (self, space, room);
    if (got <= 0)
      g_error ("the executor is gone");
    gt_wire_decoder_filled (self->decoder, (gsize) got);
  }
}

/* --- the ways --- */

typedef struct {
  Library library;
  duckdb_database database;
  duckdb_connection connection;
  const char *sql;
  GBytes *body; /* of the job */
  int bare;
  pid_t bare_pid;
  Executor executor;
  GtEngine *engine;
} Bench;

static void
in_process (Bench *bench)
{
  call (&bench->library, bench->connection, bench->sql);
}

static void
barely (Bench *bench)
{
  char byte = 0;
  if (write (bench->bare, &byte, 1) != 1 || read (bench->bare, &byte, 1) != 1)
    g_error ("the bare process is gone");
}

static void
ask (Bench *bench, gboolean polls)
{
  static const char head[] = "{\"kind\":\"sql\"}";
  Executor *executor = &bench->executor;
  GtFrame frame = { .type = GT_WIRE_JOB,
                    .job = ++executor->job,
                    .head = head,
                    .head_bytes = sizeof head - 1,
                    .body = g_bytes_get_data (bench->body, NULL),
                    .body_bytes = g_bytes_get_size (bench->body),
                    .fd = -1 };
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  if (!gt_wire_encode (&frame, bytes, NULL)
      || write (executor->fd, bytes->data, bytes->len) != (gssize) bytes->len)
    g_error ("the job cannot be sent");
  executor->polls = polls;
  wait_for (executor, GT_WIRE_END);
}

static void
asleep (Bench *bench)
{
  ask (bench, FALSE);
}

static void
polled (Bench *bench)
{
  ask (bench, TRUE);
}

static void
by_engine (Bench *bench)
{
  GtJobSpec spec = { .kind = "sql", .body = bench->body, .limits = GT_LIMITS_NONE };
  spec.limits.hard = gt_instant_add (gt_instant_now (), HARD_NS);
  g_autoptr (GtJobResult) result = gt_engine_run (bench->engine, &spec, NULL);
  if (result->record.outcome != GT_OUTCOME_VALUE)
    g_error ("the engine does not answer with a value");
}

static const struct {
  const char *name;
  void (*run) (Bench *bench);
} ways[] = { { "in process", in_process },
             { "bare", barely },
             { "executor", asleep },
             { "polled", polled },
             { "engine", by_engine } };

/* --- numbers --- */

static int
compare (const void *a, const void *b)
{
  gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;
  return left < right ? -1 : left > right;
}

static double
percentile (const gint64 *sorted, int n, double part)
{
  return (double) sorted[(int) (part * (n - 1))] / 1000.0;
}

static void
print (const char *name, gint64 *ns, int n, double *inside)
{
  qsort (ns, (gsize) n, sizeof *ns, compare);
  double middle = percentile (ns, n, 0.5);
  if (*inside == 0)
    *inside = middle;
  (void) printf ("%-10s p50 %8.1f us  p90 %8.1f us  p99 %8.1f us  max %8.1f us  over %+8.1f us\n",
                 name, middle, percentile (ns, n, 0.9), percentile (ns, n, 0.99),
                 percentile (ns, n, 1.0), middle - *inside);
}

static void
measure (Bench *bench, int rounds)
{
  double inside = 0;
  gint64 *ns[G_N_ELEMENTS (ways)];
  rounds -= rounds % BLOCK;
  int warming = rounds / 10 / BLOCK * BLOCK;
  for (gsize way = 0; way < G_N_ELEMENTS (ways); way++)
    ns[way] = g_new (gint64, rounds);
  for (int i = -warming; i < rounds; i += BLOCK)
    for (gsize way = 0; way < G_N_ELEMENTS (ways); way++)
      for (int k = 0; k < BLOCK; k++) {
        GtInstant begin = gt_instant_now ();
        ways[way].run (bench);
        ns[way][MAX (i, 0) + k] = gt_instant_now ().ns - begin.ns;
      }
  for (gsize way = 0; way < G_N_ELEMENTS (ways); way++) {
    print (ways[way].name, ns[way], rounds, &inside);
    g_free (ns[way]);
  }
}

/* --- start and end --- */

static GtEngine *
start_engine (const char *program)
{
  const char *argv[] = { program, "--temp-dir", "{temp}", NULL };
  GtEngineOptions options = GT_ENGINE_OPTIONS_INIT;
  options.argv = argv;
  options.spares = G_MAXUINT;
  g_autoptr (GError) error = NULL;
  GtEngine *engine = gt_engine_new (&options, &error);
  if (engine == NULL
      || !gt_engine_wait_warm (engine, 0, gt_instant_add (gt_instant_now (), WARM_NS), &error))
    g_error ("%s", error->message);
  return engine;
}

static void
set_up (Bench *bench, const char *program, const char *library_path, const char *temp_dir)
{
  json_t *json = json_pack ("{s:s}", "sql", bench->sql);
  char *text = json_dumps (json, JSON_COMPACT);
  bench->body = g_bytes_new (text, strlen (text));
  free (text);
  json_decref (json);
  start (&bench->executor, program, temp_dir);
  wait_for (&bench->executor, GT_WIRE_READY);
  bench->bare = start_bare (library_path, bench->sql, &bench->bare_pid);
  bench->engine = start_engine (program); /* a thread: after the forks */
  load (&bench->library, library_path);
  open_memory (&bench->library, &bench->database, &bench->connection);
}

static void
tear_down (Bench *bench)
{
  bench->library.duckdb_disconnect (&bench->connection);
  bench->library.duckdb_close (&bench->database);
  gt_engine_free (bench->engine);
  (void) close (bench->bare);
  (void) waitpid (bench->bare_pid, NULL, 0);
  (void) close (bench->executor.fd);
  (void) waitpid (bench->executor.pid, NULL, 0);
  gt_wire_decoder_free (bench->executor.decoder);
  g_bytes_unref (bench->body);
}

int
main (int argc, char **argv)
{
  if (argc < 3)
    g_error ("bench-executor GILOTINE-DUCKDB LIBDUCKDB [SQL [ROUNDS]]");
  Bench bench = { .sql = argc > 3 ? argv[3] : DEFAULT_SQL };
  int rounds = argc > 4 ? (int) g_ascii_strtoll (argv[4], NULL, 10) : 5000;
  g_autofree char *folder = g_dir_make_tmp ("gilotine-bench-XXXXXX", NULL);
  g_autofree char *temp_dir = g_build_filename (folder, "executor", NULL);
  set_up (&bench, argv[1], argv[2], temp_dir);
  measure (&bench, MAX (rounds, BLOCK));
  tear_down (&bench);
  g_autofree char *command = g_strdup_printf ("rm -r '%s'", folder);
  return system (command) == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* NOLINT: a bench's own folder */
}
