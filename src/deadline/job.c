/* Jobs, their answers, and which outcome an answer or an end is. */
#include "deadline/job.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

GtPart *
gt_part_new (int type, const void *head, gsize head_bytes, const void *body, gsize body_bytes,
             int fd)
{
  GtPart *part = g_new0 (GtPart, 1);
  part->type = type;
  part->head = head_bytes > 0 ? g_bytes_new (head, head_bytes) : NULL;
  part->body = body_bytes > 0 ? g_bytes_new (body, body_bytes) : NULL;
  part->fd = fd;
  return part;
}

gsize
gt_part_bytes (const GtPart *part)
{
  struct stat st;
  gsize bytes = part->body != NULL ? g_bytes_get_size (part->body) : 0;
  if (part->fd >= 0 && fstat (part->fd, &st) == 0 && st.st_size > 0)
    bytes += (gsize) st.st_size;
  return bytes;
}

void
gt_part_free (GtPart *part)
{
  g_clear_pointer (&part->head, g_bytes_unref);
  g_clear_pointer (&part->body, g_bytes_unref);
  if (part->fd >= 0)
    close (part->fd);
  g_free (part);
}

void
gt_job_result_free (GtJobResult *result)
{
  if (result == NULL)
    return;
  gt_outcome_record_clear (&result->record);
  g_ptr_array_unref (result->parts);
  g_free (result->error_class);
  g_free (result);
}

static gint64
ns_or_unknown (GtInstant at)
{
  return at.ns == GT_NEVER.ns ? -1 : at.ns;
}

GtJob *
gt_job_new (guint64 id, const GtJobSpec *spec, GtInstant now, gsize answer_bytes)
{
  GtJob *job = g_new0 (GtJob, 1);
  job->id = id;
  job->kind = g_strdup (spec->kind);
  job->body = spec->body != NULL ? g_bytes_ref (spec->body) : NULL;
  job->limits = spec->limits;
  job->threads = spec->threads;
  job->answer_bytes
      = spec->answer_bytes > 0 || spec->part != NULL ? spec->answer_bytes : answer_bytes;
  job->done = spec->done;
  job->progress = spec->progress;
  job->part = spec->part;
  job->data = spec->data;
  job->hard = spec->limits.hard;
  job->cpu_before_ns = -1;
  job->result = g_new0 (GtJobResult, 1);
  job->result->job = id;
  job->result->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_part_free);
  GtOutcomeRecord *record = &job->result->record;
  gt_outcome_record_init (record);
  record->queued_ns = now.ns;
  record->soft_ns = ns_or_unknown (spec->limits.soft);
  record->asked_ns = ns_or_unknown (spec->limits.hard);
  return job;
}

void
gt_job_free (GtJob *job)
{
  gt_job_result_free (job->result);
  g_clear_pointer (&job->body, g_bytes_unref);
  g_free (job->kind);
  g_free (job);
}

void
gt_job_drop_answer (GtJob *job)
{
  g_ptr_array_set_size (job->result->parts, 0);
  job->result->answer = NULL;
  job->result->holder_pid = 0;
  g_clear_pointer (&job->result->error_class, g_free);
}

/* By what stopped it: a cancel is a soft limit that somebody set. */
static void
set_interrupted (GtJob *job, GtOutcome outcome)
{
  GtOutcomeRecord *record = &job->result->record;
  record->reason = job->cancelled ? GT_REASON_CANCELLED : GT_REASON_DEADLINE_SOFT;
  record->outcome
      = outcome == GT_OUTCOME_SOFT_TIMEOUT && job->cancelled ? GT_OUTCOME_CANCELLED : outcome;
}

static void
set_error_outcome (GtJob *job, const GtEnd *end)
{
  GtOutcomeRecord *record = &job->result->record;
  const char *class_name = job->result->error_class;
  gboolean interrupted = record->interrupted_ns >= 0;
  record->outcome = GT_OUTCOME_ERROR;
  if (job->result->answer->type == GT_WIRE_REFUSED) {
    record->reason = GT_REASON_REFUSED;
    if (g_strcmp0 (class_name, gt_wire_class_name (GT_WIRE_CLASS_UNSUPPORTED)) == 0)
      record->outcome = GT_OUTCOME_REFUSED;
  } else if (interrupted && end->committed_late)
    set_interrupted (job, GT_OUTCOME_COMMITTED);
  else if (interrupted
           && g_strcmp0 (class_name, gt_wire_class_name (GT_WIRE_CLASS_INTERRUPTED)) == 0)
    set_interrupted (job, GT_OUTCOME_SOFT_TIMEOUT);
  else if (g_strcmp0 (class_name, gt_wire_class_name (GT_WIRE_CLASS_MEMORY)) == 0) {
    record->outcome = GT_OUTCOME_OUT_OF_MEMORY;
    record->reason = GT_REASON_MEMORY;
  } else if (g_strcmp0 (class_name, gt_wire_class_name (GT_WIRE_CLASS_RESULT_LIMIT)) == 0) {
    record->outcome = GT_OUTCOME_UNSENDABLE;
    record->reason = GT_REASON_RESULT;
  }
}

static const char *
commit_name (const char *name)
{
  static const char *const names[] = {
#define X(id, text) text,
    GT_COMMITS (X)
#undef X
  };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (names[i], name) == 0)
      return names[i];
  return NULL;
}

void
gt_job_settle (GtJob *job, const GtEnd *end)
{
  GtOutcomeRecord *record = &job->result->record;
  job->settled = TRUE;
  record->committed = commit_name (end->committed);
  if (job->result->answer->type != GT_WIRE_RESULT)
    set_error_outcome (job, end);
  else if (end->late_value && record->interrupted_ns >= 0)
    set_interrupted (job, GT_OUTCOME_LATE_VALUE);
}

/* The outcome of a kill for its reason. */
static GtOutcome
outcome_of_kill (GtReason why)
{
  switch (why) {
  case GT_REASON_DEADLINE_HARD:
    return GT_OUTCOME_HARD_TIMEOUT;
  case GT_REASON_CANCELLED:
  case GT_REASON_STOP:
    return GT_OUTCOME_CANCELLED;
  case GT_REASON_MEMORY:
    return GT_OUTCOME_OUT_OF_MEMORY;
  case GT_REASON_CPU:
  case GT_REASON_PROCESSES:
    return GT_OUTCOME_OVER_LIMIT;
  case GT_REASON_RESULT:
    return GT_OUTCOME_UNSENDABLE;
  case GT_REASON_ANSWER:
  case GT_REASON_DEADLINE_SOFT:
  case GT_REASON_SIGNAL:
  case GT_REASON_EXIT:
  case GT_REASON_PROTOCOL:
  case GT_REASON_START:
  case GT_REASON_REFUSED:
  case GT_REASON_COUNT:
    break;
  }
  return GT_OUTCOME_DIED;
}

/* Why a family ended that we did not kill, or killed only because its executor was going. */
static GtReason
reason_of_end (GtReason why, const GtEnding *ending)
{
  const GtFamilyReport *report = &ending->report;
  if (report->oom_count > 0 || report->cause == GT_FAMILY_CAUSE_MEMORY)
    return GT_REASON_MEMORY;
  if (report->cause == GT_FAMILY_CAUSE_CPU)
    return GT_REASON_CPU;
  if (report->cause == GT_FAMILY_CAUSE_PROCESSES)
    return GT_REASON_PROCESSES;
  if (report->cause == GT_FAMILY_CAUSE_DEADLINE)
    return GT_REASON_DEADLINE_HARD;
  if (why == GT_REASON_PROTOCOL)
    return why;
  return ending->wait_status >= 0 && WIFEXITED (ending->wait_status) ? GT_REASON_EXIT
                                                                     : GT_REASON_SIGNAL;
}

static gint64
instant_or_unknown (gint64 ns)
{
  return ns > 0 ? ns : -1;
}

static void
copy_report (GtOutcomeRecord *record, const GtEnding *ending, gint64 cpu_before_ns)
{
  const GtFamilyReport *report = &ending->report;
  record->dead_ns = instant_or_unknown (report->ended_ns);
  record->reaped_ns = instant_or_unknown (report->gone_ns);
  if (record->dead_ns < 0)
    record->dead_ns = record->reaped_ns;
  record->cpu_ns = MAX (report->cpu_ns - MAX (cpu_before_ns - report->set_up_ns, 0), 0);
  record->peak_memory_bytes = (gint64) report->peak_memory_bytes;
  record->peak_memory_by = gt_meter_name (report->peak_memory_by);
  record->oom_count = (gint64) report->oom_count;
  record->descendants_killed = (gint64) report->descendants_killed;
  record->was_stopped = record->was_stopped || report->was_stopped;
  record->domain = gt_domain_name (report->domain);
  if (ending->wait_status >= 0 && WIFEXITED (ending->wait_status))
    record->exit_code = WEXITSTATUS (ending->wait_status);
  else if (ending->wait_status >= 0)
    record->signal = WTERMSIG (ending->wait_status);
}

void
gt_job_conclude (GtJob *job, GtReason why, const char *problem, const GtEnding *ending)
{
  GtOutcomeRecord *record = &job->result->record;
  copy_report (record, ending, job->cpu_before_ns);
  if (job->settled) /* the answer was complete before the kill: only what it left was killed */
    return;
  if (why == GT_REASON_ANSWER || why == GT_REASON_PROTOCOL)
    why = reason_of_end (why, ending);
  record->reason = why;
  record->outcome = outcome_of_kill (why);
  if (record->leftovers < 0 && why == GT_REASON_EXIT)
    record->leftovers = (gint64) ending->report.leftovers;
  gt_job_drop_answer (job);
  g_free (record->message);
  record->message = g_strdup (problem != NULL ? problem : gt_reason_text (why));
}
