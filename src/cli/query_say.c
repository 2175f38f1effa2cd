#include "cli/query_say.h"

#include "cli/cmd.h"
#include "cli/query_width.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* --- what may have been written ------------------------------------------------------------------
 */

gboolean
gt_query_may_write_elsewhere (const char *sql)
{
  static const char *const words[] = { "COPY", "EXPORT", "ATTACH", "INSTALL", "CALL", "EXECUTE" };
  g_autofree char *upper = g_ascii_strup (sql, -1);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    for (const char *at = upper; (at = strstr (at, words[i])) != NULL; at++) {
      char before = at > upper ? at[-1] : ' ', after = at[strlen (words[i])];
      if (!g_ascii_isalnum (before) && before != '_' && !g_ascii_isalnum (after) && after != '_')
        return TRUE;
    }
  return FALSE;
}

static gboolean
nothing_lasts (const GtQueryTask *task)
{
  const GtQueryOptions *options = task->options;
  return (options->database == NULL || options->read_only)
         && !gt_query_may_write_elsewhere (options->sql);
}

void
gt_query_judge_commit (const GtQueryTask *task, GtOutcomeRecord *record)
{
  if (record->committed != NULL)
    return;
  gboolean begun = record->started_ns >= 0;
  record->committed = !begun || nothing_lasts (task) ? "no" : "maybe";
}

static const char *
commit_text (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  gboolean committing = g_strcmp0 (record->acknowledged, "committing") == 0;
  if (g_strcmp0 (record->committed, "yes") == 0)
    return "it wrote, and what it wrote is committed";
  if (g_strcmp0 (record->committed, "no") == 0)
    return "nothing was written";
  if (committing)
    return "it was committing: the write may have happened, so look before you run it again";
  return task->options->database != NULL
             ? "a write may have happened, wholly or not at all for each transaction, so look "
               "before you run it again"
             : "what it wrote outside the database may be there, so look before you run it again";
}

/* Data, names of files and SQL come in messages: a terminal must obey nothing in them. */
static void
print_message (const char *text)
{
  g_autoptr (GString) shown = g_string_new (NULL);
  gt_query_append_message (shown, text);
  fputs (shown->str, stderr);
}

/* --- limits --------------------------------------------------------------------------------------
 */

static void
print_duration (FILE *out, gint64 ns)
{
  if (ns < GT_NSEC_PER_SEC)
    fprintf (out, "%.1f ms", (double) ns / (double) GT_NSEC_PER_MSEC);
  else
    fprintf (out, "%.3g s", (double) ns / (double) GT_NSEC_PER_SEC);
}

static void
print_limit (const GtQueryTask *task, GtLimitId id, GtInstant at)
{
  const GtLimits *limits = &task->limits;
  fprintf (stderr, "%s limit of ", gt_limit_name (id));
  print_duration (stderr, gt_instant_until (limits->made, at));
  if (limits->from[id] != GT_LIMIT_FROM_OPTION)
    fprintf (stderr, " (%s%s)", gt_limit_source_name (limits->from[id]),
             limits->from[id] == GT_LIMIT_FROM_ENVIRONMENT ? " " GT_DEADLINE_ENV : "");
}

static void
print_late (const GtOutcomeRecord *record, const char *what)
{
  fprintf (stderr, " reached: %s", what);
  if (record->overshoot_ns >= 0) {
    fputc (' ', stderr);
    print_duration (stderr, record->overshoot_ns);
    fputs (" late", stderr);
  }
  fputc ('\n', stderr);
}

/* What DuckDB did about the interrupt. */
static void
print_reaction (const GtOutcomeRecord *record, gboolean stopped)
{
  if (record->interrupted_ns < 0)
    fputs ("  DuckDB was not asked to stop: there was no soft limit\n", stderr);
  else if (stopped)
    fputs ("  DuckDB reacted to the interrupt\n", stderr);
  else if (g_strcmp0 (record->acknowledged, "committing") == 0)
    fputs ("  DuckDB was asked to stop, but was within a commit\n", stderr);
  else if (record->acknowledged != NULL)
    fputs ("  DuckDB was interrupted at the soft limit and did not react\n", stderr);
  else
    fputs ("  DuckDB was asked to stop and its process did not answer\n", stderr);
}

static void
print_write (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  fprintf (stderr, "  %s\n", commit_text (task, record));
}

static gboolean
waited_in_vain (const GtQueryTask *task)
{
  return task->waited_ns > 0 && task->result->record.started_ns >= 0
         && g_strcmp0 (task->result->error_class, "locked") == 0;
}

static void
say_timeout (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  gboolean soft = record->reason == GT_REASON_DEADLINE_SOFT;
  print_limit (task, soft ? GT_LIMIT_SOFT : GT_LIMIT_HARD,
               soft ? task->limits.soft : task->limits.hard);
  if (waited_in_vain (task)) {
    fputs (" reached: ", stderr);
    print_message (task->options->database);
    fprintf (stderr, " is still locked by %s\n",
             task->holder.text != NULL ? task->holder.text : "another process");
    return;
  }
  if (task->undelivered && record->killed_ns < 0) {
    print_late (record, "the query was done, but not all its rows were taken; given up");
    print_write (task, record);
    return;
  }
  if (record->started_ns < 0) {
    fputs (" reached before the query could begin\n", stderr);
    return;
  }
  gboolean stopped = record->outcome == GT_OUTCOME_SOFT_TIMEOUT;
  if (record->outcome == GT_OUTCOME_UNDEAD)
    print_late (record, "the query was killed but is not dead yet: the kernel holds it");
  else
    print_late (record, stopped ? "the query stopped" : "the query was killed");
  /* Killed in the middle of one more attempt to open the file. */
  if (task->waited_ns > 0 && task->holder.text != NULL) {
    fputs ("  ", stderr);
    print_message (task->options->database);
    fprintf (stderr, " was locked by %s when last looked at\n", task->holder.text);
  }
  if (record->outcome == GT_OUTCOME_COMMITTED)
    fputs ("  DuckDB answered the interrupt with an error, although its work is or may be there\n",
           stderr);
  else
    print_reaction (record, stopped);
  print_write (task, record);
}

/* --- the others ----------------------------------------------------------------------------------
 */

static void
say_error (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  const char *class_name = task->result->error_class;
  if (g_strcmp0 (class_name, "locked") == 0 && task->holder.text != NULL) {
    print_message (task->options->database);
    fprintf (stderr,
             " is locked by %s; wait for it to end, or give --soft or --hard and it is waited for "
             "until then\n",
             task->holder.text);
    return;
  }
  print_message (record->message != NULL ? record->message : "the query failed");
  fputc ('\n', stderr);
}

static void
say_other (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  const GtOutcomeInfo *info = gt_outcome_info (record->outcome);
  fprintf (stderr, "%s", info->text);
  if (record->message != NULL) {
    fputs (": ", stderr);
    print_message (record->message);
  }
  fputc ('\n', stderr);
  if (record->started_ns >= 0 && record->outcome != GT_OUTCOME_REFUSED)
    print_write (task, record);
}

static void
say_late (const GtQueryTask *task, const GtOutcomeRecord *record)
{
  print_limit (task, GT_LIMIT_SOFT, task->limits.soft);
  print_late (record, "the query answered all the same");
  print_write (task, record);
}

void
gt_query_say (const GtQueryTask *task)
{
  const GtOutcomeRecord *record = &task->result->record;
  if (task->write_errno == EPIPE && task->signo == 0)
    return; /* as other tools whose reader has what it wants */
  if (record->outcome == GT_OUTCOME_VALUE && task->write_errno == 0)
    return;
  fputs ("gilotine query: ", stderr);
  if (task->problem != NULL)
    fprintf (stderr, "%s\n", task->problem);
  else if (task->write_errno != 0 && task->write_errno != EPIPE) {
    print_message (task->out->shown);
    fprintf (stderr, ": %s\n", g_strerror (task->write_errno));
  } else if (task->signo != 0)
    fprintf (stderr, "cancelled by %s; %s\n", strsignal (task->signo), commit_text (task, record));
  else if (record->outcome == GT_OUTCOME_LATE_VALUE)
    say_late (task, record);
  else if (record->reason == GT_REASON_DEADLINE_SOFT || record->reason == GT_REASON_DEADLINE_HARD)
    say_timeout (task, record);
  else if (record->outcome == GT_OUTCOME_ERROR)
    say_error (task, record);
  else
    say_other (task, record);
}

char *
gt_query_report (const GtQueryTask *task)
{
  const GtJobResult *result = task->result;
  g_autofree char *text = gt_outcome_record_json (&result->record);
  json_t *record = json_loads (text, 0, NULL);
  json_object_set_new (record, "rows",
                       task->undelivered ? json_null () : json_integer ((json_int_t) task->rows));
  json_object_set_new (record, "error_class",
                       result->error_class != NULL ? json_string (result->error_class)
                                                   : json_null ());
  json_object_set_new (record, "holder_pid",
                       task->holder.pid > 0 ? json_integer (task->holder.pid) : json_null ());
  char *line = json_dumps (record, JSON_COMPACT);
  json_decref (record);
  return line;
}

int
gt_query_exit_code (const GtQueryTask *task)
{
  if (task->signo != 0)
    return 128 + task->signo;
  if (task->write_errno == EPIPE)
    return 128 + SIGPIPE;
  if (task->write_errno != 0)
    return GT_EXIT_SYSTEM;
  return gt_outcome_info (task->result->record.outcome)->exit_code;
}
