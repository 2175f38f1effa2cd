#include "executor/duckdb_run.h"

#include "executor/duckdb_bind.h"
#include "executor/duckdb_copy.h"
#include "executor/duckdb_fail.h"
#include "executor/duckdb_sql.h"
#include "executor/sql_text.h"

#include <string.h>

/* How a statement is treated. */
typedef enum {
  QUERY = 1 << 0,    /* reads only: streamed, no commit */
  SETTING = 1 << 1,  /* may set what is the executor's */
  OUTSIDE = 1 << 2,  /* its effect lasts even from a database in memory */
  TRANSACT = 1 << 3, /* BEGIN, COMMIT, ROLLBACK */
  EXPLAINS = 1 << 4,
  UNCLEAR = 1 << 5, /* may write or not: nobody says */
  PASSING = 1 << 6, /* nothing of it lasts */
  ALONE = 1 << 7,   /* not within a transaction of ours */
} Treatment;

/* DuckDB's statement type, treatment. Types that are not listed write into the database. */
#define TREATMENTS(X)                                                                              \
  X (SELECT, QUERY)                                                                                \
  X (RELATION, QUERY)                                                                              \
  X (LOGICAL_PLAN, QUERY)                                                                          \
  X (EXPLAIN, EXPLAINS | UNCLEAR | ALONE)                                                          \
  X (TRANSACTION, TRANSACT)                                                                        \
  X (COPY, OUTSIDE)                                                                                \
  X (EXPORT, OUTSIDE | ALONE)                                                                      \
  X (ATTACH, OUTSIDE | SETTING | ALONE)                                                            \
  X (DETACH, SETTING | PASSING)                                                                    \
  X (COPY_DATABASE, OUTSIDE | ALONE)                                                               \
  X (EXTENSION, OUTSIDE | SETTING | ALONE)                                                         \
  X (UPDATE_EXTENSIONS, OUTSIDE | SETTING | ALONE)                                                 \
  X (LOAD, SETTING | PASSING)                                                                      \
  X (CALL, OUTSIDE | SETTING | UNCLEAR | ALONE)                                                    \
  X (EXECUTE, OUTSIDE | SETTING | UNCLEAR | ALONE)                                                 \
  X (PREPARE, PASSING)                                                                             \
  X (VACUUM, PASSING)                                                                              \
  X (ANALYZE, PASSING)                                                                             \
  X (SET, SETTING | PASSING)                                                                       \
  X (VARIABLE_SET, SETTING | PASSING)                                                              \
  X (PRAGMA, SETTING)                                                                              \
  X (MULTI, OUTSIDE | SETTING | UNCLEAR | ALONE)

static int
treatment_of (duckdb_statement_type type)
{
  switch ((int) type) {
#define X(name, treatment)                                                                         \
  case DUCKDB_STATEMENT_TYPE_##name:                                                               \
    return treatment;
    TREATMENTS (X)
#undef X
  default:
    return 0;
  }
}

typedef struct {
  GtRun *run;
  GtFailure *failure;
  GtBinder binder;
  duckdb_extracted_statements list;
  idx_t n_statements, current;
  GStrv texts; /* NULL: not needed yet, or cannot be told apart */
  gboolean tried_texts, attached;
  gboolean in_transaction,
      unsure;  /* unsure: a statement began or ended one, and it is not known which */
  GtCopy copy; /* of the current statement */
} Runner;

static const char *
text_of (Runner *self)
{
  if (!self->tried_texts)
    self->texts
        = gt_sql_split (self->run->session->connection, self->run->job->sql, self->n_statements);
  self->tried_texts = TRUE;
  return self->texts == NULL ? NULL : self->texts[self->current];
}

static gboolean
interrupted (Runner *self)
{
  return gt_failure_set (self->failure, GT_WIRE_CLASS_INTERRUPTED,
                         "interrupted before statement %d was complete", (int) self->current + 1);
}

static gboolean
prepare_text (Runner *self, const char *sql, duckdb_prepared_statement *statement)
{
  if (duckdb_prepare (self->run->session->connection, sql, statement) == DuckDBSuccess)
    return TRUE;
  gt_failure_from_duckdb (self->failure, duckdb_prepare_error (*statement));
  duckdb_destroy_prepare (statement);
  return FALSE;
}

/* The statement itself, or the COPY that stands for it: into a memory file, or under a temporary
 * name. */
static gboolean
prepare (Runner *self, duckdb_prepared_statement *statement, int *treatment)
{
  GtRun *run = self->run;
  gboolean last = self->current + 1 == self->n_statements;
  if (duckdb_prepare_extracted_statement (run->session->connection, self->list, self->current,
                                          statement)
      != DuckDBSuccess) {
    gt_failure_from_duckdb (self->failure, duckdb_prepare_error (*statement));
    duckdb_destroy_prepare (statement);
    return FALSE;
  }
  *treatment = treatment_of (duckdb_prepared_statement_type (*statement));
  duckdb_statement_type type = duckdb_prepared_statement_type (*statement);
  gboolean to_file = last && run->job->output != GT_OUTPUT_ROWS;
  if (!to_file && type != DUCKDB_STATEMENT_TYPE_COPY)
    return TRUE;
  const char *text = text_of (self);
  g_autofree char *sql = NULL;
  gboolean good
      = to_file ? gt_copy_to_memory (&self->copy, run->job->output, type, text, &sql, self->failure)
                : gt_copy_to_target (&self->copy, run->session->temp, run->job->id, text, &sql,
                                     self->failure);
  if (good && sql == NULL) /* a COPY that is left as it is */
    return TRUE;
  duckdb_destroy_prepare (statement);
  if (!good || prepare_text (self, sql, statement))
    return good;
  if (strstr (self->failure->message, "Copy Function with name") != NULL && to_file)
    gt_failure_set (self->failure, GT_WIRE_CLASS_UNSUPPORTED,
                    "this DuckDB cannot write \"%s\"; ask for another output",
                    gt_output_name (run->job->output));
  return FALSE;
}

/* Runs until only the commit is left. FALSE: failed, or interrupted. */
static gboolean
execute_tasks (Runner *self, duckdb_pending_result pending)
{
  gulong nap_us = 20;
  for (;;) {
    duckdb_pending_state state = duckdb_pending_execute_task (pending);
    if (state == DUCKDB_PENDING_RESULT_READY)
      return TRUE;
    if (state == DUCKDB_PENDING_ERROR)
      return gt_failure_from_duckdb (self->failure, duckdb_pending_error (pending));
    if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE) { /* the other threads have them */
      g_usleep (nap_us);
      nap_us = MIN (nap_us * 2, 1000);
    }
  }
}

static gboolean
lasts (const Runner *self, int treatment)
{
  return (self->run->session->path != NULL || self->attached || (treatment & OUTSIDE) != 0)
         && (treatment & PASSING) == 0;
}

/* A commit that fails is rolled back, unless the database itself is in trouble: then nobody knows.
 */
static GtCommit
commit_outcome (Runner *self, gboolean done, int treatment)
{
  if (!lasts (self, treatment))
    return GT_COMMIT_NO;
  if (done)
    return (treatment & UNCLEAR) != 0 ? GT_COMMIT_MAYBE : GT_COMMIT_YES;
  static const char *const unclear[]
      = { "FATAL Error", "INTERNAL Error", "IO Error", "INTERRUPT Error" };
  for (gsize i = 0; i < G_N_ELEMENTS (unclear); i++)
    if (g_strcmp0 (self->failure->detail, unclear[i]) == 0)
      return GT_COMMIT_MAYBE;
  return GT_COMMIT_NO;
}

/* To its end: what comes after it is a commit of ours, or nothing. */
static gboolean
run_to_end (Runner *self, duckdb_prepared_statement statement, duckdb_result *result)
{
  duckdb_pending_result pending = NULL;
  gboolean good = duckdb_pending_prepared (statement, &pending) == DuckDBSuccess
                  || gt_failure_from_duckdb (self->failure, duckdb_pending_error (pending));
  good = good && execute_tasks (self, pending);
  if (good && duckdb_execute_pending (pending, result) != DuckDBSuccess)
    good = gt_failure_from_duckdb (self->failure, duckdb_result_error (result));
  duckdb_destroy_pending (&pending);
  return good;
}

static gboolean
run_words (Runner *self, const char *sql, GtFailure *failure)
{
  duckdb_result result;
  gboolean good = duckdb_query (self->run->session->connection, sql, &result) == DuckDBSuccess
                  || gt_failure_from_duckdb (failure, duckdb_result_error (&result));
  duckdb_destroy_result (&result);
  return good;
}

/* An own transaction around a statement that would commit by itself: where its work ends and its
 * commit begins is then known. (With DuckDB 1.5 the commit comes after the last task, with 2.0
 * within it.) Interrupted before the commit: rolled back. */
static gboolean
write_in_transaction (Runner *self, duckdb_prepared_statement statement, int treatment,
                      duckdb_result *result)
{
  GtControl *control = self->run->control;
  g_auto (GtFailure) ignored = { 0 };
  if (!run_words (self, "BEGIN TRANSACTION", self->failure))
    return FALSE;
  gboolean good = run_to_end (self, statement, result);
  if (good && gt_control_commit_begin (control)) {
    good = run_words (self, "COMMIT", self->failure);
    gt_control_commit_end (control, commit_outcome (self, good, treatment));
    return good;
  }
  (void) run_words (self, "ROLLBACK", &ignored);
  return good && interrupted (self);
}

/* The rename is the commit. */
static gboolean
write_file (Runner *self, duckdb_prepared_statement statement, int treatment, duckdb_result *result)
{
  if (!run_to_end (self, statement, result))
    return FALSE;
  if (!gt_control_commit_begin (self->run->control))
    return interrupted (self);
  gboolean good = gt_copy_complete (&self->copy, self->failure);
  gt_control_commit_end (self->run->control, commit_outcome (self, good, treatment));
  return good;
}

static gboolean
write_statement (Runner *self, duckdb_prepared_statement statement, int treatment,
                 duckdb_result *result)
{
  if (gt_copy_is_active (&self->copy) && !gt_copy_is_memory (&self->copy))
    return write_file (self, statement, treatment, result);
  gboolean own
      = !self->in_transaction && !gt_copy_is_memory (&self->copy) && lasts (self, treatment);
  if (own && !self->unsure && (treatment & ALONE) == 0)
    return write_in_transaction (self, statement, treatment, result);
  gboolean good = run_to_end (self, statement, result);
  if (self->unsure)
    treatment |= UNCLEAR;
  if (own)
    gt_control_commit_end (self->run->control, commit_outcome (self, good, treatment));
  return good;
}

static gboolean
read_statement (Runner *self, duckdb_prepared_statement statement, duckdb_result *result)
{
  duckdb_pending_result pending = NULL;
  gboolean good = duckdb_pending_prepared_streaming (statement, &pending) == DuckDBSuccess;
  if (!good)
    gt_failure_from_duckdb (self->failure, duckdb_pending_error (pending));
  else if (duckdb_execute_pending (pending, result) != DuckDBSuccess)
    good = gt_failure_from_duckdb (self->failure, duckdb_result_error (result));
  duckdb_destroy_pending (&pending);
  return good;
}

/* BEGIN and ROLLBACK are quick; COMMIT must not be interrupted: all of it is a commit section. */
static gboolean
transaction_statement (Runner *self, duckdb_prepared_statement statement, int treatment,
                       duckdb_result *result)
{
  const char *text = text_of (self);
  GtVerb verb = text == NULL ? GT_VERB_OTHER : gt_sql_verb (text);
  if (!gt_control_commit_begin (self->run->control))
    return interrupted (self);
  gboolean good = duckdb_execute_prepared (statement, result) == DuckDBSuccess
                  || gt_failure_from_duckdb (self->failure, duckdb_result_error (result));
  gboolean may_commit = verb == GT_VERB_COMMIT || verb == GT_VERB_OTHER;
  if (verb == GT_VERB_OTHER)
    treatment |= UNCLEAR;
  GtCommit outcome = may_commit ? commit_outcome (self, good, treatment) : GT_COMMIT_NO;
  gt_control_commit_end (self->run->control, outcome);
  self->unsure = self->unsure || verb == GT_VERB_OTHER;
  if (good)
    self->in_transaction = verb == GT_VERB_BEGIN;
  return good;
}

static gboolean
explain_writes (Runner *self)
{
  g_autofree char *upper = g_ascii_strup (self->run->job->sql, -1);
  return strstr (upper, "ANALY") != NULL;
}

static gboolean
execute (Runner *self, duckdb_prepared_statement statement, int treatment, duckdb_result *result)
{
  GtSession *session = self->run->session;
  gboolean reads = (treatment & QUERY) != 0 && !gt_copy_is_active (&self->copy);
  if ((treatment & EXPLAINS) != 0)
    reads = !explain_writes (self);
  /* What changed a database in memory must not be seen by the next job. */
  if (session->path == NULL && !reads && !gt_copy_is_active (&self->copy))
    session->dirty = TRUE;
  if (reads)
    return read_statement (self, statement, result);
  if ((treatment & TRANSACT) != 0)
    return transaction_statement (self, statement, treatment, result);
  return write_statement (self, statement, treatment, result);
}

static gboolean
send_result (Runner *self, int treatment, duckdb_result *result)
{
  GtRun *run = self->run;
  if (gt_copy_is_memory (&self->copy))
    return gt_copy_send (&self->copy, &run->sender, (gint64) self->current,
                         (gint64) duckdb_rows_changed (result), self->failure);
  if (!gt_sender_rows (&run->sender, result, (gint64) self->current, self->failure))
    return FALSE;
  self->attached = self->attached || (treatment & (OUTSIDE | SETTING)) == (OUTSIDE | SETTING);
  return (treatment & SETTING) == 0 || gt_session_check (run->session, self->failure);
}

static gboolean
run_statement (Runner *self)
{
  duckdb_prepared_statement statement = NULL;
  duckdb_result result = { 0 };
  int treatment = 0;
  gboolean last = self->current + 1 == self->n_statements;
  if (gt_control_interrupted (self->run->control))
    return interrupted (self);
  if (!prepare (self, &statement, &treatment))
    return FALSE;
  gboolean good = gt_binder_bind (&self->binder, self->run->session->connection, statement, last,
                                  self->failure)
                  && execute (self, statement, treatment, &result)
                  && send_result (self, treatment, &result);
  duckdb_destroy_result (&result);
  duckdb_destroy_prepare (&statement);
  return good;
}

gboolean
gt_run_all (GtRun *run, GtFailure *failure)
{
  Runner self = { .run = run, .failure = failure };
  gboolean good = TRUE;
  gt_binder_init (&self.binder, run->job->params);
  gt_copy_init (&self.copy);
  self.n_statements
      = duckdb_extract_statements (run->session->connection, run->job->sql, &self.list);
  if (self.n_statements == 0) {
    const char *message = duckdb_extract_statements_error (self.list);
    good = message != NULL
               ? gt_failure_from_duckdb (failure, message)
               : gt_failure_set (failure, GT_WIRE_CLASS_SYNTAX, "there is no statement in the SQL");
  }
  for (; good && self.current < self.n_statements; self.current++) {
    good = run_statement (&self);
    gt_copy_clear (&self.copy);
    failure->statement = (gint64) self.current;
    run->statements += good ? 1 : 0;
  }
  g_strfreev (self.texts);
  duckdb_destroy_extracted (&self.list);
  gt_binder_clear (&self.binder);
  return good;
}
