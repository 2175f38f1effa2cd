#include "lab/verdict.h"

#include <string.h>

/* What the rules below look at. */
typedef struct {
  const GtSubject *subject;
  const GtTally *tally;
  guint iterations, in_time, told_in_time, timeouts, errors, oks, survived, late_in_call;
  gboolean worked; /* in any iteration */
  gboolean cut;    /* the run ended in the middle of it */
  gint64 stall_ns; /* of all iterations */
  double tolerance;
} Evidence;

static const struct {
  const char *name, *text;
} verdict_rows[GT_N_VERDICTS] = {
#define X(id, name, text) [GT_VERDICT_##id] = { name, text },
  GT_VERDICTS (X)
#undef X
};

const char *
gt_verdict_name (GtVerdict verdict)
{
  return verdict_rows[verdict].name;
}

const char *
gt_verdict_text (GtVerdict verdict)
{
  return verdict_rows[verdict].text;
}

static Evidence
evidence_of (const GtRun *run, const GtTally *tally)
{
  const GtSubject *subject = tally->series->subject;
  const GtSeries *last = run->series->pdata[run->series->len - 1];
  Evidence e = { .subject = subject,
                 .cut = tally->series == last && (run->failed || !run->complete),
                 .tally = tally,
                 .iterations = tally->iterations->len,
                 .tolerance = subject->settings[GT_SETTING_TOLERANCE] };
  for (guint i = 0; i < tally->iterations->len; i++) {
    const GtIteration *it = &g_array_index (tally->iterations, GtIteration, i);
    e.in_time
        += gt_iteration_told_late (it) <= e.tolerance && gt_iteration_dead_late (it) <= e.tolerance;
    e.timeouts += g_str_equal (it->outcome, "timeout");
    e.errors += g_str_has_prefix (it->outcome, "error:");
    e.oks += g_str_equal (it->outcome, "ok");
    e.survived += it->alive_at_end > 0;
    e.worked |= it->worked;
    e.late_in_call += gt_iteration_told_late (it) > e.tolerance && it->caller_burned;
    e.told_in_time += gt_iteration_told_late (it) <= e.tolerance;
    e.stall_ns += it->stall_ns;
  }
  return e;
}

static gboolean
result_is_success (const GtSeries *series)
{
  const char *status = json_string_value (json_object_get (series->result, "status"));
  return status != NULL && g_str_equal (status, "SUCCESS");
}

/* --- blame ---------------------------------------------------------------------------------- */

static gboolean
factor_is (const Evidence *e, GtFactor factor, const char *value)
{
  return g_str_equal (e->subject->factors[factor], value);
}

static gboolean
error_is (const Evidence *e, const char *type)
{
  return e->tally->first_error != NULL && strstr (e->tally->first_error, type) != NULL;
}

static gboolean
survivor_catches_sigterm (const Evidence *e)
{
  return e->tally->survivor_sigterm == 'c';
}

static gboolean
anything_survived (const Evidence *e)
{
  return e->survived > 0;
}

static gboolean
is_daemonic_refusal (const Evidence *e)
{
  return error_is (e, "AssertionError") && factor_is (e, GT_FACTOR_POOL, "prefork");
}

static gboolean
is_pickling (const Evidence *e)
{
  return error_is (e, "Pickl");
}

/* After a clean-up the next child cannot be started. */
static gboolean
is_lost_child (const Evidence *e)
{
  return error_is (e, "ChildProcessError") && factor_is (e, GT_FACTOR_STRATEGY, "clean")
         && !factor_is (e, GT_FACTOR_START, "fork");
}

static gboolean
is_module_signals (const Evidence *e)
{
  return factor_is (e, GT_FACTOR_STRATEGY, "signals") && factor_is (e, GT_FACTOR_DRIVER, "module")
         && !factor_is (e, GT_FACTOR_QUERY, "stubborn");
}

/* Whoever was told late was on a CPU all the while: in the C call, since bytecode would have let
 * the handler run. */
static gboolean
waited_for_the_call (const Evidence *e)
{
  return factor_is (e, GT_FACTOR_STRATEGY, "signals")
         && e->late_in_call == e->iterations - e->told_in_time;
}

static gboolean
never_fired (const Evidence *e)
{
  return e->oks > 0;
}

static gboolean
is_cleaned (const Evidence *e)
{
  return factor_is (e, GT_FACTOR_STRATEGY, "clean") && e->told_in_time == e->iterations;
}

static gboolean
never_started (const Evidence *e)
{
  return e->iterations == 0;
}

static gboolean
worker_ended (const Evidence *e)
{
  return e->tally->series->exit_how != NULL;
}

static gboolean
query_failed (const Evidence *e)
{
  return e->errors == e->iterations && error_is (e, "DuckDB");
}

static gboolean
always (const Evidence *e)
{
  (void) e;
  return TRUE;
}

/* The order is that of precedence: the first that applies. */
static GtVerdict
judge (const Evidence *e)
{
  const GtSeries *series = e->tally->series;
  if (series->skip_why != NULL)
    return GT_VERDICT_SKIPPED;
  if (e->cut && series->result == NULL)
    return GT_VERDICT_UNFINISHED;
  if (e->iterations < (guint) e->subject->settings[GT_SETTING_ITERATIONS]
      || series->exit_how != NULL || !result_is_success (series))
    return GT_VERDICT_BROKEN;
  if (e->errors == e->iterations && !e->worked && (is_daemonic_refusal (e) || is_pickling (e)))
    return GT_VERDICT_REFUSED;
  if (e->survived > 0)
    return GT_VERDICT_LEAKED;
  if (e->in_time < e->iterations)
    return GT_VERDICT_LATE;
  if (e->timeouts < e->iterations)
    return GT_VERDICT_BROKEN;
  return GT_VERDICT_HELD;
}

/* Who is to blame, by what was seen. The first row whose verdict and evidence fit. `flips` are the
 * changes that the cause suggests, tried in order before any other. */
typedef struct {
  GtVerdict verdict;
  gboolean (*fits) (const Evidence *evidence);
  const char *party;
  const char *reason;
  GtFactor flips[3];
} BlameRule;

static const BlameRule blame_rules[] = {
  { GT_VERDICT_LEAKED,
    survivor_catches_sigterm,
    "Celery",
    "its Python-level SIGTERM handler, inherited through fork: terminate() waits for the C call",
    { GT_FACTOR_START, GT_FACTOR_SIGTERM, GT_FACTOR_STRATEGY } },
  { GT_VERDICT_LEAKED,
    anything_survived,
    "decorator",
    "it does not make sure that the child is gone",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_SIGTERM } },
  { GT_VERDICT_LATE,
    is_module_signals,
    "DuckDB",
    "a race: its Python module looks for signals itself, from the main thread only",
    { GT_FACTOR_STRATEGY, GT_FACTOR_DRIVER, GT_FACTOR_START } },
  { GT_VERDICT_LATE,
    waited_for_the_call,
    "interpreter",
    "a signal handler runs only between bytecodes: it waits until the C call returns",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_DRIVER } },
  { GT_VERDICT_LATE,
    is_cleaned,
    "clean-up",
    "it came after the limit: terminate, wait, kill",
    { GT_FACTOR_START, GT_FACTOR_SIGTERM, GT_FACTOR_STRATEGY } },
  { GT_VERDICT_LATE,
    always,
    "decorator",
    "it told, or its child died, later than the tolerance",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_SIGTERM } },
  { GT_VERDICT_REFUSED,
    is_daemonic_refusal,
    "Celery",
    "prefork's children are daemonic, and daemonic processes may not have children",
    { GT_FACTOR_POOL, GT_FACTOR_STRATEGY, GT_FACTOR_START } },
  { GT_VERDICT_REFUSED,
    is_pickling,
    "start method",
    "what is decorated cannot be pickled for the new process",
    { GT_FACTOR_START, GT_FACTOR_STRATEGY, GT_FACTOR_DRIVER } },
  { GT_VERDICT_REFUSED,
    always,
    "decorator",
    "it could not start the work",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_POOL } },
  { GT_VERDICT_BROKEN,
    never_started,
    "subject",
    "the worker did not start; its log says why",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_DRIVER } },
  { GT_VERDICT_BROKEN,
    query_failed,
    "workload",
    "the query itself fails; the subject's log says why",
    { GT_FACTOR_QUERY, GT_FACTOR_STRATEGY, GT_FACTOR_START } },
  { GT_VERDICT_BROKEN,
    worker_ended,
    "Celery",
    "the worker ended, or was ended, in the middle",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_DRIVER } },
  { GT_VERDICT_BROKEN,
    is_lost_child,
    "clean-up",
    "it killed the fork server",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_DRIVER } },
  { GT_VERDICT_BROKEN,
    is_module_signals,
    "DuckDB",
    "a race: its Python module looks for signals itself, from the main thread only, and then "
    "raises "
    "RuntimeError, which `except TimeoutError` misses",
    { GT_FACTOR_STRATEGY, GT_FACTOR_DRIVER, GT_FACTOR_START } },
  { GT_VERDICT_BROKEN,
    never_fired,
    "workload",
    "the query ended before its limit; more rows (DUCKDB_ROWS) or a shorter timeout",
    { GT_FACTOR_QUERY, GT_FACTOR_STRATEGY, GT_FACTOR_START } },
  { GT_VERDICT_BROKEN,
    always,
    "subject",
    "it gave no answer, or an error; its log says more",
    { GT_FACTOR_STRATEGY, GT_FACTOR_START, GT_FACTOR_DRIVER } },
};

static const BlameRule *
find_rule (const Evidence *e, GtVerdict verdict)
{
  for (gsize i = 0; i < G_N_ELEMENTS (blame_rules); i++)
    if (blame_rules[i].verdict == verdict && blame_rules[i].fits (e))
      return &blame_rules[i];
  return NULL;
}

/* --- flips ---------------------------------------------------------------------------------- */

static const GtSubject *
subject_of (const GtFinding *finding)
{
  return finding->tally->series->subject;
}

/* A subject of the run that differs from `finding` in this factor alone and held; or, when `any`,
 * whose verdict at least is another one. */
static const GtFinding *
find_flip (const GPtrArray *findings, const GtFinding *finding, GtFactor factor, gboolean any)
{
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *other = findings->pdata[i];
    GtFactor which;
    gboolean flips
        = any ? other->verdict != finding->verdict && other->verdict != GT_VERDICT_SKIPPED
              : other->verdict == GT_VERDICT_HELD;
    if (flips && gt_subject_same_limits (subject_of (finding), subject_of (other))
        && gt_subject_distance (subject_of (finding), subject_of (other), &which) == 1
        && which == factor)
      return other;
  }
  return NULL;
}

static char *
flip_text (const GtFinding *flip, GtFactor factor)
{
  return g_strdup_printf ("%s=%s -> %s (%s)", gt_factor_key (factor),
                          subject_of (flip)->factors[factor], gt_verdict_name (flip->verdict),
                          subject_of (flip)->name);
}

/* What the cause suggests comes first; a change that makes it hold before one that only changes
 * what goes wrong. */
static void
set_flip (const GPtrArray *findings, GtFinding *finding, const BlameRule *rule)
{
  const gboolean refused = finding->verdict == GT_VERDICT_REFUSED;
  for (gboolean any = FALSE; any <= refused && finding->flip == NULL; any++)
    for (gsize i = 0; i < G_N_ELEMENTS (rule->flips) + GT_N_FACTORS && finding->flip == NULL; i++) {
      GtFactor factor = i < G_N_ELEMENTS (rule->flips)
                            ? rule->flips[i]
                            : (GtFactor) (i - G_N_ELEMENTS (rule->flips));
      const GtFinding *flip = find_flip (findings, finding, factor, any);
      if (flip != NULL)
        finding->flip = flip_text (flip, factor);
    }
}

/* --- findings ------------------------------------------------------------------------------- */

static void
finding_free (gpointer data)
{
  GtFinding *finding = data;
  gt_tally_free (finding->tally);
  g_free (finding->reason);
  g_free (finding->flip);
  g_free (finding->note);
  g_free (finding);
}

/* In a race some iterations are in time and others are not: the share is the finding. */
static char *
note_text (const Evidence *e, GtVerdict verdict)
{
  const GPtrArray *log = e->tally->series->log_lines;
  if (verdict == GT_VERDICT_SKIPPED || verdict == GT_VERDICT_UNFINISHED)
    return NULL;
  if (e->iterations == 0)
    return log->len > 0 ? g_strdup (log->pdata[log->len - 1])
                        : g_strdup (e->tally->series->exit_how);
  if (is_module_signals (e) || (verdict == GT_VERDICT_LATE && e->told_in_time > 0))
    return g_strdup_printf ("race: %u of %u in time", e->told_in_time, e->iterations);
  if (e->tally->series->exit_how != NULL)
    return g_strdup (e->tally->series->exit_how);
  if (e->stall_ns > 0)
    return g_strdup_printf ("the machine stood still for %.1f s", (double) e->stall_ns / 1e9);
  if (e->errors > 0)
    return g_strdup (e->tally->first_error);
  return NULL;
}

static GtFinding *
finding_new (const GtRun *run, const GtSeries *series)
{
  GtFinding *finding = g_new0 (GtFinding, 1);
  finding->tally = gt_tally_new (series);
  Evidence e = evidence_of (run, finding->tally);
  finding->verdict = judge (&e);
  finding->note = note_text (&e, finding->verdict);
  const BlameRule *rule = find_rule (&e, finding->verdict);
  if (rule != NULL) {
    finding->party = rule->party;
    finding->reason = g_strdup (rule->reason);
  } else if (series->skip_why != NULL) {
    finding->reason = g_strdup (series->skip_why);
  }
  return finding;
}

GPtrArray *
gt_findings_new (const GtRun *run)
{
  GPtrArray *findings = g_ptr_array_new_with_free_func (finding_free);
  for (guint i = 0; i < run->series->len; i++)
    g_ptr_array_add (findings, finding_new (run, run->series->pdata[i]));
  for (guint i = 0; i < findings->len; i++) {
    GtFinding *finding = findings->pdata[i];
    Evidence e = evidence_of (run, finding->tally);
    const BlameRule *rule = find_rule (&e, finding->verdict);
    if (rule != NULL)
      set_flip (findings, finding, rule);
  }
  return findings;
}
