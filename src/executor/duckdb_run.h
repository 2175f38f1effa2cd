/* The statements of one job, one after the other. */
#pragma once

#include "executor/control.h"
#include "executor/duckdb_sender.h"
#include "executor/duckdb_session.h"

typedef struct {
  GtControl *control;
  GtSession *session;
  const GtSqlJob *job;
  GtSender sender;
  gint64 statements; /* completed */
} GtRun;

/* FALSE: `failure` says which statement and why; those before it are done. The connection is the
 * session's; interrupts are armed by the caller. */
gboolean gt_run_all (GtRun *self, GtFailure *failure);
