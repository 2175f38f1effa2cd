/* What a query costs through a warm executor, beside the same query in this process, and beside the
 * least that another process can do: one byte wakes it, it runs the query, one byte wakes this one.
 *
 *     bench-executor GILOTINE-DUCKDB LIBDUCKDB [SQL [ROUNDS]]
 *
 * They run in turns of ten, so that a noisy machine disturbs all. Prints microseconds. */
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

#define BLOCK 10

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
    gssize got = read (self->fd, space, room);
    if (got <= 0)
      g_error ("the executor is gone");
    gt_wire_decoder_filled (self->decoder, (gsize) got);
  }
}

static void
ask (Executor *self, const char *body)
{
  static const char head[] = "{\"kind\":\"sql\"}";
  GtFrame frame = { .type = GT_WIRE_JOB,
                    .job = ++self->job,
                    .head = head,
                    .head_bytes = sizeof head - 1,
                    .body = (const guint8 *) body,
                    .body_bytes = strlen (body),
                    .fd = -1 };
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  if (!gt_wire_encode (&frame, bytes, NULL)
      || write (self->fd, bytes->data, bytes->len) != (gssize) bytes->len)
    g_error ("the job cannot be sent");
  wait_for (self, GT_WIRE_END);
}

static void
ask_bare (int fd)
{
  char byte = 0;
  if (write (fd, &byte, 1) != 1 || read (fd, &byte, 1) != 1)
    g_error ("the bare process is gone");
}

static int
compare (const void *a, const void *b)
{
  gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;
  return left < right ? -1 : left > right;
}

static double
percentile (gint64 *sorted, int n, double part)
{
  return (double) sorted[(int) (part * (n - 1))] / 1000.0;
}

static double
print (const char *name, gint64 *ns, int n)
{
  qsort (ns, (gsize) n, sizeof *ns, compare);
  (void) printf ("%-10s p50 %8.1f us  p90 %8.1f us  p99 %8.1f us  max %8.1f us\n", name,
                 percentile (ns, n, 0.5), percentile (ns, n, 0.9), percentile (ns, n, 0.99),
                 percentile (ns, n, 1.0));
  return percentile (ns, n, 0.5);
}

static void
run (const Library *library, Executor *executor, int bare, const char *sql, int rounds)
{
  g_autofree gint64 *inside = g_new (gint64, rounds), *outside = g_new (gint64, rounds);
  g_autofree gint64 *barely = g_new (gint64, rounds);
  duckdb_database database = NULL;
  duckdb_connection connection = NULL;
  json_t *json = json_pack ("{s:s}", "sql", sql);
  char *body = json_dumps (json, JSON_COMPACT);
  open_memory (library, &database, &connection);
  rounds -= rounds % BLOCK;
  int warming = rounds / 10 / BLOCK * BLOCK;
  for (int i = -warming; i < rounds; i += BLOCK) {
    for (int k = 0; k < BLOCK; k++) {
      GtInstant begin = gt_instant_now ();
      call (library, connection, sql);
      inside[MAX (i, 0) + k] = gt_instant_now ().ns - begin.ns;
    }
    for (int k = 0; k < BLOCK; k++) {
      GtInstant begin = gt_instant_now ();
      ask_bare (bare);
      barely[MAX (i, 0) + k] = gt_instant_now ().ns - begin.ns;
    }
    for (int k = 0; k < BLOCK; k++) {
      GtInstant begin = gt_instant_now ();
      ask (executor, body);
      outside[MAX (i, 0) + k] = gt_instant_now ().ns - begin.ns;
    }
  }
  double here = print ("in process", inside, rounds);
  double least = print ("bare", barely, rounds);
  double there = print ("executor", outside, rounds);
  (void) printf ("overhead   p50 %8.1f us, of the bare process %.1f us\n", there - here,
                 least - here);
  library->duckdb_disconnect (&connection);
  library->duckdb_close (&database);
  free (body);
  json_decref (json);
}

int
main (int argc, char **argv)
{
  Library library;
  Executor executor = { 0 };
  if (argc < 3)
    g_error ("bench-executor GILOTINE-DUCKDB LIBDUCKDB [SQL [ROUNDS]]");
  g_autofree char *folder = g_dir_make_tmp ("gilotine-bench-XXXXXX", NULL);
  g_autofree char *temp_dir = g_build_filename (folder, "executor", NULL);
  start (&executor, argv[1], temp_dir);
  wait_for (&executor, GT_WIRE_READY);
  const char *sql = argc > 3 ? argv[3] : "select 42";
  pid_t bare_pid = 0;
  int bare = start_bare (argv[2], sql, &bare_pid);
  load (&library, argv[2]);
  int rounds = argc > 4 ? (int) g_ascii_strtoll (argv[4], NULL, 10) : 5000;
  run (&library, &executor, bare, sql, MAX (rounds, 10));
  (void) close (bare);
  (void) waitpid (bare_pid, NULL, 0);
  (void) close (executor.fd);
  (void) waitpid (executor.pid, NULL, 0);
  gt_wire_decoder_free (executor.decoder);
  g_autofree char *command = g_strdup_printf ("rm -r '%s'", folder);
  return system (command) == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* NOLINT: a bench's own folder */
}
