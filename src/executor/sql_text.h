/* What DuckDB's C API does not tell about a statement, read from its text. Pure and conservative:
 * what is not certain is left as it is. */
#pragma once

#include <glib.h>

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

/* What a COPY ... TO writes to, whatever its options, where it is one plain text or name; STDOUT
 * and STDIN are /dev/stdout and /dev/stdin. NULL: not known, or no such statement. */
char *gt_sql_copy_path (const char *statement);

/* The statement with another path. */
char *gt_sql_copy_elsewhere (const char *statement, const GtCopyTarget *target, const char *path);

char *gt_sql_quote (const char *text); /* 'it''s' */
