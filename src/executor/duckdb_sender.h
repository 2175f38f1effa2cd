/* Rows on their way to the engine, as chunks of newline-separated JSON. */
#pragma once

#include "executor/control.h"
#include "executor/duckdb_api.h"
#include "executor/duckdb_job.h"

typedef struct {
  GtControl *control; /* not owned */
  guint64 job;
  gint64 limit_bytes; /* 0: none */
  gint64 sent_bytes, rows, changed;
} GtSender;

/* All of one statement's result; streamed or not. FALSE: the query failed on the way, the limit was
 * reached, or the job was interrupted. */
gboolean gt_sender_rows (GtSender *self, duckdb_result *result, gint64 statement,
                         GtFailure *failure);

/* A frame with a head; takes `head`. FALSE is for a lost socket: it ends the program elsewhere. */
gboolean gt_sender_head (GtSender *self, GtWireType type, char *head, int fd);

/* Counts bytes that leave; FALSE: too many. */
gboolean gt_sender_count (GtSender *self, gint64 bytes, GtFailure *failure);
