/* A slot walks the ladder: events in, actions carried out. */
#include "deadline/job.h"
#include "deadline/pool.h"

/* How long a state may last, where no option says so. */
#define SETTLE_NS         (20 * GT_NSEC_PER_MSEC) /* threads end after the answer */
#define SETTLE_LOOK_NS    (1 * GT_NSEC_PER_MSEC)
#define RETIRE_NS         (1 * GT_NSEC_PER_SEC)   /* a library may have to write before it closes */
#define LEAVE_NS          (50 * GT_NSEC_PER_MSEC) /* from its socket's end to its wait status */
#define UNDEAD_NS         (250 * GT_NSEC_PER_MSEC) /* a kill, and ... */
#define UNDEAD_PER_GIB_NS (100 * GT_NSEC_PER_MSEC) /* ... as much for its memory */
#define WATCH_CPU_NS      (1 * GT_NSEC_PER_MSEC)   /* the first look at what a limited job uses */
#define AGAIN_NS          (1 * GT_NSEC_PER_SEC)
#define LONG_JOB_NS                                                                                \
  (1 * GT_NSEC_PER_MSEC) /* from here on a whole look at its family does not matter */

/* What an answer costs beside its bytes: its parts, their heads, and descriptors while they are
 * kept. The executor counts bytes alone, so that this is bounded apart from them. */
#define PART_BYTES     128
#define OVERHEAD_BYTES ((gsize) 1 << 20)
#define MOST_FILES     64

static const GtPoolWorld *
world_of (const GtSlot *slot)
{
  return slot->pool->world;
}

static GtInstant
now_of (const GtSlot *slot)
{
  return world_of (slot)->now (slot->pool->data);
}

static GtInstant
earlier (GtInstant a, GtInstant b)
{
  return a.ns < b.ns ? a : b;
}

/* --- actions --- */

static GtReason
kill_reason (const GtSlot *slot, GtSlotState state, GtSlotEvent event)
{
  switch (event) {
  case GT_EVENT_HARD:
    /* A cancel brings the hard limit forward; one that comes after it changed nothing. */
    return slot->job->cancelled && slot->job->hard.ns != slot->job->limits.hard.ns
               ? GT_REASON_CANCELLED
               : GT_REASON_DEADLINE_HARD;
  case GT_EVENT_OVER:
    return slot->over;
  case GT_EVENT_STOP:
    return GT_REASON_STOP;
  case GT_EVENT_LATE:
    return state == GT_SLOT_STARTING ? GT_REASON_START : GT_REASON_PROTOCOL;
  case GT_EVENT_WANTED:
  case GT_EVENT_FAILED:
  case GT_EVENT_WARM:
  case GT_EVENT_JOB:
  case GT_EVENT_SOFT:
  case GT_EVENT_ACK:
  case GT_EVENT_ANSWER:
  case GT_EVENT_END:
  case GT_EVENT_END_BUSY:
  case GT_EVENT_END_LEFT:
  case GT_EVENT_SETTLED:
  case GT_EVENT_GARBAGE:
  case GT_EVENT_CLOSED:
  case GT_EVENT_DIED:
  case GT_EVENT_REAPED:
  case GT_EVENT_RECYCLE:
  case GT_SLOT_EVENT_COUNT:
    break;
  }
  return GT_REASON_PROTOCOL;
}

static void
set_problem (GtSlot *slot, const char *text)
{
  if (slot->problem == NULL)
    slot->problem = g_strdup (text);
}

static void
describe_kill (GtSlot *slot, GtSlotState state, GtSlotEvent event)
{
  if (slot->why == GT_REASON_START)
    set_problem (slot, "it was not ready in its time");
  else if (slot->why == GT_REASON_PROTOCOL && state == GT_SLOT_LEAVING)
    set_problem (slot, "the executor closed its socket and went on running");
  else if (slot->why == GT_REASON_PROTOCOL && slot->problem == NULL)
    slot->problem = g_strdup_printf ("the executor sent '%s' while %s", gt_slot_event_name (event),
                                     gt_slot_state_name (state));
}

static void
do_kill (GtSlot *slot)
{
  const GtPoolWorld *world = world_of (slot);
  /* Read before the kill: a dying process shows no memory, but takes time for it. */
  gint64 resident = MAX (world->resident_bytes (slot->pool->data, slot), 0);
  GtInstant now = now_of (slot);
  world->kill (slot->pool->data, slot);
  slot->watch = gt_instant_add (now, GT_SLOT_KILL_AGAIN_NS);
  slot->late = gt_instant_add (now, UNDEAD_NS + (resident >> 20) * UNDEAD_PER_GIB_NS / 1024);
  if (slot->job != NULL) {
    slot->job->result->record.killed_ns = now.ns;
    if (!slot->job->settled)
      gt_job_drop_answer (slot->job);
  }
  slot->pool->stats.killed++;
}

static void
do_send (GtSlot *slot)
{
  const GtPoolWorld *world = world_of (slot);
  GtJob *job = slot->job;
  const GtLimits *limits = &job->limits;
  job->cpu_before_ns = world->cpu_ns (slot->pool->data, slot);
  slot->shared_bytes = 0;
  slot->weighed = GT_NEVER;
  /* With a limit below what the executor has already no job is sent: whether it is over must not
   * depend on how short it is. */
  if (gt_slot_over_memory (slot)) {
    gt_slot_event (slot, GT_EVENT_OVER);
    return;
  }
  world->send_job (slot->pool->data, slot, job);
  GtInstant now = now_of (slot);
  job->result->record.started_ns = now.ns;
  gboolean watched = limits->cpu_ns > 0 || limits->from[GT_LIMIT_MEMORY] == GT_LIMIT_FROM_OPTION
                     || limits->from[GT_LIMIT_PROCESSES] == GT_LIMIT_FROM_OPTION;
  slot->watch = watched ? gt_instant_add (now, WATCH_CPU_NS) : GT_NEVER;
}

static void
do_interrupt (GtSlot *slot)
{
  g_assert (slot->job != NULL);
  world_of (slot)->send_interrupt (slot->pool->data, slot, slot->job->id);
  slot->job->result->record.interrupted_ns = now_of (slot).ns;
}

static void
tell (GtSlot *slot)
{
  GtJob *job = slot->job;
  slot->job = NULL;
  gt_pool_tell (slot->pool, job, job->result->record.outcome, job->result->record.reason);
}

static void
do_tell (GtSlot *slot)
{
  slot->jobs++;
  slot->pool->failures = 0; /* not when it is warm: it may fall over before it has done anything */
  slot->watch = GT_NEVER;
  GtOutcomeRecord *record = &slot->job->result->record;
  gint64 cpu = world_of (slot)->cpu_ns (slot->pool->data, slot);
  if (cpu >= 0 && slot->job->cpu_before_ns >= 0)
    record->cpu_ns = MAX (cpu - slot->job->cpu_before_ns, 0);
  record->domain = world_of (slot)->domain (slot->pool->data, slot);
  tell (slot);
}

/* Makes the slot as it was before any executor. */
static void
reset (GtSlot *slot)
{
  slot->why = GT_REASON_ANSWER;
  slot->over = GT_REASON_ANSWER;
  slot->warm = slot->late = slot->watch = slot->line = slot->weighed = GT_NEVER;
  slot->jobs = 0;
  g_clear_pointer (&slot->problem, g_free);
}

/* A start has failed, too, when the executor ended before it had a job and hardly lived: otherwise
 * one that always falls over would be started as fast as the machine can. */
static gboolean
was_failed_start (const GtSlot *slot, GtInstant now)
{
  if (slot->why == GT_REASON_STOP)
    return FALSE;
  if (slot->warm.ns == GT_NEVER.ns)
    return TRUE;
  return slot->jobs == 0 && slot->job == NULL && now.ns - slot->warm.ns < GT_NSEC_PER_SEC;
}

static char *
describe_end (const GtSlot *slot, const GtEnding *ending)
{
  if (slot->problem != NULL)
    return g_strdup (slot->problem);
  if (ending->wait_status >= 0 && WIFEXITED (ending->wait_status))
    return g_strdup_printf ("it exited with %d", WEXITSTATUS (ending->wait_status));
  if (ending->wait_status >= 0)
    return g_strdup_printf ("signal %d ended it", WTERMSIG (ending->wait_status));
  return g_strdup ("its keeper ended");
}

static void
do_reap (GtSlot *slot)
{
  GtEnding ending = { .wait_status = -1 };
  world_of (slot)->ending (slot->pool->data, slot, &ending);
  GtInstant now = now_of (slot);
  gboolean failed = was_failed_start (slot, now);
  g_autofree char *text = describe_end (slot, &ending);
  if (slot->job != NULL) {
    gt_job_conclude (slot->job, slot->why, slot->problem, &ending);
    tell (slot);
  }
  reset (slot);
  slot->wanted = now;
  if (failed)
    gt_pool_start_failed (slot->pool, slot, text);
}

static void
do_quarantine (GtSlot *slot)
{
  slot->late = gt_instant_add (now_of (slot), AGAIN_NS);
  GtJob *job = slot->job;
  if (job != NULL) {
    GtOutcomeRecord *record = &job->result->record;
    record->domain = world_of (slot)->domain (slot->pool->data, slot);
    if (!job->settled) {
      record->outcome = GT_OUTCOME_UNDEAD;
      record->reason = slot->why;
      record->message = g_strdup_printf (
          "killed because of %s, but the kernel has not ended it yet", gt_reason_text (slot->why));
    }
    tell (slot);
  }
  if (!slot->pool->stopping)
    gt_pool_add_slot (slot->pool);
}

static void
do_bury (GtSlot *slot)
{
  GtEnding ending = { .wait_status = -1 };
  world_of (slot)->ending (slot->pool->data, slot, &ending);
}

static void
act (GtSlot *slot, GtSlotState before, GtSlotEvent event, GtSlotAction action)
{
  const GtPoolWorld *world = world_of (slot);
  gpointer data = slot->pool->data;
  switch (action) {
  case GT_ACTION_START:
    reset (slot);
    slot->late = gt_instant_add (slot->since, slot->pool->options.start_limit_ns);
    slot->pool->stats.started++;
    world->start (data, slot);
    return;
  case GT_ACTION_ADOPT:
    slot->warm = slot->since;
    return;
  case GT_ACTION_SEND:
    do_send (slot);
    return;
  case GT_ACTION_INTERRUPT:
    do_interrupt (slot);
    return;
  case GT_ACTION_TELL:
    do_tell (slot);
    return;
  case GT_ACTION_KILL:
    slot->why = kill_reason (slot, before, event);
    describe_kill (slot, before, event);
    do_kill (slot);
    return;
  case GT_ACTION_KEEP_KILL:
    slot->jobs++;
    do_kill (slot);
    return;
  case GT_ACTION_AGAIN:
    slot->late = gt_instant_add (now_of (slot), AGAIN_NS);
    world->kill (data, slot);
    return;
  case GT_ACTION_BYE:
    slot->late = gt_instant_add (slot->since, RETIRE_NS);
    slot->pool->stats.recycled++;
    world->send_bye (data, slot);
    return;
  case GT_ACTION_REAP:
    do_reap (slot);
    return;
  case GT_ACTION_QUARANTINE:
    do_quarantine (slot);
    return;
  case GT_ACTION_BURY:
    do_bury (slot);
    return;
  /* The event's own function does these: they need what came with it. */
  case GT_ACTION_NONE:
  case GT_ACTION_PAUSE:
  case GT_ACTION_NOTE:
  case GT_ACTION_HOLD:
  case GT_ACTION_FREE:
  case GT_SLOT_ACTION_COUNT:
    return;
  }
}

static GtSlotAction
step (GtSlot *slot, GtSlotEvent event)
{
  GtSlotState before = slot->state;
  GtStep next = gt_ladder_step (before, event);
  slot->state = next.next;
  if (next.next != before)
    slot->since = now_of (slot);
  act (slot, before, event, next.action);
  if (next.next == before)
    return next.action;
  if (next.next == GT_SLOT_LEAVING)
    slot->late = gt_instant_add (slot->since, LEAVE_NS);
  if (next.next == GT_SLOT_SETTLING) {
    slot->late = gt_instant_add (slot->since, SETTLE_NS);
    slot->watch = gt_instant_add (slot->since, SETTLE_LOOK_NS);
  }
  return next.action;
}

void
gt_slot_event (GtSlot *slot, GtSlotEvent event)
{
  (void) step (slot, event);
}

/* --- what happens to it --- */

void
gt_slot_start_failed (GtSlot *slot, const char *message)
{
  if (step (slot, GT_EVENT_FAILED) != GT_ACTION_PAUSE)
    return;
  GtInstant now = now_of (slot);
  gboolean stopped = slot->why == GT_REASON_STOP;
  reset (slot);
  slot->wanted = now;
  if (!stopped)
    gt_pool_start_failed (slot->pool, slot, message);
}

void
gt_slot_warm (GtSlot *slot, gint64 threads, gint64 fds)
{
  /* Its own word and ours: threads and descriptors that are there from the start are no leak. */
  if (slot->state == GT_SLOT_STARTING) {
    GtUsage usage = GT_USAGE_UNKNOWN;
    world_of (slot)->look (slot->pool->data, slot, FALSE, &usage);
    slot->threads = MAX (threads, usage.threads);
    slot->fds = MAX (fds, usage.fds);
  }
  gt_slot_event (slot, GT_EVENT_WARM);
}

/* After a kill nothing counts; a frame for another job is wrong from an executor. */
static gboolean
deaf (GtSlot *slot)
{
  gboolean is = slot->state == GT_SLOT_KILLING || slot->state == GT_SLOT_UNDEAD
                || slot->state == GT_SLOT_LEAVING || slot->state == GT_SLOT_GONE;
  slot->pool->stats.dropped_frames += is;
  return is;
}

static gboolean
names_job (GtSlot *slot, guint64 job)
{
  if (slot->job != NULL && slot->job->id == job)
    return TRUE;
  gt_slot_garbage (slot, "the executor answered a job that it does not have");
  return FALSE;
}

static gboolean
count_bytes (GtSlot *slot, const GtPart *part)
{
  GtJob *job = slot->job;
  job->answer_so_far += gt_part_bytes (part);
  job->overhead_so_far += PART_BYTES + (part->head != NULL ? g_bytes_get_size (part->head) : 0);
  job->files_so_far += part->fd >= 0;
  if (job->answer_bytes == 0
      || (job->answer_so_far <= job->answer_bytes
          && job->overhead_so_far <= job->answer_bytes + OVERHEAD_BYTES
          && (job->part != NULL || job->files_so_far <= MOST_FILES)))
    return TRUE;
  slot->over = GT_REASON_RESULT;
  g_autofree char *limit = g_format_size_full (job->answer_bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_free (slot->problem);
  slot->problem = g_strdup_printf ("the answer is larger than the %s allowed: raise the limit, or "
                                   "let the job answer with less",
                                   limit);
  gt_slot_event (slot, GT_EVENT_OVER);
  return FALSE;
}

void
gt_slot_part (GtSlot *slot, guint64 job, GtPart *part)
{
  gboolean wanted = !deaf (slot) && names_job (slot, job);
  if (wanted && slot->state == GT_SLOT_ANSWERED) {
    gt_slot_garbage (slot, "the executor went on with an answer that had ended");
    wanted = FALSE;
  }
  if (!wanted || !count_bytes (slot, part))
    gt_part_free (part);
  else if (slot->job->part == NULL)
    g_ptr_array_add (slot->job->result->parts, part);
  else if (!slot->job->part (job, part, slot->job->data))
    world_of (slot)->hold (slot->pool->data, slot);
}

void
gt_slot_progress (GtSlot *slot, guint64 job, const GtProgress *progress)
{
  if (deaf (slot) || !names_job (slot, job))
    return;
  if (slot->job->progress != NULL)
    slot->job->progress (job, progress->percent, progress->rows_done, progress->rows_total,
                         slot->job->data);
}

static const char *
ack_name (const char *name)
{
  static const char *const names[] = {
#define X(id, text, meaning) text,
    GT_ACK_STATES (X)
#undef X
  };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (names[i], name) == 0)
      return names[i];
  return NULL;
}

void
gt_slot_ack (GtSlot *slot, guint64 job, const GtAck *ack)
{
  if (deaf (slot))
    return;
  /* An interrupt may cross the end of its job; then the word about it comes while the next runs. */
  if (slot->state != GT_SLOT_STARTING && (slot->job == NULL || slot->job->id != job))
    return;
  if (step (slot, GT_EVENT_ACK) != GT_ACTION_NOTE)
    return;
  GtOutcomeRecord *record = &slot->job->result->record;
  record->acknowledged_ns = ack->seen_ns;
  record->acknowledged = ack_name (ack->state);
  /* Nothing will come of waiting for the grace. */
  if (slot->job->cancelled && g_strcmp0 (record->acknowledged, "unable") == 0)
    slot->job->hard = earlier (slot->job->hard, now_of (slot));
}

void
gt_slot_answer (GtSlot *slot, guint64 job, GtPart *part, const GtFailure *failure)
{
  if (deaf (slot) || !names_job (slot, job) || !count_bytes (slot, part)
      || step (slot, GT_EVENT_ANSWER) != GT_ACTION_HOLD) {
    gt_part_free (part);
    return;
  }
  GtJobResult *result = slot->job->result;
  g_ptr_array_add (result->parts, part);
  result->answer = part;
  result->record.answered_ns = now_of (slot).ns;
  if (failure == NULL)
    return;
  result->error_class = g_strdup (failure->class_name);
  result->holder_pid = failure->holder_pid;
  result->record.message = g_strdup (failure->message);
}

void
gt_slot_end (GtSlot *slot, guint64 job, const GtEnd *end)
{
  if (deaf (slot) || !names_job (slot, job))
    return;
  if (slot->state != GT_SLOT_ANSWERED) {
    gt_slot_event (slot, GT_EVENT_END);
    return;
  }
  GtOutcomeRecord *record = &slot->job->result->record;
  GtUsage usage = GT_USAGE_UNKNOWN;
  gint64 ran = now_of (slot).ns - record->started_ns;
  world_of (slot)->look (slot->pool->data, slot, ran > LONG_JOB_NS, &usage);
  slot->fds_over = MAX (end->fds, usage.fds) > slot->fds;
  record->answered_ns = now_of (slot).ns;
  record->leftovers = usage.processes > 0 ? usage.processes - 1 : -1;
  record->peak_memory_bytes = usage.peak_bytes;
  if (usage.peak_bytes >= 0)
    record->peak_memory_by = gt_meter_name (GT_METER_PROCESS);
  gt_job_settle (slot->job, end);
  gint64 memory = slot->pool->options.recycle_memory_bytes;
  guint jobs = slot->pool->options.recycle_jobs;
  if (record->leftovers > 0)
    gt_slot_event (slot, GT_EVENT_END_LEFT);
  else if (end->threads > slot->threads || slot->fds_over || usage.threads > MAX (slot->threads, 0))
    gt_slot_event (slot, GT_EVENT_END_BUSY);
  else
    gt_slot_event (slot, GT_EVENT_END);
  if ((jobs > 0 && slot->jobs >= jobs) || (memory > 0 && usage.memory_bytes > memory))
    gt_slot_event (slot, GT_EVENT_RECYCLE);
}

void
gt_slot_garbage (GtSlot *slot, const char *message)
{
  if (deaf (slot))
    return;
  set_problem (slot, message);
  gt_slot_event (slot, GT_EVENT_GARBAGE);
}

void
gt_slot_closed (GtSlot *slot)
{
  gt_slot_event (slot, GT_EVENT_CLOSED);
}

void
gt_slot_died (GtSlot *slot)
{
  gt_slot_event (slot, GT_EVENT_DIED);
}

void
gt_slot_reaped (GtSlot *slot)
{
  gt_slot_event (slot, GT_EVENT_REAPED);
}
