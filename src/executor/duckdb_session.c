#include "executor/duckdb_session.h"

#include "executor/duckdb_fail.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define SETTINGS_SQL                                                                               \
  "SELECT concat_ws('|', current_setting('temp_directory'), current_setting('memory_limit'), "     \
  "current_setting('threads'))"

/* Quick statements of our own. `text` (may be NULL): the first value, to be freed. */
static gboolean
run (duckdb_connection connection, const char *sql, char **text, GtFailure *failure)
{
  duckdb_result result;
  gboolean good = duckdb_query (connection, sql, &result) == DuckDBSuccess;
  if (!good)
    gt_failure_from_duckdb (failure, duckdb_result_error (&result));
  if (good && text != NULL) {
    duckdb_data_chunk chunk = duckdb_fetch_chunk (result);
    duckdb_string_t *values
        = chunk == NULL ? NULL : duckdb_vector_get_data (duckdb_data_chunk_get_vector (chunk, 0));
    *text = values == NULL
                ? g_strdup ("")
                : g_strndup (duckdb_string_t_data (values), duckdb_string_t_length (*values));
    if (chunk != NULL)
      duckdb_destroy_data_chunk (&chunk);
  }
  duckdb_destroy_result (&result);
  return good;
}

static gboolean
set_config (duckdb_config config, const char *name, const char *value, GtFailure *failure)
{
  return duckdb_set_config (config, name, value) == DuckDBSuccess
         || gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                            "this DuckDB does not take %s = %s: the limit cannot be enforced", name,
                            value);
}

static gboolean
configure (GtSession *self, duckdb_config config, const GtSqlJob *job, GtFailure *failure)
{
  g_autofree char *memory = g_strdup_printf (
      "%" G_GINT64_FORMAT "KiB", job == NULL ? 0 : MAX (job->head.memory_bytes / 1024, 1));
  gint64 wanted = job == NULL || job->head.threads == 0 ? self->default_threads : job->head.threads;
  g_autofree char *threads = g_strdup_printf ("%" G_GINT64_FORMAT, wanted);
  gboolean limited = job != NULL && job->head.memory_bytes > 0;
  return set_config (config, "temp_directory", self->temp->spill, failure)
         && set_config (config, "autoinstall_known_extensions", "false", failure)
         && set_config (config, "access_mode", self->read_only ? "READ_ONLY" : "READ_WRITE",
                        failure)
         && (wanted == 0 || set_config (config, "threads", threads, failure))
         && (!limited || set_config (config, "memory_limit", memory, failure));
}

/* The message of duckdb_open_ext names the lock's holder, when DuckDB knows it. */
static gboolean
open_database (GtSession *self, const GtSqlJob *job, GtFailure *failure)
{
  duckdb_config config = NULL;
  char *message = NULL;
  struct stat status;
  self->read_only = job != NULL && job->read_only;
  self->path = job == NULL ? NULL : g_strdup (job->database);
  if (self->read_only && stat (self->path, &status) != 0)
    return gt_failure_set (failure, errno == ENOENT ? GT_WIRE_CLASS_MISSING : GT_WIRE_CLASS_IO,
                           "%s: %s; a read-only database must exist", self->path,
                           g_strerror (errno));
  if (duckdb_create_config (&config) != DuckDBSuccess)
    return gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "DuckDB has no memory to begin with");
  if (!configure (self, config, job, failure)) {
    duckdb_destroy_config (&config);
    return FALSE;
  }
  duckdb_state state = duckdb_open_ext (self->path, &self->database, config, &message);
  duckdb_destroy_config (&config);
  if (state != DuckDBSuccess) {
    gt_failure_from_duckdb (failure, message);
    duckdb_free (message);
    return FALSE;
  }
  self->memory_bytes = job == NULL ? 0 : job->head.memory_bytes;
  self->threads = job == NULL ? 0 : job->head.threads;
  return TRUE;
}

void
gt_session_close (GtSession *self)
{
  if (self->connection != NULL)
    duckdb_disconnect (&self->connection);
  if (self->database != NULL)
    duckdb_close (&self->database);
  g_clear_pointer (&self->path, g_free);
  g_clear_pointer (&self->settings, g_free);
  self->connection = NULL;
  self->database = NULL;
  self->dirty = self->read_only = FALSE;
  self->memory_bytes = self->threads = 0;
}

static gboolean
connect_to (GtSession *self, GtFailure *failure)
{
  return duckdb_connect (self->database, &self->connection) == DuckDBSuccess
         || gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "no connection to the database");
}

static gboolean
apply_memory (GtSession *self, gint64 bytes, GtFailure *failure)
{
  if (bytes == self->memory_bytes)
    return TRUE;
  g_autofree char *sql = bytes == 0
                             ? g_strdup ("RESET memory_limit")
                             : g_strdup_printf ("SET memory_limit = '%" G_GINT64_FORMAT "KiB'",
                                                MAX (bytes / 1024, 1));
  g_clear_pointer (&self->settings, g_free);
  self->memory_bytes = bytes;
  return run (self->connection, sql, NULL, failure);
}

static gboolean
apply_threads (GtSession *self, gint64 threads, GtFailure *failure)
{
  if (threads == self->threads)
    return TRUE;
  gint64 wanted = threads == 0 ? self->default_threads : threads;
  g_autofree char *sql = wanted == 0 ? g_strdup ("RESET threads")
                                     : g_strdup_printf ("SET threads = %" G_GINT64_FORMAT, wanted);
  g_clear_pointer (&self->settings, g_free);
  self->threads = threads;
  return run (self->connection, sql, NULL, failure);
}

/* A correctness rule is not taken on trust: in a folder that others use too, DuckDB would read
 * their blocks (duckdb_api.h). */
static gboolean
spills_where_it_should (const GtSession *self, GtFailure *failure)
{
  g_autofree char *wanted = g_strconcat (self->temp->spill, "|", NULL);
  return g_str_has_prefix (self->settings, wanted)
         || gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL,
                            "DuckDB does not spill to %s; it says: %s", self->temp->spill,
                            self->settings);
}

/* What is in force, in DuckDB's words: asked once, compared after each statement that sets. */
static gboolean
remember_settings (GtSession *self, GtFailure *failure)
{
  return self->settings != NULL
         || (run (self->connection, SETTINGS_SQL, &self->settings, failure)
             && spills_where_it_should (self, failure));
}

static gboolean
fits (const GtSession *self, const GtSqlJob *job)
{
  return self->database != NULL && !self->dirty && g_strcmp0 (self->path, job->database) == 0
         && self->read_only == job->read_only;
}

gboolean
gt_session_warm (GtSession *self, GtFailure *failure)
{
  return open_database (self, NULL, failure) && connect_to (self, failure)
         && remember_settings (self, failure);
}

gboolean
gt_session_begin (GtSession *self, const GtSqlJob *job, GtFailure *failure)
{
  if (!fits (self, job)) {
    gt_session_close (self);
    if (!open_database (self, job, failure))
      return FALSE;
  }
  if (self->connection == NULL && !connect_to (self, failure))
    return FALSE;
  if (!apply_memory (self, job->head.memory_bytes, failure)
      || !apply_threads (self, job->head.threads, failure))
    return FALSE;
  if (job->head.progress
      && !run (self->connection,
               "SET enable_progress_bar = true; SET enable_progress_bar_print = false", NULL,
               failure))
    return FALSE;
  return remember_settings (self, failure);
}

gboolean
gt_session_check (GtSession *self, GtFailure *failure)
{
  g_autofree char *now = NULL;
  duckdb_connection other = NULL;
  self->dirty = TRUE;
  /* A connection of its own: the job's may be within a failed transaction. */
  if (duckdb_connect (self->database, &other) != DuckDBSuccess)
    return gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "no connection to the database");
  gboolean good = run (other, SETTINGS_SQL, &now, failure);
  duckdb_disconnect (&other);
  if (!good || g_strcmp0 (now, self->settings) == 0)
    return good;
  return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                         "temp_directory, memory_limit and threads are the executor's: SQL may not "
                         "set them (%s became %s); give limits with the job",
                         self->settings, now);
}

void
gt_session_end (GtSession *self, const GtSqlJob *job)
{
  if (self->path == NULL) /* nobody waits for it: gt_session_tidy */
    return;
  if (self->connection != NULL)
    duckdb_disconnect (&self->connection);
  self->connection = NULL;
  if (!job->keep_open || self->dirty)
    gt_session_close (self);
}

/* A used connection has settings, temporary tables and open transactions of its job. */
static gboolean
renew_connection (GtSession *self)
{
  g_auto (GtFailure) failure = { 0 };
  if (self->connection != NULL)
    duckdb_disconnect (&self->connection);
  self->connection = NULL;
  return connect_to (self, &failure);
}

void
gt_session_tidy (GtSession *self)
{
  g_auto (GtFailure) failure = { 0 };
  if (self->database != NULL && !self->dirty && renew_connection (self))
    return;
  gt_session_close (self);
  if (!gt_temp_dir_empty (self->temp->path, NULL) || !gt_session_warm (self, &failure))
    gt_session_close (self); /* the next job will say what is wrong */
}

gint64
gt_session_extra_threads (const GtSession *self)
{
  return self->threads == 0 || self->default_threads == 0 ? 0
                                                          : self->threads - self->default_threads;
}
