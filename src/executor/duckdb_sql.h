/* SQL as text, where DuckDB's C API does not say enough. Conservative: what is not certain is left
 * as it is. */
#pragma once

#include <duckdb.h>
#include <glib.h>

/* The texts of the `n_statements` statements that DuckDB finds in `sql`, without their semicolons,
 * each checked by DuckDB's own parser; NULL when they cannot be told apart. */
GStrv gt_sql_split (duckdb_connection connection, const char *sql, idx_t n_statements);

typedef enum { GT_VERB_OTHER, GT_VERB_BEGIN, GT_VERB_COMMIT, GT_VERB_ROLLBACK } GtVerb;

/* What a statement of type TRANSACTION does. */
GtVerb gt_sql_verb (const char *statement);

/* COPY ... TO 'path' [(options)]: the path, and where its literal stands. */
typedef struct {
  char *path;
  gsize start, end; /* of the literal with its quotes */
} GtCopyTarget;

/* FALSE: no such statement, or its target is not one plain local file (a URL, a device, a
 * partitioned or threaded output, an option that writes elsewhere or in place). */
gboolean gt_sql_copy_target (const char *statement, GtCopyTarget *out);
void gt_copy_target_clear (GtCopyTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtCopyTarget, gt_copy_target_clear)

/* The statement with another path. */
char *gt_sql_copy_elsewhere (const char *statement, const GtCopyTarget *target, const char *path);

char *gt_sql_quote (const char *text); /* 'it''s' */
