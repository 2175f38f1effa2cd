/* COPY statements that this executor writes or rewrites: a result into a memory file, a file under
 * its name only when it is complete. */
#pragma once

#include "executor/duckdb_sender.h"
#include "executor/tempdir.h"

typedef struct {
  GtTempDir *temp;           /* not owned */
  char *target, *unfinished; /* NULL: no file is being written */
  int fd;                    /* of the memory file; -1: none */
  GtOutput output;
} GtCopy;

void gt_copy_init (GtCopy *self);
void gt_copy_clear (GtCopy *self); /* what is not complete is removed */

gboolean gt_copy_is_active (const GtCopy *self);
gboolean gt_copy_is_memory (const GtCopy *self);

/* `statement` (may be NULL: not known) as a COPY into a new memory file. */
gboolean gt_copy_to_memory (GtCopy *self, GtOutput output, duckdb_statement_type type,
                            const char *statement, char **sql, GtFailure *failure);

/* A COPY ... TO file with its target under a temporary name beside it; `*sql` stays NULL for one
 * that is left as it is (gt_sql_copy_target says which). One to /dev/stdout or another descriptor
 * is refused. */
gboolean gt_copy_to_target (GtCopy *self, GtTempDir *temp, guint64 job, const char *statement,
                            char **sql, GtFailure *failure);

/* After DuckDB has written all: on disk, then renamed. */
gboolean gt_copy_complete (GtCopy *self, GtFailure *failure);

/* The memory file, sealed, goes to the engine. */
gboolean gt_copy_send (GtCopy *self, GtSender *sender, gint64 statement, gint64 rows,
                       GtFailure *failure);
