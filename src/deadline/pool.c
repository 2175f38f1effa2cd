/* Jobs that wait, and which slot gets them. */
#include "deadline/pool.h"

#include "deadline/error.h"

#define PAUSE_FIRST_NS (50 * GT_NSEC_PER_MSEC)
#define PAUSE_MOST_NS  (10 * GT_NSEC_PER_SEC)
#define MOST_SLOTS     1024

/* Events of one round may make more due at once; a bound, so that the caller gets to its sockets.
 */
#define ROUNDS 4

GtSlot *
gt_pool_slot_of (const GtPool *pool, guint64 id)
{
  const GtJob *job = g_hash_table_lookup (pool->by_id, &id);
  return job != NULL ? job->slot : NULL;
}

static gboolean
wrong_option (GError **error, const char *text)
{
  g_set_error_literal (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_OPTION, text);
  return FALSE;
}

gboolean
gt_engine_options_check (GtEngineOptions *options, GError **error)
{
  if (options->argv == NULL || options->argv[0] == NULL)
    return wrong_option (error, "no executor is named: give its program and arguments");
  if (options->recycle_memory_bytes < 0 || options->recycle_age_ns < 0
      || options->start_limit_ns < 0 || options->cancel_grace_ns < 0)
    return wrong_option (error, "an engine's option is negative");
  if (options->recycle_age_ns > 0 && options->recycle_age_ns < GT_NSEC_PER_SEC)
    return wrong_option (error, "executors cannot be replaced more often than once a second");
  options->slots = options->slots > 0 ? options->slots : 1;
  options->spares = options->spares == G_MAXUINT ? 0 : MAX (options->spares, 1);
  if (options->slots > MOST_SLOTS || options->spares > MOST_SLOTS)
    return wrong_option (error, "an engine has at most 1024 slots and 1024 spares");
  if (options->start_limit_ns == 0)
    options->start_limit_ns = 30 * GT_NSEC_PER_SEC;
  if (options->start_tries == 0)
    options->start_tries = 5;
  if (options->cancel_grace_ns == 0)
    options->cancel_grace_ns = 100 * GT_NSEC_PER_MSEC;
  if (options->max_undead == 0)
    options->max_undead = 4 * options->slots;
  if (options->answer_bytes == 0)
    options->answer_bytes = 256UL << 20;
  return TRUE;
}

static GtInstant
waits_until (const GtJob *job)
{
  return job->limits.soft.ns < job->limits.hard.ns ? job->limits.soft : job->limits.hard;
}

static int
compare_waiting (gconstpointer a, gconstpointer b, gpointer unused)
{
  (void) unused;
  const GtJob *one = a, *other = b;
  gint64 x = waits_until (one).ns, y = waits_until (other).ns;
  if (x != y)
    return x < y ? -1 : 1;
  return one->id < other->id ? -1 : one->id > other->id;
}

static void
free_slot (gpointer data)
{
  GtSlot *slot = data;
  slot->pool->world->freed (slot->pool->data, slot);
  g_free (slot->problem);
  g_free (slot);
}

GtPool *
gt_pool_new (const GtPoolWorld *world, gpointer data, const GtEngineOptions *options)
{
  GtPool *pool = g_new0 (GtPool, 1);
  pool->world = world;
  pool->data = data;
  pool->options = *options;
  pool->slots = g_ptr_array_new_with_free_func (free_slot);
  g_queue_init (&pool->waiting);
  pool->by_limit = g_tree_new_full (compare_waiting, NULL, NULL, NULL);
  pool->by_id = g_hash_table_new (g_int64_hash, g_int64_equal);
  for (guint i = 0; i < options->slots + options->spares; i++)
    gt_pool_add_slot (pool);
  return pool;
}

void
gt_pool_free (GtPool *pool)
{
  g_assert (g_hash_table_size (pool->by_id) == 0);
  g_ptr_array_unref (pool->slots);
  g_hash_table_unref (pool->by_id);
  g_tree_unref (pool->by_limit);
  g_free (pool->last_failure);
  g_free (pool);
}

GtSlot *
gt_pool_add_slot (GtPool *pool)
{
  GtSlot *slot = g_new0 (GtSlot, 1);
  slot->pool = pool;
  slot->number = pool->next_number++;
  slot->since = slot->wanted = pool->world->now (pool->data);
  slot->late = slot->watch = slot->line = slot->warm = GT_NEVER;
  slot->why = slot->over = GT_REASON_ANSWER;
  g_ptr_array_add (pool->slots, slot);
  return slot;
}

static guint
count (const GtPool *pool, GtSlotState state)
{
  guint n = 0;
  for (guint i = 0; i < pool->slots->len; i++)
    n += ((const GtSlot *) pool->slots->pdata[i])->state == state;
  return n;
}

static guint
count_busy (const GtPool *pool)
{
  guint n = 0;
  for (guint i = 0; i < pool->slots->len; i++)
    n += ((const GtSlot *) pool->slots->pdata[i])->job != NULL;
  return n;
}

static gboolean
any_warm (const GtPool *pool)
{
  for (guint i = 0; i < pool->slots->len; i++) {
    const GtSlot *slot = pool->slots->pdata[i];
    if (slot->warm.ns != GT_NEVER.ns && slot->state != GT_SLOT_UNDEAD
        && gt_slot_state_live (slot->state))
      return TRUE;
  }
  return FALSE;
}

static void
unqueue (GtPool *pool, GtJob *job)
{
  if (job->link == NULL)
    return;
  g_queue_delete_link (&pool->waiting, job->link);
  job->link = NULL;
  if (waits_until (job).ns != GT_NEVER.ns)
    g_tree_remove (pool->by_limit, job);
}

void
gt_pool_tell (GtPool *pool, GtJob *job, GtOutcome outcome, GtReason reason)
{
  unqueue (pool, job);
  GtOutcomeRecord *record = &job->result->record;
  record->outcome = outcome;
  record->reason = reason;
  record->told_ns = pool->world->now (pool->data).ns;
  gt_outcome_record_finish (record);
  g_hash_table_remove (pool->by_id, &job->id);
  pool->stats.completed++;
  pool->world->tell (pool->data, job);
}

static void
tell_waiting (GtPool *pool, GtJob *job, GtOutcome outcome, GtReason reason, const char *message)
{
  job->result->record.message = g_strdup (message);
  gt_pool_tell (pool, job, outcome, reason);
}

static void
fail_waiting (GtPool *pool)
{
  g_autofree char *message
      = g_strdup_printf ("no executor could be started, %u times in a row; the last time: %s",
                         pool->failures, pool->last_failure);
  for (GtJob *job; (job = g_queue_peek_head (&pool->waiting)) != NULL;)
    tell_waiting (pool, job, GT_OUTCOME_LOST, GT_REASON_START, message);
}

void
gt_pool_start_failed (GtPool *pool, GtSlot *slot, const char *message)
{
  GtInstant now = pool->world->now (pool->data);
  /* Failures far apart are not in a row. */
  if (now.ns - pool->failed_at.ns > pool->options.start_limit_ns + 2 * PAUSE_MOST_NS)
    pool->failures = 0;
  pool->failed_at = now;
  gint64 pause = PAUSE_FIRST_NS << MIN (pool->failures, 10);
  slot->wanted = gt_instant_add (now, MIN (pause, PAUSE_MOST_NS));
  pool->failures++;
  pool->stats.failed_starts++;
  g_free (pool->last_failure);
  pool->last_failure = g_strdup (message);
  if (pool->failures >= pool->options.start_tries && !any_warm (pool))
    fail_waiting (pool);
}

gboolean
gt_pool_hopeless (const GtPool *pool)
{
  return pool->failures >= pool->options.start_tries && !any_warm (pool)
         && count (pool, GT_SLOT_STARTING) == 0;
}

/* What forbids a job to wait; NULL: nothing does. */
static char *
refusal (const GtPool *pool)
{
  guint undead = count (pool, GT_SLOT_UNDEAD);
  if (undead >= pool->options.max_undead)
    return g_strdup_printf ("%u executors were killed and do not die (state D: look at "
                            "/proc/PID/stack): no more jobs until one does",
                            undead);
  if (gt_pool_hopeless (pool))
    return g_strdup_printf ("no executor could be started, %u times in a row; the last time: %s",
                            pool->failures, pool->last_failure);
  return NULL;
}

void
gt_pool_submit (GtPool *pool, GtJob *job)
{
  pool->stats.submitted++;
  g_hash_table_insert (pool->by_id, &job->id, job);
  g_queue_push_tail (&pool->waiting, job);
  job->link = pool->waiting.tail;
  if (waits_until (job).ns != GT_NEVER.ns)
    g_tree_insert (pool->by_limit, job, job);
  g_autofree char *message = refusal (pool);
  if (pool->stopping)
    tell_waiting (pool, job, GT_OUTCOME_CANCELLED, GT_REASON_STOP, "the engine is stopping");
  else if (message != NULL)
    tell_waiting (pool, job, GT_OUTCOME_LOST, GT_REASON_START, message);
}

void
gt_pool_cancel (GtPool *pool, guint64 id)
{
  GtJob *job = g_hash_table_lookup (pool->by_id, &id);
  if (job == NULL || job->cancelled)
    return;
  if (job->slot == NULL) {
    tell_waiting (pool, job, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED,
                  "cancelled before it began");
    return;
  }
  GtInstant now = pool->world->now (pool->data);
  GtInstant kill = gt_instant_add (now, pool->options.cancel_grace_ns);
  job->cancelled = TRUE;
  if (kill.ns < job->hard.ns)
    job->hard = kill;
  gt_slot_event (job->slot, GT_EVENT_SOFT);
}

void
gt_pool_stop (GtPool *pool)
{
  pool->stopping = TRUE;
  for (GtJob *job; (job = g_queue_peek_head (&pool->waiting)) != NULL;)
    tell_waiting (pool, job, GT_OUTCOME_CANCELLED, GT_REASON_STOP, "the engine is stopping");
  for (guint i = 0; i < pool->slots->len; i++)
    gt_slot_event (pool->slots->pdata[i], GT_EVENT_STOP);
}

gboolean
gt_pool_stopped (const GtPool *pool)
{
  if (!pool->stopping)
    return FALSE;
  for (guint i = 0; i < pool->slots->len; i++) {
    GtSlotState state = ((const GtSlot *) pool->slots->pdata[i])->state;
    if (state != GT_SLOT_GONE && state != GT_SLOT_UNDEAD)
      return FALSE;
  }
  return TRUE;
}

/* The one that worked last: what it has in its caches is the youngest. */
static GtSlot *
idle_slot (const GtPool *pool)
{
  GtSlot *best = NULL;
  for (guint i = 0; i < pool->slots->len; i++) {
    GtSlot *slot = pool->slots->pdata[i];
    if (slot->state == GT_SLOT_IDLE && (best == NULL || slot->since.ns > best->since.ns))
      best = slot;
  }
  return best;
}

static void
dispatch (GtPool *pool)
{
  guint busy = count_busy (pool);
  while (pool->waiting.length > 0 && busy < pool->options.slots) {
    GtSlot *slot = idle_slot (pool);
    if (slot == NULL)
      return;
    GtJob *job = g_queue_peek_head (&pool->waiting);
    unqueue (pool, job);
    job->slot = slot;
    slot->job = job;
    gt_slot_event (slot, GT_EVENT_JOB);
    busy++;
  }
}

/* What waited until a limit is answered without being begun. */
static void
tell_late (GtPool *pool, GtInstant now)
{
  for (GTreeNode *node; (node = g_tree_node_first (pool->by_limit)) != NULL;) {
    GtJob *job = g_tree_node_value (node);
    if (waits_until (job).ns > now.ns)
      return;
    gboolean hard = job->limits.hard.ns <= now.ns;
    tell_waiting (pool, job, hard ? GT_OUTCOME_HARD_TIMEOUT : GT_OUTCOME_SOFT_TIMEOUT,
                  hard ? GT_REASON_DEADLINE_HARD : GT_REASON_DEADLINE_SOFT,
                  "its limit came while it waited for a slot: it was not begun");
  }
}

static GtInstant
next_due (const GtPool *pool)
{
  GtInstant due = GT_NEVER;
  GTreeNode *first = g_tree_node_first (pool->by_limit);
  if (first != NULL)
    due = waits_until (g_tree_node_value (first));
  for (guint i = 0; i < pool->slots->len; i++) {
    GtInstant at = gt_slot_due (pool->slots->pdata[i]);
    due = at.ns < due.ns ? at : due;
  }
  return due;
}

static void
tick_slots (GtPool *pool, GtInstant now)
{
  /* By index: a quarantine adds a slot. */
  for (guint i = 0; i < pool->slots->len; i++) {
    GtSlot *slot = pool->slots->pdata[i];
    if (pool->stopping && slot->state == GT_SLOT_EMPTY)
      gt_slot_event (slot, GT_EVENT_STOP);
    gt_slot_tick (slot, now);
  }
}

static void
remove_gone (GtPool *pool)
{
  for (guint i = pool->slots->len; i-- > 0;)
    if (((const GtSlot *) pool->slots->pdata[i])->state == GT_SLOT_GONE)
      g_ptr_array_remove_index_fast (pool->slots, i);
}

GtInstant
gt_pool_tick (GtPool *pool)
{
  GtInstant due = GT_NEVER;
  for (guint round = 0; round < ROUNDS; round++) {
    GtInstant now = pool->world->now (pool->data);
    tell_late (pool, now);
    tick_slots (pool, now);
    dispatch (pool);
    due = next_due (pool);
    if (due.ns > now.ns)
      break;
  }
  remove_gone (pool);
  return due;
}

GtEngineStats
gt_pool_stats (const GtPool *pool)
{
  GtEngineStats stats = pool->stats;
  stats.queued = pool->waiting.length;
  stats.running = count_busy (pool);
  stats.idle = count (pool, GT_SLOT_IDLE);
  stats.starting = count (pool, GT_SLOT_STARTING);
  stats.undead = count (pool, GT_SLOT_UNDEAD);
  return stats;
}
