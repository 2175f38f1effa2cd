/* The real world of a pool. */
#include "deadline/engine_private.h"

#include "executor/wire_head.h"

#include <stdlib.h>

static GtInstant
world_now (gpointer world)
{
  (void) world;
  return gt_instant_now ();
}

static void
world_start (gpointer world, GtSlot *slot)
{
  slot->io = gt_link_new (world, slot);
  gt_engine_errand (world, &(GtErrand){ .kind = GT_ERRAND_START, .link = slot->io });
}

/* What the executor is asked to stay below: less than the wall, because its own code, stacks and
 * allocator count there too. A library that meets its own limit spills to disk or answers with an
 * error; at the wall there is only the kill. The machine's memory is nothing to ask for. */
static gint64
memory_for (const GtLimits *limits)
{
  const gint64 own = G_GINT64_CONSTANT (160) << 20;
  GtLimitSource from = limits->from[GT_LIMIT_MEMORY];
  gint64 wall = limits->memory_bytes;
  if (from != GT_LIMIT_FROM_OPTION && from != GT_LIMIT_FROM_CGROUP)
    return 0;
  return MAX (wall - MAX (own, wall / 4), wall / 2);
}

static gint64
ns_or_zero (GtInstant at)
{
  return at.ns == GT_NEVER.ns ? 0 : at.ns;
}

static void
world_send_job (gpointer world, GtSlot *slot, const GtJob *job)
{
  (void) world;
  GtJobHead head = { .kind = job->kind,
                     .soft_ns = ns_or_zero (job->limits.soft),
                     .hard_ns = ns_or_zero (job->limits.hard),
                     .memory_bytes = memory_for (&job->limits),
                     .threads = job->threads,
                     .result_bytes = (gint64) job->answer_bytes,
                     .progress = job->progress != NULL };
  char *text = gt_job_text (&head);
  gt_link_send (slot->io, GT_WIRE_JOB, job->id, text, job->body);
  free (text);
}

static void
world_send_interrupt (gpointer world, GtSlot *slot, guint64 job)
{
  (void) world;
  gt_link_send (slot->io, GT_WIRE_INTERRUPT, job, NULL, NULL);
}

static void
world_send_bye (gpointer world, GtSlot *slot)
{
  (void) world;
  gt_link_send (slot->io, GT_WIRE_BYE, GT_WIRE_NO_JOB, NULL, NULL);
}

static void
world_hold (gpointer world, GtSlot *slot)
{
  (void) world;
  gt_link_hold (slot->io);
}

static void
world_kill (gpointer world, GtSlot *slot)
{
  (void) world;
  gt_link_kill (slot->io);
}

static void
world_second_line (gpointer world, GtSlot *slot, GtInstant at)
{
  (void) world;
  GtLink *link = slot->io;
  if (!link->with_helper && link->family != NULL)
    gt_family_set_deadline (link->family, at);
}

static gint64
world_cpu_ns (gpointer world, GtSlot *slot)
{
  (void) world;
  return gt_link_cpu_ns (slot->io);
}

static gint64
world_resident_bytes (gpointer world, GtSlot *slot)
{
  (void) world;
  return gt_link_resident_bytes (slot->io);
}

static void
world_look (gpointer world, GtSlot *slot, gboolean whole, GtUsage *usage)
{
  (void) world;
  gt_link_look (slot->io, whole, usage);
}

static void
world_weigh (gpointer world, GtSlot *slot)
{
  gt_engine_errand (world,
                    &(GtErrand){ .kind = GT_ERRAND_WEIGH, .link = slot->io, .job = slot->job->id });
}

static const char *
world_domain (gpointer world, GtSlot *slot)
{
  (void) world;
  const GtLink *link = slot->io;
  return !link->with_helper && link->family != NULL
             ? gt_domain_name (gt_family_report (link->family)->domain)
             : NULL;
}

static void
world_ending (gpointer world, GtSlot *slot, GtEnding *ending)
{
  (void) world;
  GtLink *link = slot->io;
  ending->report = *gt_family_report (link->family);
  int status;
  if (gt_family_ended (link->family, &status))
    ending->wait_status = status;
  slot->io = NULL;
  gt_link_part (link);
}

static void
world_freed (gpointer world, GtSlot *slot)
{
  (void) world;
  if (slot->io != NULL)
    gt_link_part (slot->io);
  slot->io = NULL;
}

static void
world_tell (gpointer world, GtJob *job)
{
  (void) world;
  GtJobResult *result = g_steal_pointer (&job->result);
  job->done (result, job->data);
  gt_job_free (job);
}

const GtPoolWorld gt_engine_world = {
  .now = world_now,
  .start = world_start,
  .send_job = world_send_job,
  .send_interrupt = world_send_interrupt,
  .send_bye = world_send_bye,
  .hold = world_hold,
  .kill = world_kill,
  .second_line = world_second_line,
  .cpu_ns = world_cpu_ns,
  .resident_bytes = world_resident_bytes,
  .look = world_look,
  .weigh = world_weigh,
  .domain = world_domain,
  .ending = world_ending,
  .freed = world_freed,
  .tell = world_tell,
};
