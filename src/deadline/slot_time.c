/* What is due for a slot, and when. */
#include "deadline/pool.h"

#define SETTLE_LOOK_NS (1 * GT_NSEC_PER_MSEC)
#define WATCH_NS       (10 * GT_NSEC_PER_MSEC) /* between looks at what a job uses */
#define WATCH_CPU_NS   (1 * GT_NSEC_PER_MSEC)  /* the least, with a limit of CPU time */

#define WEIGH_NS (200 * GT_NSEC_PER_MSEC)

/* The keeper's second line. It is moved only for jobs that run longer than LINE_AFTER, so that
 * short ones do not pay for it, and in any case before an old one comes nearer than LINE_CLEAR. */
#define LINE_MARGIN_NS (250 * GT_NSEC_PER_MSEC)
#define LINE_CLEAR_NS  (200 * GT_NSEC_PER_MSEC)
#define LINE_AFTER_NS  (5 * GT_NSEC_PER_MSEC)

static GtInstant
earlier (GtInstant a, GtInstant b)
{
  return a.ns < b.ns ? a : b;
}

static gboolean
at_work (const GtSlot *slot)
{
  return slot->job != NULL
         && (slot->state == GT_SLOT_RUNNING || slot->state == GT_SLOT_INTERRUPTING
             || slot->state == GT_SLOT_ANSWERED);
}

static GtInstant
line_wanted (const GtSlot *slot)
{
  return at_work (slot) ? gt_instant_add (slot->job->limits.hard, LINE_MARGIN_NS) : GT_NEVER;
}

static GtInstant
line_due (const GtSlot *slot)
{
  if (slot->line.ns == line_wanted (slot).ns)
    return GT_NEVER;
  GtInstant due = GT_NEVER;
  if (at_work (slot))
    due.ns = slot->job->result->record.started_ns + LINE_AFTER_NS;
  return earlier (due, gt_instant_add (slot->line, -LINE_CLEAR_NS));
}

/* Those that were started together are not replaced together: the spare would be gone with them. */
static gboolean
one_is_away (const GtPool *pool)
{
  for (guint i = 0; i < pool->slots->len; i++) {
    const GtSlot *slot = pool->slots->pdata[i];
    if (slot->state == GT_SLOT_EMPTY || slot->state == GT_SLOT_STARTING
        || slot->state == GT_SLOT_RETIRING)
      return TRUE;
  }
  return FALSE;
}

static GtInstant
age_due (const GtSlot *slot)
{
  gint64 age = slot->pool->options.recycle_age_ns;
  return age > 0 && !one_is_away (slot->pool) ? gt_instant_add (slot->warm, age) : GT_NEVER;
}

GtInstant
gt_slot_due (const GtSlot *slot)
{
  switch (slot->state) {
  case GT_SLOT_EMPTY:
    return slot->wanted;
  case GT_SLOT_IDLE:
    return earlier (age_due (slot), line_due (slot));
  case GT_SLOT_RUNNING:
    return earlier (earlier (slot->job->limits.soft, slot->job->hard),
                    earlier (slot->watch, line_due (slot)));
  case GT_SLOT_INTERRUPTING:
  case GT_SLOT_ANSWERED:
    return earlier (slot->job->hard, earlier (slot->watch, line_due (slot)));
  case GT_SLOT_LEAVING:
    return slot->job != NULL ? earlier (slot->late, slot->job->hard) : slot->late;
  case GT_SLOT_SETTLING:
    return earlier (slot->late, slot->watch);
  case GT_SLOT_KILLING:
    return earlier (slot->late, slot->watch);
  case GT_SLOT_STARTING:
  case GT_SLOT_RETIRING:
  case GT_SLOT_UNDEAD:
    return slot->late;
  case GT_SLOT_GONE:
  case GT_SLOT_STATE_COUNT:
    break;
  }
  return GT_NEVER;
}

/* CPU time cannot pass faster than all CPUs together spend it: the next look need not be sooner. */
static GtInstant
next_watch (const GtSlot *slot, gint64 cpu_left_ns, GtInstant now)
{
  gint64 wait = WATCH_NS;
  if (slot->job->limits.cpu_ns > 0)
    wait = MIN (wait, MAX (WATCH_CPU_NS, cpu_left_ns / (gint64) g_get_num_processors ()));
  return gt_instant_add (now, wait);
}

static gboolean
is_limited (const GtSlot *slot)
{
  return slot->job->limits.from[GT_LIMIT_MEMORY] == GT_LIMIT_FROM_OPTION;
}

static void
over_memory (GtSlot *slot, gint64 bytes)
{
  g_autofree char *most
      = g_format_size_full ((guint64) slot->job->limits.memory_bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *had = g_format_size_full ((guint64) bytes, G_FORMAT_SIZE_IEC_UNITS);
  slot->over = GT_REASON_MEMORY;
  if (slot->problem == NULL)
    slot->problem = g_strdup_printf ("its limit is %s, and it has %s", most, had);
}

/* What several processes share stands in the sum for each of them. To know better takes a walk
 * through their address spaces, which this thread must not wait for; whoever is not told in time
 * goes by the sum. */
static gboolean
holds_too_much (GtSlot *slot, const GtUsage *usage, GtInstant now)
{
  gint64 bytes = usage->memory_bytes - (usage->processes > 1 ? slot->shared_bytes : 0);
  if (!is_limited (slot) || bytes <= slot->job->limits.memory_bytes)
    return FALSE;
  if (usage->processes > 1 && slot->weighed.ns == GT_NEVER.ns) {
    slot->sum_bytes = usage->memory_bytes;
    slot->weighed = gt_instant_add (now, WEIGH_NS);
    slot->pool->world->weigh (slot->pool->data, slot);
  }
  if (usage->processes > 1 && slot->weighed.ns > now.ns)
    return FALSE;
  over_memory (slot, bytes);
  return TRUE;
}

void
gt_slot_weighed (GtSlot *slot, gint64 bytes)
{
  if (!at_work (slot) || slot->weighed.ns == GT_NEVER.ns)
    return;
  if (bytes > slot->job->limits.memory_bytes) {
    over_memory (slot, bytes);
    gt_slot_event (slot, GT_EVENT_OVER);
    return;
  }
  slot->weighed = bytes >= 0 ? GT_NEVER : (GtInstant){ 0 };
  slot->shared_bytes = bytes >= 0 ? MAX (slot->sum_bytes - bytes, 0) : 0;
}

gboolean
gt_slot_over_memory (GtSlot *slot)
{
  GtUsage usage = GT_USAGE_UNKNOWN;
  if (!is_limited (slot))
    return FALSE;
  slot->pool->world->look (slot->pool->data, slot, TRUE, &usage);
  if (usage.memory_bytes > slot->job->limits.memory_bytes)
    over_memory (slot, usage.memory_bytes);
  return slot->over == GT_REASON_MEMORY;
}

static gboolean
is_over (GtSlot *slot, const GtUsage *usage, gint64 cpu_ns, GtInstant now)
{
  const GtLimits *limits = &slot->job->limits;
  if (limits->cpu_ns > 0 && usage->cpu_ns >= 0 && cpu_ns >= limits->cpu_ns)
    slot->over = GT_REASON_CPU;
  else if (limits->from[GT_LIMIT_PROCESSES] == GT_LIMIT_FROM_OPTION
           && usage->processes > limits->processes)
    slot->over = GT_REASON_PROCESSES;
  else
    return holds_too_much (slot, usage, now);
  return TRUE;
}

static void
watch_job (GtSlot *slot, GtInstant now)
{
  GtUsage usage = GT_USAGE_UNKNOWN;
  slot->pool->world->look (slot->pool->data, slot, TRUE, &usage);
  slot->job->result->record.was_stopped |= usage.stopped;
  gint64 cpu_ns = usage.cpu_ns - MAX (slot->job->cpu_before_ns, 0);
  if (is_over (slot, &usage, cpu_ns, now))
    gt_slot_event (slot, GT_EVENT_OVER);
  else
    slot->watch = next_watch (slot, slot->job->limits.cpu_ns - cpu_ns, now);
}

static void
look_whether_settled (GtSlot *slot, GtInstant now)
{
  GtUsage usage = GT_USAGE_UNKNOWN;
  slot->pool->world->look (slot->pool->data, slot, FALSE, &usage);
  if (usage.threads <= slot->threads && !slot->fds_over)
    gt_slot_event (slot, GT_EVENT_SETTLED);
  else
    slot->watch = gt_instant_add (now, SETTLE_LOOK_NS);
}

static void
move_line (GtSlot *slot, GtInstant now)
{
  if (line_due (slot).ns > now.ns)
    return;
  slot->line = line_wanted (slot);
  slot->pool->world->second_line (slot->pool->data, slot, slot->line);
}

static void
tick_job (GtSlot *slot, GtInstant now)
{
  if (slot->job->hard.ns <= now.ns) {
    gt_slot_event (slot, GT_EVENT_HARD);
    return;
  }
  if (slot->job->limits.soft.ns <= now.ns && slot->state == GT_SLOT_RUNNING)
    gt_slot_event (slot, GT_EVENT_SOFT);
  if (slot->watch.ns <= now.ns)
    watch_job (slot, now);
  if (at_work (slot))
    move_line (slot, now);
}

static void
tick_settling (GtSlot *slot, GtInstant now)
{
  if (slot->watch.ns <= now.ns)
    look_whether_settled (slot, now);
  if (slot->state == GT_SLOT_SETTLING && slot->late.ns <= now.ns)
    gt_slot_event (slot, GT_EVENT_LATE);
}

void
gt_slot_tick (GtSlot *slot, GtInstant now)
{
  if (gt_slot_due (slot).ns > now.ns)
    return;
  switch (slot->state) {
  case GT_SLOT_EMPTY:
    gt_slot_event (slot, GT_EVENT_WANTED);
    return;
  case GT_SLOT_IDLE:
    if (age_due (slot).ns <= now.ns)
      gt_slot_event (slot, GT_EVENT_RECYCLE);
    else
      move_line (slot, now);
    return;
  case GT_SLOT_RUNNING:
  case GT_SLOT_INTERRUPTING:
  case GT_SLOT_ANSWERED:
    tick_job (slot, now);
    return;
  case GT_SLOT_SETTLING:
    tick_settling (slot, now);
    return;
  case GT_SLOT_LEAVING:
    gt_slot_event (slot, slot->late.ns <= now.ns ? GT_EVENT_LATE : GT_EVENT_HARD);
    return;
  case GT_SLOT_KILLING:
    if (slot->late.ns > now.ns) {
      slot->pool->world->kill (slot->pool->data, slot);
      slot->watch = gt_instant_add (now, GT_SLOT_KILL_AGAIN_NS);
      return;
    }
    gt_slot_event (slot, GT_EVENT_LATE);
    return;
  case GT_SLOT_STARTING:
  case GT_SLOT_RETIRING:
  case GT_SLOT_UNDEAD:
    gt_slot_event (slot, GT_EVENT_LATE);
    return;
  case GT_SLOT_GONE:
  case GT_SLOT_STATE_COUNT:
    return;
  }
}
