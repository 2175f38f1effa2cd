#include "lab/tally.h"

#include "lab/role.h"
#include "os/clock.h"

#include <string.h>

/* Less CPU than this is no query: imports and bookkeeping of a task that never got to it. */
#define WORK_LEAST_NS (50 * GT_NSEC_PER_MSEC)

/* How long a survivor is watched to tell burning from sleeping. */
#define BURN_WINDOW_NS (200 * GT_NSEC_PER_MSEC)

/* An observer that was due every 20 ms and came after this did not run: nobody did. */
#define STALL_LEAST_NS (150 * GT_NSEC_PER_MSEC)

/* The bookkeeping around one subject while its figures are computed. */
typedef struct {
  const GtSeries *series;
  GtTally *tally;
  gint64 subject_pid; /* process that runs the task */
  gint64 task_start_ns;
  const GtProcessSeries *subject; /* NULL = never sampled */
} Tallying;

static gint64
sample_at (const GtSeries *series, guint sample)
{
  return g_array_index (series->sample_ns, gint64, sample);
}

/* First sample not earlier than at_ns; the number of samples when there is none. */
static guint
sample_from (const GtSeries *series, gint64 at_ns)
{
  guint low = 0, high = series->sample_ns->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (sample_at (series, middle) < at_ns)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static gint64
event_integer (const json_t *event, const char *key, gint64 absent)
{
  const json_t *value = json_object_get (event, key);
  return json_is_integer (value) ? json_integer_value (value) : absent;
}

/* The nth (from 0) event of that name, NULL when there are fewer. */
static const json_t *
find_event (const GtSeries *series, const char *name, guint nth)
{
  for (guint i = 0; i < series->events->len; i++) {
    const char *ev = json_string_value (json_object_get (series->events->pdata[i], "ev"));
    if (ev != NULL && strcmp (ev, name) == 0 && nth-- == 0)
      return series->events->pdata[i];
  }
  return NULL;
}

static const json_t *
find_iteration_event (const GtSeries *series, const char *name, gint64 n)
{
  const json_t *event;
  for (guint i = 0; (event = find_event (series, name, i)) != NULL; i++)
    if (event_integer (event, "n", -1) == n)
      return event;
  return NULL;
}

static gint64
first_seen_ns (const GtSeries *series, const GtProcessSeries *process)
{
  return process->points->len > 0
             ? sample_at (series, g_array_index (process->points, GtPoint, 0).sample)
             : G_MAXINT64;
}

/* --- the work of an iteration --------------------------------------------------------------- */

static gboolean
is_work (const Tallying *t, const GtProcessSeries *process, gint64 from_ns, gint64 to_ns)
{
  gint64 seen = first_seen_ns (t->series, process);
  if (seen < from_ns || seen >= to_ns || process->pid == t->series->root_pid
      || process->pid == t->subject_pid)
    return FALSE;
  return !gt_role_is_helper (process->cmdline, g_array_index (process->points, GtPoint, 0).ppid,
                             t->subject_pid, t->series->root_pid);
}

static gboolean
is_alive (const GtPoint *point)
{
  return point != NULL && point->state != 'Z' && point->state != 'X';
}

/* When a process had ended: the first sample without it, or with its zombie. *cut_short when the
 * samples end before it does. */
static gint64
death_ns (const GtSeries *series, const GtProcessSeries *process, gboolean *cut_short)
{
  guint last_alive = 0;
  for (guint i = 0; i < process->points->len; i++) {
    const GtPoint *point = &g_array_index (process->points, GtPoint, i);
    if (is_alive (point))
      last_alive = point->sample;
  }
  *cut_short = last_alive + 1 >= series->sample_ns->len;
  return sample_at (series, *cut_short ? last_alive : last_alive + 1);
}

/* The last moment before `to_ns` at which the worker itself was still burning, 0 when it was not:
 * more than half a CPU from one sample to the next. */
static gint64
own_burning_until (const Tallying *t, gint64 from_ns, gint64 to_ns)
{
  gint64 until = 0;
  for (guint s = sample_from (t->series, from_ns) + 1; s < t->series->sample_ns->len; s++) {
    const GtPoint *before = gt_process_at (t->subject, s - 1);
    const GtPoint *now = gt_process_at (t->subject, s);
    gint64 at = sample_at (t->series, s), elapsed = at - sample_at (t->series, s - 1);
    if (at >= to_ns || now == NULL)
      break;
    /* Short gaps say nothing: the kernel accounts in ticks of 10 ms. */
    if (before != NULL && elapsed >= 15 * GT_NSEC_PER_MSEC
        && (now->cpu_ns - before->cpu_ns) * 2 > elapsed)
      until = at;
  }
  return until;
}

static void
tally_work_processes (const Tallying *t, GtIteration *it, gint64 next_ns, gint64 over_ns,
                      gint64 *dead_ns)
{
  const GtSeries *series = t->series;
  gint64 asked = it->start_ns + it->asked_ns, cpu = 0;
  guint end_sample = sample_from (series, over_ns);
  for (guint i = 0; i < series->processes->len; i++) {
    const GtProcessSeries *p = series->processes->pdata[i];
    if (!is_work (t, p, it->start_ns, next_ns))
      continue;
    gboolean cut_short;
    *dead_ns = MAX (*dead_ns, death_ns (series, p, &cut_short));
    it->cut_short |= cut_short;
    cpu += gt_process_cpu_at (series, p, G_MAXINT64);
    it->cpu_after_ns
        += gt_process_cpu_at (series, p, G_MAXINT64) - gt_process_cpu_at (series, p, asked);
    const GtPoint *at_end = gt_process_at (p, end_sample);
    if (is_alive (at_end)) {
      it->alive_at_end++;
      t->tally->survivor_sigterm = at_end->sigterm;
    }
  }
  it->worked |= cpu >= WORK_LEAST_NS;
}

/* Whether the process that runs the task wanted a CPU in nearly every sample between two instants.
 * A busy machine changes how much it got, not this. */
static gboolean
is_runnable (const Tallying *t, gint64 from_ns, gint64 to_ns)
{
  guint seen = 0, runnable = 0;
  for (guint s = sample_from (t->series, from_ns);
       s < t->series->sample_ns->len && sample_at (t->series, s) <= to_ns; s++) {
    const GtPoint *point = gt_process_at (t->subject, s);
    seen += point != NULL;
    runnable += point != NULL && point->state == 'R';
  }
  return seen > 0 && runnable * 10 >= seen * 8;
}

/* Work inside the worker's own process. */
static void
tally_own_work (const Tallying *t, GtIteration *it, gint64 next_ns, gint64 *dead_ns)
{
  gint64 told = it->start_ns + it->told_ns, asked = it->start_ns + it->asked_ns;
  if (t->subject == NULL)
    return;
  gint64 cpu = gt_process_cpu_at (t->series, t->subject, told)
               - gt_process_cpu_at (t->series, t->subject, it->start_ns);
  it->worked |= cpu >= WORK_LEAST_NS;
  it->caller_burned = is_runnable (t, asked, told);
  if (*dead_ns != 0)
    return;
  *dead_ns = MAX (told, own_burning_until (t, told, next_ns));
  if (*dead_ns > asked)
    it->cpu_after_ns += gt_process_cpu_at (t->series, t->subject, *dead_ns)
                        - gt_process_cpu_at (t->series, t->subject, asked);
}

/* CPU time that the family used from one sample to the next. */
static gint64
cpu_between (const GtSeries *series, guint sample)
{
  gint64 grown = 0;
  for (guint i = 0; i < series->processes->len; i++) {
    const GtPoint *before = gt_process_at (series->processes->pdata[i], sample - 1);
    const GtPoint *now = gt_process_at (series->processes->pdata[i], sample);
    if (now != NULL)
      grown += now->cpu_ns - (before != NULL ? before->cpu_ns : 0);
  }
  return grown;
}

/* Time between two instants in which neither the observer nor the family ran. An observer alone
 * that did not (it was stopped, or its disk was slow) excuses nobody. */
static gint64
stalled_ns (const GtSeries *series, gint64 from_ns, gint64 to_ns)
{
  gint64 stalled = 0;
  for (guint s = MAX (sample_from (series, from_ns), 1);
       s < series->sample_ns->len && sample_at (series, s - 1) < to_ns; s++) {
    gint64 gap = MIN (sample_at (series, s), to_ns) - MAX (sample_at (series, s - 1), from_ns);
    if (gap >= STALL_LEAST_NS && cpu_between (series, s) * 10 < gap)
      stalled += gap;
  }
  return stalled;
}

/* --- the observer's own count --------------------------------------------------------------- */

/* Descendants of the process that runs the task, in one sample. */
static void
count_descendants (const Tallying *t, guint sample, gint64 *children, gint64 *zombies)
{
  g_autoptr (GHashTable) inside = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_hash_table_add (inside, GINT_TO_POINTER ((gint) t->subject_pid));
  *children = *zombies = 0;
  /* A parent may stand behind its child in the list: until a round finds nothing new. */
  for (gboolean found = TRUE; found;) {
    found = FALSE;
    for (guint i = 0; i < t->series->processes->len; i++) {
      const GtProcessSeries *p = t->series->processes->pdata[i];
      const GtPoint *point = gt_process_at (p, sample);
      gpointer pid = GINT_TO_POINTER ((gint) p->pid);
      if (point == NULL || g_hash_table_contains (inside, pid)
          || !g_hash_table_contains (inside, GINT_TO_POINTER ((gint) point->ppid)))
        continue;
      g_hash_table_add (inside, pid);
      found = TRUE;
      ++*children;
      *zombies += point->state == 'Z';
    }
  }
}

/* The subject counted between two instants: some sample from just before to just after must have
 * seen the same, else it is a conflict. Keeps the sample right after, or the one that agrees. */
static void
compare_counts (const Tallying *t, GtIteration *it, const json_t *event)
{
  gint64 slack = (gint64) t->series->subject->settings[GT_SETTING_SAMPLE_MS] * GT_NSEC_PER_MSEC;
  gint64 before = event_integer (event, "t_before", 0), after = event_integer (event, "t_after", 0);
  guint last = sample_from (t->series, after);
  it->seen_children = it->seen_zombies = -1;
  for (guint s = sample_from (t->series, before - slack);
       s < t->series->sample_ns->len && (s <= last || sample_at (t->series, s) <= after + slack);
       s++) {
    count_descendants (t, s, &it->seen_children, &it->seen_zombies);
    if (it->seen_children == it->children && it->seen_zombies == it->zombies)
      return;
  }
  g_ptr_array_add (t->tally->conflicts,
                   g_strdup_printf ("iteration %u: it counted children=%d zombies=%d, seen from "
                                    "outside children=%d zombies=%d",
                                    it->n, (int) it->children, (int) it->zombies,
                                    (int) it->seen_children, (int) it->seen_zombies));
}

/* The line in the worker's log must say what the trace event says. */
static void
compare_log (const Tallying *t, const GtIteration *it)
{
  g_autofree char *start = g_strdup_printf ("iter=%u outcome=%s elapsed=", it->n, it->outcome);
  g_autofree char *end
      = g_strdup_printf ("children=%d zombies=%d", (int) it->children, (int) it->zombies);
  for (guint i = 0; i < t->series->log_lines->len; i++) {
    const char *found = strstr (t->series->log_lines->pdata[i], start);
    if (found != NULL && strstr (found, end) != NULL)
      return;
  }
  g_ptr_array_add (
      t->tally->conflicts,
      g_strdup_printf ("iteration %u: no log line says '%s... %s'", it->n, start, end));
}

/* --- iterations ----------------------------------------------------------------------------- */

static void
tally_cleanup (GtIteration *it, const json_t *event)
{
  static const char *const keys[] = { "terminated", "killed", "remaining" };
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    it->cleanup[i] = event_integer (event, keys[i], -1);
}

/* What survives is what is there when the iteration is over, its clean-up included. */
static gint64
iteration_over_ns (const json_t *told, const json_t *end, const json_t *cleanup)
{
  return MAX (event_integer (end, "t_after", event_integer (told, "t", 0)),
              event_integer (cleanup, "t", 0));
}

/* Returns when it was over; 0 when it never was. */
static gint64
tally_iteration (const Tallying *t, const json_t *start, const json_t *next_start)
{
  const GtSeries *series = t->series;
  gint64 n = event_integer (start, "n", 0);
  const json_t *told = find_iteration_event (series, "iter_told", n);
  const json_t *end = find_iteration_event (series, "iter_end", n);
  if (told == NULL)
    return 0;
  gint64 next_ns = event_integer (next_start, "t", G_MAXINT64), dead_ns = 0;
  GtIteration it = { .n = (guint) n, .start_ns = event_integer (start, "t", 0) };
  const char *outcome = json_string_value (json_object_get (told, "outcome"));
  it.outcome = g_strdup (outcome != NULL ? outcome : "?");
  it.asked_ns = (gint64) (series->subject->settings[GT_SETTING_TIMEOUT] * GT_NSEC_PER_SEC);
  it.told_ns = event_integer (told, "t", 0) - it.start_ns;
  it.children = event_integer (end, "children", -1);
  it.zombies = event_integer (end, "zombies", -1);
  it.seen_children = it.seen_zombies = -1;
  const json_t *cleanup = find_iteration_event (series, "cleanup", n);
  gint64 over_ns = iteration_over_ns (told, end, cleanup);
  tally_work_processes (t, &it, next_ns, over_ns, &dead_ns);
  tally_own_work (t, &it, next_ns, &dead_ns);
  it.dead_ns = MAX (dead_ns - it.start_ns, 0);
  it.stall_ns = stalled_ns (series, it.start_ns, it.start_ns + MAX (it.told_ns, it.dead_ns));
  tally_cleanup (&it, cleanup);
  if (end != NULL) {
    compare_counts (t, &it, end);
    compare_log (t, &it);
  }
  if (t->tally->first_error == NULL && g_str_has_prefix (it.outcome, "error:"))
    t->tally->first_error = g_strdup (it.outcome);
  t->tally->cpu_after_ns += it.cpu_after_ns;
  g_array_append_val (t->tally->iterations, it);
  return over_ns;
}

/* Counted when the last iteration is over, its clean-up included. */
static void
tally_burning (const Tallying *t, gint64 over_ns)
{
  guint from = sample_from (t->series, over_ns);
  if (over_ns == 0 || from >= t->series->sample_ns->len)
    return;
  gint64 to_ns = sample_at (t->series, from) + BURN_WINDOW_NS;
  for (guint i = 0; i < t->series->processes->len; i++) {
    const GtProcessSeries *p = t->series->processes->pdata[i];
    t->tally->burning_after
        += is_work (t, p, t->task_start_ns, G_MAXINT64) && is_alive (gt_process_at (p, from))
           && gt_process_cpu_at (t->series, p, to_ns) > gt_process_at (p, from)->cpu_ns;
  }
}

/* The last word on the GIL, and how it came about. */
static char *
gil_text (const GtSeries *series)
{
  const json_t *last = NULL, *event;
  for (guint i = 0; (event = find_event (series, "gil_status", i)) != NULL; i++)
    last = event;
  if (last == NULL)
    return NULL;
  gboolean on = json_is_true (json_object_get (last, "gil_enabled"));
  const char *set_by = json_string_value (json_object_get (last, "set_by"));
  const json_t *culprit = json_object_get (last, "culprit");
  const char *module = json_string_value (
      json_is_object (culprit) ? json_object_get (culprit, "module") : culprit);
  const char *state = on ? "on" : "off";
  if (module != NULL)
    return g_strdup_printf ("%s (%s: %s)", state, set_by != NULL ? set_by : "?", module);
  return g_strdup_printf ("%s (%s)", state, set_by != NULL ? set_by : "?");
}

static void
iteration_clear (gpointer data)
{
  g_free (((GtIteration *) data)->outcome);
}

GtTally *
gt_tally_new (const GtSeries *series)
{
  GtTally *tally = g_new0 (GtTally, 1);
  tally->series = series;
  tally->iterations = g_array_new (FALSE, FALSE, sizeof (GtIteration));
  g_array_set_clear_func (tally->iterations, iteration_clear);
  tally->conflicts = g_ptr_array_new_with_free_func (g_free);
  tally->gil = gil_text (series);
  const json_t *task = find_event (series, "task_start", 0);
  if (task == NULL)
    return tally;
  Tallying t = { .series = series,
                 .tally = tally,
                 .subject_pid = event_integer (task, "pid", 0),
                 .task_start_ns = event_integer (task, "t", 0) };
  for (guint i = 0; i < series->processes->len; i++)
    if (((GtProcessSeries *) series->processes->pdata[i])->pid == t.subject_pid)
      t.subject = series->processes->pdata[i];
  const json_t *start = find_event (series, "iter_start", 0);
  gint64 over_ns = 0;
  for (guint i = 1; start != NULL; i++) {
    const json_t *next = find_event (series, "iter_start", i);
    over_ns = tally_iteration (&t, start, next);
    start = next;
  }
  tally_burning (&t, over_ns);
  return tally;
}

void
gt_tally_free (GtTally *tally)
{
  g_array_unref (tally->iterations);
  g_ptr_array_unref (tally->conflicts);
  g_free (tally->first_error);
  g_free (tally->gil);
  g_free (tally);
}

static double
seconds_late (gint64 at_ns, gint64 asked_ns)
{
  return at_ns > asked_ns ? (double) (at_ns - asked_ns) / (double) GT_NSEC_PER_SEC : 0;
}

double
gt_iteration_told_late (const GtIteration *iteration)
{
  return seconds_late (iteration->told_ns - iteration->stall_ns, iteration->asked_ns);
}

double
gt_iteration_dead_late (const GtIteration *iteration)
{
  return seconds_late (iteration->dead_ns - iteration->stall_ns, iteration->asked_ns);
}
