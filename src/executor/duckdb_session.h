/* The database an executor has open, kept warm between jobs where that changes nothing for them. */
#pragma once

#include "executor/duckdb_api.h"
#include "executor/duckdb_job.h"
#include "executor/tempdir.h"

typedef struct {
  GtTempDir *temp; /* not owned */
  gint64 default_threads;

  duckdb_database database;     /* NULL: none is open */
  duckdb_connection connection; /* one job's, or fresh for the next one; NULL: none */
  char *path;                   /* NULL: in memory */
  gboolean read_only, dirty;    /* dirty: a job may have changed what the next one would see */
  gint64 memory_bytes, threads; /* in force; 0: DuckDB's default */
  char *settings;               /* what DuckDB says about them: SQL must not change it */
} GtSession;

/* Opens the memory database, so that the first job finds it warm. */
gboolean gt_session_warm (GtSession *self, GtFailure *failure);

/* The database and the limits that the job asks for, and a fresh connection. */
gboolean gt_session_begin (GtSession *self, const GtSqlJob *job, GtFailure *failure);

/* After a statement that sets things: temp_directory, memory_limit and threads are still ours. */
gboolean gt_session_check (GtSession *self, GtFailure *failure);

/* Of a file: ends the connection (rolls back what is open), closes a file that is not to be kept
 * open. May take long: a checkpoint. Before the job's answer, so that a file is free when it is
 * heard. */
void gt_session_end (GtSession *self, const GtSqlJob *job);

/* While nobody waits: the next job finds a fresh connection, and a memory database that no job has
 * changed. */
void gt_session_tidy (GtSession *self);

void gt_session_close (GtSession *self);

/* Threads that DuckDB keeps beyond those of the start, for a job that asked for more or fewer. */
gint64 gt_session_extra_threads (const GtSession *self);
