#include "pool_world.h"

#include <signal.h>
#include <string.h>

const char *const fake_job_names[JOB_COUNT] = {
#define X(id, name) name,
  FAKE_JOBS (X)
#undef X
};

typedef struct {
  GtSlot *slot;
  gboolean warm, killed, closed, reaped, gone;
  guint64 job; /* that it works on; 0 = none */
  FakeJob kind;
  gint64 after_ns;
  gint64 threads, processes, memory, cpu_ns;
  int wait_status;
  gint64 died_ns;
} Executor;

typedef enum { DO_START, DO_JOB, DO_END, DO_CLOSE, DO_DIE, DO_REAP, DO_CALM } What;

typedef struct {
  gint64 at_ns;
  guint number;
  Executor *executor;
  What what;
  guint64 job;
} Event;

static int
compare_events (gconstpointer a, gconstpointer b, gpointer unused)
{
  (void) unused;
  const Event *one = a, *other = b;
  if (one->at_ns != other->at_ns)
    return one->at_ns < other->at_ns ? -1 : 1;
  return one->number < other->number ? -1 : 1;
}

static void
later (FakeWorld *world, Executor *executor, What what, gint64 after_ns)
{
  Event *event = g_new0 (Event, 1);
  *event = (Event){ world->now.ns + after_ns, world->next_event++, executor, what, executor->job };
  g_sequence_insert_sorted (world->events, event, compare_events, NULL);
}

static gboolean
chance (FakeWorld *world, guint percent)
{
  return world->rand != NULL && g_rand_int_range (world->rand, 0, 100) < (gint32) percent;
}

static gint64
between (FakeWorld *world, gint64 least, gint64 most)
{
  return least + (gint64) (g_rand_double (world->rand) * (double) (most - least));
}

/* --- frames --- */

static GtPart *
part_of (guint64 job, int type)
{
  g_autofree char *body = g_strdup_printf ("%" G_GUINT64_FORMAT, job);
  return gt_part_new (type, NULL, 0, body, strlen (body), -1);
}

static FakeTold *
account (FakeWorld *world, guint64 job)
{
  return g_hash_table_lookup (world->jobs, &job);
}

static void
say_answer (FakeWorld *world, Executor *executor, guint64 job, const char *class_name)
{
  GtFailure failure = { .class_name = (char *) class_name, .message = (char *) "so it said" };
  gboolean refused = executor->kind == JOB_REFUSE;
  int type = class_name == NULL ? GT_WIRE_RESULT : refused ? GT_WIRE_REFUSED : GT_WIRE_ERROR;
  (void) world;
  gt_slot_answer (executor->slot, job, part_of (job, type), class_name != NULL ? &failure : NULL);
}

static void
say_end (FakeWorld *world, Executor *executor, gboolean late, gboolean committed)
{
  FakeTold *told = account (world, executor->job);
  GtEnd end = { .started_ns = 1,
                .ended_ns = 2,
                .late_value = late,
                .committed_late = committed,
                .committed = (char *) (committed ? "yes" : "no"),
                .threads = executor->threads,
                .fds = 5 };
  guint64 job = executor->job;
  gboolean heard = !executor->killed && executor->slot->state == GT_SLOT_ANSWERED;
  executor->job = 0;
  gt_slot_end (executor->slot, job, &end);
  if (heard) {
    told->complete = TRUE;
    told->value = executor->kind != JOB_ERROR && executor->kind != JOB_REFUSE
                  && executor->kind != JOB_OBEY && executor->kind != JOB_COMMIT;
  }
}

static void
say_ack (Executor *executor, guint64 job, const char *state, GtInstant now)
{
  GtAck ack = { .state = (char *) state, .seen_ns = now.ns };
  gt_slot_ack (executor->slot, job, &ack);
}

static void
exits (FakeWorld *world, Executor *executor, int wait_status)
{
  executor->wait_status = wait_status;
  later (world, executor, DO_CLOSE, 0);
  later (world, executor, DO_DIE, world->rand != NULL ? between (world, 0, 3 * MS) : 1 * MS);
}

/* --- what executors do --- */

static void
do_job (FakeWorld *world, Executor *executor)
{
  GtSlot *slot = executor->slot;
  guint64 job = executor->job;
  switch (executor->kind) {
  case JOB_VALUE:
  case JOB_VALUE_DIE:
    if (chance (world, 50))
      gt_slot_part (slot, job, part_of (job, GT_WIRE_CHUNK));
    say_answer (world, executor, job, NULL);
    later (world, executor, DO_END, chance (world, 30) ? between (world, 0, 2 * MS) : 0);
    return;
  case JOB_ERROR:
    say_answer (world, executor, job, "query");
    later (world, executor, DO_END, 0);
    return;
  case JOB_REFUSE:
    say_answer (world, executor, job, "unsupported");
    later (world, executor, DO_END, 0);
    return;
  case JOB_DIE:
    exits (world, executor, chance (world, 50) ? SIGSEGV : 7 << 8);
    return;
  case JOB_CLOSE:
    later (world, executor, DO_CLOSE, 0);
    return;
  case JOB_GARBAGE:
    gt_slot_garbage (slot, "not a frame");
    return;
  case JOB_WRONG_JOB:
    say_answer (world, executor, job + 1000000, NULL);
    return;
  case JOB_TWICE:
    say_answer (world, executor, job, NULL);
    say_answer (world, executor, job, NULL);
    return;
  case JOB_END_FIRST: {
    GtEnd end = { .started_ns = 1, .ended_ns = 2, .committed = (char *) "no" };
    gt_slot_end (slot, job, &end);
    return;
  }
  case JOB_FLOOD:
    for (guint i = 0; i < 100; i++)
      gt_slot_part (slot, job, part_of (job, GT_WIRE_CHUNK));
    later (world, executor, DO_JOB, 1 * MS);
    return;
  case JOB_LEAVE:
    executor->processes = 3;
    say_answer (world, executor, job, NULL);
    later (world, executor, DO_END, 0);
    return;
  case JOB_BUSY:
  case JOB_BUSY_FOREVER:
    executor->threads = 9;
    say_answer (world, executor, job, NULL);
    later (world, executor, DO_END, 0);
    return;
  case JOB_NO_END:
    say_answer (world, executor, job, NULL);
    return;
  case JOB_READY_AGAIN:
    gt_slot_warm (slot, 2, 5);
    return;
  case JOB_EAT:
    executor->memory = G_GINT64_CONSTANT (1) << 40;
    executor->processes = MAX (world->members, executor->processes);
    return;
  case JOB_FORK:
    executor->processes = 1000;
    return;
  case JOB_HANG:
  case JOB_OBEY:
  case JOB_LATE:
  case JOB_COMMIT:
  case JOB_UNABLE:
  case JOB_SPIN:
  case JOB_COUNT:
    return;
  }
}

static void
do_start (FakeWorld *world, Executor *executor)
{
  FakeStart start = world->start;
  if (world->rand != NULL && chance (world, 20))
    start = (FakeStart) g_rand_int_range (world->rand, 0, START_COUNT);
  switch (start) {
  case START_READY:
  case START_EARLY_DEATH:
    executor->warm = !executor->killed;
    gt_slot_warm (executor->slot, executor->threads, 5);
    if (start == START_EARLY_DEATH)
      exits (world, executor, 3 << 8);
    return;
  case START_FAIL:
    executor->reaped = TRUE;
    gt_slot_start_failed (executor->slot, "no such program");
    return;
  case START_EXIT:
    exits (world, executor, 1 << 8);
    return;
  case START_GARBAGE:
    gt_slot_garbage (executor->slot, "not a frame");
    return;
  case START_DUMB:
  case START_COUNT:
    return;
  }
}

static void
happen (FakeWorld *world, const Event *event)
{
  Executor *executor = event->executor;
  if (executor->reaped || executor->gone)
    return;
  gboolean stale = event->job != executor->job;
  switch (event->what) {
  case DO_START:
    do_start (world, executor);
    return;
  case DO_JOB:
    if (!stale)
      do_job (world, executor);
    return;
  case DO_END:
    if (stale)
      return;
    say_end (world, executor, executor->kind == JOB_LATE, executor->kind == JOB_COMMIT);
    if (executor->kind == JOB_BUSY)
      later (world, executor, DO_CALM, 5 * MS);
    if (executor->kind == JOB_VALUE_DIE)
      exits (world, executor, 0);
    return;
  case DO_CALM:
    executor->threads = 2;
    return;
  case DO_CLOSE:
    executor->closed = TRUE;
    gt_slot_closed (executor->slot);
    return;
  case DO_DIE:
    executor->died_ns = world->now.ns;
    gt_slot_died (executor->slot);
    later (world, executor, DO_REAP, 0);
    return;
  case DO_REAP:
    executor->reaped = TRUE;
    gt_slot_reaped (executor->slot);
    return;
  }
}

/* --- the world's functions --- */

static Executor *
executor_of (GtSlot *slot)
{
  return slot->io;
}

static GtInstant
world_now (gpointer data)
{
  return ((FakeWorld *) data)->now;
}

static void
world_start (gpointer data, GtSlot *slot)
{
  FakeWorld *world = data;
  Executor *executor = g_new0 (Executor, 1);
  g_assert_true (slot->io == NULL || executor_of (slot)->reaped);
  *executor = (Executor){ .slot = slot, .threads = 2, .processes = 1, .wait_status = -1 };
  g_ptr_array_add (world->executors, executor);
  slot->io = executor;
  world->starts++;
  gint64 after = world->rand != NULL ? between (world, 0, 40 * MS) : world->start_ns;
  later (world, executor, DO_START, after);
}

static void
world_send_job (gpointer data, GtSlot *slot, const GtJob *job)
{
  FakeWorld *world = data;
  Executor *executor = executor_of (slot);
  g_assert_true (executor->warm && !executor->killed && !executor->reaped);
  g_assert_cmpuint (executor->job, ==, 0);
  g_assert_cmpint (executor->processes, ==, 1);
  executor->job = job->id;
  executor->after_ns = job->threads;
  executor->kind = account (world, job->id)->kind;
  world->at_work++;
  world->most_at_work = MAX (world->most_at_work, world->at_work);
  g_assert_cmpuint (world->at_work, <=, world->pool->options.slots);
  later (world, executor, DO_JOB, executor->after_ns);
}

static void
world_send_interrupt (gpointer data, GtSlot *slot, guint64 job)
{
  FakeWorld *world = data;
  Executor *executor = executor_of (slot);
  g_assert_false (executor->killed);
  /* Its own frames are under way: this one crosses them. The pool must not care. */
  if (executor->job != job || executor->closed)
    return;
  later (world, executor, DO_CALM, 0);
}

/* Interrupts are looked at between events, because a world may not call back. */
static void
obey (FakeWorld *world, Executor *executor)
{
  GtJob *job = executor->slot->job;
  if (executor->killed || executor->reaped || executor->closed || job == NULL
      || executor->slot->state != GT_SLOT_INTERRUPTING || executor->job != job->id
      || job->result->record.acknowledged_ns >= 0)
    return;
  switch ((int) executor->kind) {
  case JOB_OBEY:
    say_ack (executor, job->id, "calling", world->now);
    say_answer (world, executor, executor->job, "interrupted");
    later (world, executor, DO_END, 1 * MS);
    return;
  case JOB_LATE:
    say_ack (executor, job->id, "committing", world->now);
    say_answer (world, executor, executor->job, NULL);
    later (world, executor, DO_END, 1 * MS);
    return;
  case JOB_COMMIT:
    say_ack (executor, job->id, "committing", world->now);
    say_answer (world, executor, executor->job, "interrupted");
    later (world, executor, DO_END, 1 * MS);
    return;
  case JOB_UNABLE:
    say_ack (executor, job->id, "unable", world->now);
    return;
  default:
    return;
  }
}

static void
world_send_bye (gpointer data, GtSlot *slot)
{
  FakeWorld *world = data;
  world->byes++;
  if (!chance (world, 20)) /* else it does not listen */
    exits (world, executor_of (slot), 0);
}

static void
world_hold (gpointer data, GtSlot *slot)
{
  (void) data, (void) slot;
}

static void
world_kill (gpointer data, GtSlot *slot)
{
  FakeWorld *world = data;
  Executor *executor = executor_of (slot);
  g_assert_false (executor->reaped);
  gboolean again = executor->killed;
  executor->killed = TRUE;
  world->kills += !again;
  if (executor->wait_status < 0)
    executor->wait_status = SIGKILL;
  if (world->deaf_kill || again)
    return;
  gint64 after = world->reap_ns;
  if (world->rand != NULL)
    after = chance (world, 5) ? between (world, 100 * MS, 5 * S) : between (world, 0, 3 * MS);
  executor->died_ns = world->now.ns + after;
  later (world, executor, DO_REAP, after);
}

static void
world_second_line (gpointer data, GtSlot *slot, GtInstant at)
{
  FakeWorld *world = data;
  g_assert_true (at.ns == GT_NEVER.ns || at.ns > world->now.ns);
  g_assert_false (executor_of (slot)->killed);
  world->lines++;
}

static gint64
world_cpu_ns (gpointer data, GtSlot *slot)
{
  FakeWorld *world = data;
  return executor_of (slot)->kind == JOB_SPIN ? world->now.ns : 0;
}

static gint64
world_resident_bytes (gpointer data, GtSlot *slot)
{
  (void) slot;
  return ((FakeWorld *) data)->resident_bytes;
}

static void
world_weigh (gpointer data, GtSlot *slot)
{
  FakeWorld *world = data;
  world->weighings++;
  world->weighed_slot = slot;
}

static void
world_look (gpointer data, GtSlot *slot, gboolean whole, GtUsage *usage)
{
  (void) whole;
  const Executor *executor = executor_of (slot);
  *usage = (GtUsage){ .cpu_ns = world_cpu_ns (data, slot),
                      .memory_bytes = executor->memory,
                      .peak_bytes = executor->memory,
                      .processes = executor->processes,
                      .threads = executor->threads,
                      .fds = 5 };
}

static const char *
world_domain (gpointer data, GtSlot *slot)
{
  (void) data, (void) slot;
  return "fake";
}

static void
world_ending (gpointer data, GtSlot *slot, GtEnding *ending)
{
  FakeWorld *world = data;
  Executor *executor = executor_of (slot);
  g_assert_true (executor->reaped);
  g_assert_false (executor->gone);
  executor->gone = TRUE;
  ending->wait_status = executor->wait_status;
  ending->report.ended_ns = executor->died_ns;
  ending->report.gone_ns = world->now.ns;
}

static void
world_freed (gpointer data, GtSlot *slot)
{
  (void) data;
  slot->io = NULL;
}

static void
world_tell (gpointer data, GtJob *job)
{
  FakeWorld *world = data;
  FakeTold *told = account (world, job->id);
  world->at_work -= job->slot != NULL;
  told->told++;
  told->record = job->result->record;
  told->n_parts = job->result->parts->len;
  told->own_answer = TRUE;
  g_autofree char *name = g_strdup_printf ("%" G_GUINT64_FORMAT, job->id);
  for (guint i = 0; i < job->result->parts->len; i++) {
    const GtPart *part = job->result->parts->pdata[i];
    gsize size;
    const char *body = g_bytes_get_data (part->body, &size);
    told->own_answer &= size == strlen (name) && memcmp (body, name, size) == 0;
  }
  gt_job_free (job);
}

static const GtPoolWorld functions = {
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

/* --- driving it --- */

FakeWorld *
fake_world_new (const GtEngineOptions *options)
{
  static const char *const argv[] = { "fake", NULL };
  FakeWorld *world = g_new0 (FakeWorld, 1);
  GtEngineOptions full = *options;
  full.argv = argv;
  g_assert_true (gt_engine_options_check (&full, NULL));
  world->now.ns = 1000 * S;
  world->start_ns = 30 * MS;
  world->reap_ns = 1 * MS;
  world->jobs = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  world->executors = g_ptr_array_new_with_free_func (g_free);
  world->events = g_sequence_new (g_free);
  world->pool = gt_pool_new (&functions, world, &full);
  gt_pool_tick (world->pool);
  return world;
}

guint64
fake_world_submit (FakeWorld *world, FakeJob kind, gint64 after_ns, gint64 soft_ns, gint64 hard_ns)
{
  guint64 *id = g_new (guint64, 1);
  FakeTold *told = g_new0 (FakeTold, 1);
  GtLimitsAsked asked = { .soft_ns = soft_ns, .hard_ns = hard_ns };
  if (kind == JOB_EAT)
    asked.memory_bytes = 1 << 30;
  if (kind == JOB_SPIN)
    asked.cpu_ns = 20 * MS;
  if (kind == JOB_FORK)
    asked.processes = 10;
  GtLimitsWorld around = { .now = world->now, .inherited = GT_NEVER };
  GtJobSpec spec = { .kind = fake_job_names[kind], .threads = after_ns };
  g_assert_true (gt_limits_make (&asked, &around, &spec.limits, NULL));
  *id = ++world->next_job;
  told->kind = kind;
  told->hard = spec.limits.hard;
  told->soft = spec.limits.soft;
  g_hash_table_insert (world->jobs, id, told);
  gt_pool_submit (world->pool, gt_job_new (*id, &spec, world->now, 100));
  gt_pool_tick (world->pool);
  return *id;
}

const FakeTold *
fake_world_told (FakeWorld *world, guint64 job)
{
  return account (world, job);
}

/* Everything that is due now; TRUE when something was. */
static gboolean
happen_now (FakeWorld *world)
{
  gboolean any = FALSE;
  for (;;) {
    GSequenceIter *first = g_sequence_get_begin_iter (world->events);
    if (g_sequence_iter_is_end (first))
      return any;
    Event *event = g_sequence_get (first);
    if (event->at_ns > world->now.ns)
      return any;
    Event copy = *event;
    g_sequence_remove (first);
    happen (world, &copy);
    any = TRUE;
  }
}

static GtInstant
next_moment (FakeWorld *world, GtInstant due)
{
  GSequenceIter *first = g_sequence_get_begin_iter (world->events);
  if (g_sequence_iter_is_end (first))
    return due;
  const Event *event = g_sequence_get (first);
  return event->at_ns < due.ns ? (GtInstant){ event->at_ns } : due;
}

void
fake_world_run (FakeWorld *world, gint64 for_ns)
{
  GtInstant end = gt_instant_add (world->now, for_ns);
  for (guint steps = 0;; steps++) {
    g_assert_cmpuint (steps, <, 1000000); /* time must get on */
    happen_now (world);
    gt_pool_tick (world->pool);
    for (guint i = 0; i < world->executors->len; i++) {
      Executor *executor = world->executors->pdata[i];
      if (!executor->gone && !executor->reaped)
        obey (world, executor);
    }
    GtInstant next = next_moment (world, gt_pool_tick (world->pool));
    if (next.ns > end.ns)
      break;
    world->now.ns = MAX (world->now.ns, next.ns);
  }
  world->now = end;
}

void
fake_world_let_die (FakeWorld *world)
{
  world->deaf_kill = FALSE;
  for (guint i = 0; i < world->executors->len; i++) {
    Executor *executor = world->executors->pdata[i];
    if (executor->killed && !executor->reaped)
      later (world, executor, DO_REAP, 0);
  }
}

void
fake_world_free (FakeWorld *world)
{
  gt_pool_stop (world->pool);
  fake_world_run (world, 2 * S);
  g_assert_true (gt_pool_stopped (world->pool));
  fake_world_let_die (world);
  fake_world_run (world, 10 * S);
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, world->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_assert_cmpuint (((FakeTold *) value)->told, ==, 1);
  for (guint i = 0; i < world->executors->len; i++)
    g_assert_true (((Executor *) world->executors->pdata[i])->reaped);
  gt_pool_free (world->pool);
  g_hash_table_unref (world->jobs);
  g_ptr_array_unref (world->executors);
  g_sequence_free (world->events);
  if (world->rand != NULL)
    g_rand_free (world->rand);
  g_free (world);
}
