/* What a query came to: in words, as a record, as an exit code. */
#pragma once

#include "cli/query_task.h"

/* On standard error; nothing when all is well. */
void gt_query_say (const GtQueryTask *task);

/* A killed executor cannot say what it had written: what is known all the same. Sets `committed` to
 * "no" where nothing could last, else to "maybe". */
void gt_query_judge_commit (const GtQueryTask *task, GtOutcomeRecord *record);

/* The outcome record with `rows`, `error_class` and `holder_pid`; one line, to be freed with
 * free(). */
char *gt_query_report (const GtQueryTask *task);

/* Of the outcome; 128 + n when signal n ended it. */
int gt_query_exit_code (const GtQueryTask *task);

/* Whether text has one of the SQL words that write outside the database. Pure; a word within a
 * comment or a string counts too. */
gboolean gt_query_may_write_elsewhere (const char *sql);
