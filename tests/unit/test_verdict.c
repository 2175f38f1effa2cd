/* From raw records to a verdict: the whole pure path, on made-up samples with known answers. */
#include "lab/error.h"
#include "lab/table.h"

#include <string.h>

#define MS G_GINT64_CONSTANT (1000000)

enum { ROOT = 10, WORKER = 11, CHILD = 20 };

typedef struct {
  GtRun *run;
  const char *name;
  const char *worker_state;
  gboolean pid1;      /* the worker is PID 1 of a container */
  const char *reaper; /* as recorded; NULL = outside containers */
} Script;

static void
add (Script *s, json_t *record)
{
  g_autoptr (GError) error = NULL;
  gt_run_add (s->run, record, &error);
  g_assert_no_error (error);
  json_decref (record);
}

static Script
script_new (void)
{
  Script s = { .run = gt_run_new (), .worker_state = "S" };
  add (&s, json_pack ("{ss ss ss ss si}", "k", "run", "experiment", "t", "broker", "filesystem",
                      "started", "now", "cpus", 2));
  return s;
}

/* A subject of one iteration, asked at 500 ms, with these factors "a;b;c;..." (empty = default). */
static void
begin (Script *s, const char *name, const char *strategy, const char *start, const char *driver)
{
  static const char *const defaults[GT_N_FACTORS]
      = { "gil", "process", "fork", "capi", "solo", "inherit", "interruptible", "1", "init", "no" };
  json_t *factors = json_object (), *settings = json_object ();
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    json_object_set_new (factors, gt_factor_key (f), json_string (defaults[f]));
  if (s->pid1)
    json_object_set_new (factors, "reaper", json_string ("worker"));
  json_object_set_new (factors, "strategy", json_string (strategy));
  json_object_set_new (factors, "start", json_string (start));
  json_object_set_new (factors, "driver", json_string (driver));
  for (GtSetting t = 0; t < GT_N_SETTINGS; t++)
    json_object_set_new (settings, gt_setting_key (t), json_real (0.25));
  json_object_set_new (settings, "iterations", json_real (1));
  json_object_set_new (settings, "startup", json_real (60));
  json_object_set_new (settings, "timeout", json_real (0.5));
  json_object_set_new (settings, "sample-ms", json_real (20));
  s->name = name;
  add (s, json_pack ("{ss ss so so sI ss?}", "k", "subject", "s", name, "factors", factors,
                     "settings", settings, "rows", (json_int_t) 5, "reaper", s->reaper));
  add (s, json_pack ("{ss ss si}", "k", "spawn", "s", name, "root", ROOT));
}

static void
event (Script *s, const char *ev, gint64 at_ms, json_t *more)
{
  json_t *e = json_pack ("{ss sI si}", "ev", ev, "t", (json_int_t) (at_ms * MS), "pid", WORKER);
  json_object_update (e, more);
  json_decref (more);
  add (s, json_pack ("{ss ss sI so}", "k", "trace", "s", s->name, "t", (json_int_t) (at_ms * MS),
                     "e", e));
}

/* worker_ms, child_ms: CPU so far; child_state 0 = no child. */
static void
sample (Script *s, gint64 at_ms, gint64 worker_ms, char child_state, gint64 child_ms,
        const char *child_sigterm)
{
  json_t *rows
      = json_pack ("[[i,i,i,s,i,i,i,s],[i,i,i,s,I,i,i,s]]", ROOT, 1, 1, "S", 0, 0, 1, "d", WORKER,
                   2, ROOT, s->worker_state, (json_int_t) (worker_ms * MS), 0, 1, "c");
  if (child_state != 0)
    json_array_append_new (rows, json_pack ("[i,i,i,s#,I,i,i,s]", CHILD, 3, WORKER, &child_state, 1,
                                            (json_int_t) (child_ms * MS), 0, 1, child_sigterm));
  add (s, json_pack ("{ss ss sI so}", "k", "sample", "s", s->name, "t", (json_int_t) (at_ms * MS),
                     "p", rows));
}

static void
finish (Script *s, const char *outcome, gint64 told_ms, int children, int zombies)
{
  gint64 counted = (told_ms + 100) * MS;
  event (s, "iter_told", told_ms,
         json_pack ("{si ss sf}", "n", 1, "outcome", outcome, "elapsed", (double) told_ms / 1000));
  event (s, "iter_end", told_ms + 100,
         json_pack ("{si si si sI sI}", "n", 1, "children", children, "zombies", zombies,
                    "t_before", (json_int_t) counted, "t_after", (json_int_t) counted));
  g_autofree char *line = g_strdup_printf (
      "x: iter=1 outcome=%s elapsed=0.5s children=%d zombies=%d", outcome, children, zombies);
  add (s, json_pack ("{ss ss sI ss}", "k", "log", "s", s->name, "t", (json_int_t) 1, "line", line));
  add (s, json_pack ("{ss ss sI ss}", "k", "result", "s", s->name, "t", (json_int_t) 1, "status",
                     "SUCCESS"));
}

static void
end_run (Script *s)
{
  add (s,
       json_pack ("{ss sI si sb}", "k", "final", "t", (json_int_t) 1, "left", 0, "interrupted", 0));
}

static void
start_iteration (Script *s)
{
  sample (s, 100, 200, 0, 0, "");
  event (s, "task_start", 110, json_object ());
  event (s, "iter_start", 1000, json_pack ("{si}", "n", 1));
}

/* A child that catches SIGTERM and burns on until the lab ends it. */
static void
add_leaked (Script *s, const char *name)
{
  begin (s, name, "process", "fork", "capi");
  start_iteration (s);
  for (gint64 at = 1020; at <= 3000; at += 20)
    sample (s, at, 210, 'R', at - 1010, "c");
  finish (s, "timeout", 1510, 1, 0);
}

/* A child that is a zombie in time. */
static void
add_held (Script *s, const char *name, const char *start)
{
  begin (s, name, "process", start, "capi");
  start_iteration (s);
  for (gint64 at = 1020; at <= 2000; at += 20)
    sample (s, at, 210, at < 1520 ? 'R' : 'Z', MIN (at, 1520) - 1010, "d");
  finish (s, "timeout", 1510, 1, 1);
}

/* The worker itself is in the C call for 3 s. */
static void
add_late (Script *s, const char *name)
{
  begin (s, name, "signals", "fork", "capi");
  start_iteration (s);
  s->worker_state = "R";
  for (gint64 at = 1020; at <= 4500; at += 20)
    sample (s, at, 200 + MIN (at, 4000) - 1000, 0, 0, "");
  finish (s, "timeout", 4000, 0, 0);
}

static const GtFinding *
finding (const GPtrArray *findings, guint i)
{
  return findings->pdata[i];
}

static const GtIteration *
first_iteration (const GtFinding *f)
{
  return &g_array_index (f->tally->iterations, GtIteration, 0);
}

static void
a_child_that_burns_on_is_leaked_and_the_handler_blamed (void)
{
  Script s = script_new ();
  add_leaked (&s, "fork");
  add_held (&s, "forkserver", "forkserver");
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  const GtFinding *f = finding (findings, 0);
  g_assert_cmpint (f->verdict, ==, GT_VERDICT_LEAKED);
  g_assert_cmpstr (f->party, ==, "Celery");
  g_assert_nonnull (strstr (f->reason, "SIGTERM handler"));
  g_assert_cmpstr (f->flip, ==, "start=forkserver -> held (forkserver)");
  g_assert_cmpuint (f->tally->burning_after, ==, 1);
  g_assert_true (first_iteration (f)->cut_short);
  g_assert_cmpuint (first_iteration (f)->alive_at_end, ==, 1);
  /* Asked at 1500, last seen at 3000. */
  g_assert_cmpint (first_iteration (f)->cpu_after_ns, ==, 1500 * MS);
  g_assert_cmpuint (f->tally->conflicts->len, ==, 0);
  gt_run_free (s.run);
}

static void
a_child_dead_in_time_is_held (void)
{
  Script s = script_new ();
  add_held (&s, "a", "fork");
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  const GtFinding *f = finding (findings, 0);
  g_assert_cmpint (f->verdict, ==, GT_VERDICT_HELD);
  g_assert_null (f->party);
  g_assert_cmpint (first_iteration (f)->asked_ns, ==, 500 * MS);
  g_assert_cmpint (first_iteration (f)->told_ns, ==, 510 * MS);
  g_assert_cmpint (first_iteration (f)->dead_ns, ==, 520 * MS);
  g_assert_false (first_iteration (f)->cut_short);
  g_assert_cmpuint (f->tally->burning_after, ==, 0);
  gt_run_free (s.run);
}

static void
a_machine_that_stood_still_is_not_the_subjects_fault (void)
{
  for (int observed = 0; observed <= 1; observed++) {
    Script s = script_new ();
    begin (&s, "a", "process", "fork", "capi");
    start_iteration (&s);
    for (gint64 at = 1020; at <= 3000; at += 20)
      if (observed || at < 1400 || at > 2400)
        sample (&s, at, 210, at < 2420 ? 'R' : 'Z', 390, "d");
    finish (&s, "timeout", 2410, 1, 1);
    g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
    g_assert_cmpint (finding (findings, 0)->verdict, ==,
                     observed ? GT_VERDICT_LATE : GT_VERDICT_HELD);
    if (!observed)
      g_assert_nonnull (strstr (finding (findings, 0)->note, "stood still for 1.0 s"));
    gt_run_free (s.run);
  }
}

static void
an_observer_that_stood_still_alone_excuses_nobody (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  start_iteration (&s);
  for (gint64 at = 1020; at <= 3000; at += 20)
    if (at < 1400 || at > 2400)
      sample (&s, at, 210, at < 2420 ? 'R' : 'Z', at - 1010, "d");
  finish (&s, "timeout", 2410, 1, 1);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_LATE);
  gt_run_free (s.run);
}

static void
what_the_run_did_not_finish_is_not_judged (void)
{
  Script s = script_new ();
  add_held (&s, "a", "fork");
  begin (&s, "b", "process", "fork", "capi");
  sample (&s, 5000, 200, 0, 0, "");
  add (&s, json_pack ("{ss sI si sb ss}", "k", "final", "t", (json_int_t) 1, "left", 0,
                      "interrupted", 0, "error", "connection lost"));
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_HELD);
  g_assert_cmpint (finding (findings, 1)->verdict, ==, GT_VERDICT_UNFINISHED);
  g_assert_null (finding (findings, 1)->party);
  gt_run_free (s.run);
}

static void
a_worker_that_never_started_says_why (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  add (&s, json_pack ("{ss ss sI ss}", "k", "log", "s", "a", "t", (json_int_t) 1, "line",
                      "LOG_LEVEL=bogus: must be one of DEBUG"));
  add (&s, json_pack ("{ss ss sI ss}", "k", "exit", "s", "a", "t", (json_int_t) 1, "how",
                      "exit code 2"));
  end_run (&s);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_BROKEN);
  g_assert_cmpstr (finding (findings, 0)->party, ==, "subject");
  g_assert_nonnull (strstr (finding (findings, 0)->note, "LOG_LEVEL=bogus"));
  gt_run_free (s.run);
}

static void
a_query_that_fails_is_not_refused (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  start_iteration (&s);
  for (gint64 at = 1020; at <= 1300; at += 20)
    sample (&s, at, 205, 0, 0, "");
  finish (&s, "error:DuckDBError", 1010, 0, 0);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_BROKEN);
  g_assert_cmpstr (finding (findings, 0)->party, ==, "workload");
  gt_run_free (s.run);
}

static void
a_flip_has_the_same_limits (void)
{
  Script s = script_new ();
  add_leaked (&s, "fork");
  add_held (&s, "forkserver", "forkserver");
  ((GtSeries *) s.run->series->pdata[1])->subject->settings[GT_SETTING_TOLERANCE] = 60;
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_null (finding (findings, 0)->flip);
  gt_run_free (s.run);
}

static void
a_handler_that_waits_for_the_call_is_late_and_the_interpreter_blamed (void)
{
  Script s = script_new ();
  add_late (&s, "a");
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  const GtFinding *f = finding (findings, 0);
  g_assert_cmpint (f->verdict, ==, GT_VERDICT_LATE);
  g_assert_cmpstr (f->party, ==, "interpreter");
  g_assert_cmpfloat_with_epsilon (gt_iteration_told_late (first_iteration (f)), 2.5, 0.001);
  g_assert_cmpint (first_iteration (f)->dead_ns, ==, first_iteration (f)->told_ns);
  g_assert_cmpfloat_with_epsilon ((double) first_iteration (f)->cpu_after_ns / 1e9, 2.5, 0.05);
  g_assert_null (f->flip);
  gt_run_free (s.run);
}

static void
an_error_before_any_work_is_refused (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  start_iteration (&s);
  for (gint64 at = 1020; at <= 1300; at += 20)
    sample (&s, at, 205, 0, 0, "");
  finish (&s, "error:PicklingError", 1010, 0, 0);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_REFUSED);
  g_assert_cmpstr (finding (findings, 0)->party, ==, "start method");
  g_assert_false (first_iteration (finding (findings, 0))->worked);
  gt_run_free (s.run);
}

static void
a_limit_that_never_fired_proves_nothing (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  start_iteration (&s);
  for (gint64 at = 1020; at <= 1500; at += 20)
    sample (&s, at, 205, at < 1300 ? 'R' : 0, at - 1010, "d");
  finish (&s, "ok", 1310, 0, 0);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_BROKEN);
  g_assert_cmpstr (finding (findings, 0)->party, ==, "workload");
  gt_run_free (s.run);
}

static void
a_subject_that_never_answered_is_broken (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  sample (&s, 100, 200, 0, 0, "");
  add (&s,
       json_pack ("{ss ss sI ss}", "k", "exit", "s", "a", "t", (json_int_t) 1, "how", "signal 9"));
  end_run (&s);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_assert_cmpint (finding (findings, 0)->verdict, ==, GT_VERDICT_BROKEN);
  g_assert_cmpstr (finding (findings, 0)->party, ==, "subject");
  gt_run_free (s.run);
}

static void
a_count_that_nobody_else_saw_is_a_conflict (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  start_iteration (&s);
  for (gint64 at = 1020; at <= 2000; at += 20)
    sample (&s, at, 210, at < 1520 ? 'R' : 'Z', MIN (at, 1520) - 1010, "d");
  finish (&s, "timeout", 1510, 3, 1);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  const GPtrArray *conflicts = finding (findings, 0)->tally->conflicts;
  g_assert_cmpuint (conflicts->len, ==, 1);
  g_assert_nonnull (strstr (conflicts->pdata[0], "counted children=3"));
  g_assert_nonnull (strstr (conflicts->pdata[0], "outside children=1 zombies=1"));
  gt_run_free (s.run);
}

static void
the_fork_server_is_no_work_but_its_children_are (void)
{
  Script s = script_new ();
  begin (&s, "a", "process", "forkserver", "capi");
  start_iteration (&s);
  for (int pid = 30; pid <= 31; pid++)
    add (&s, json_pack ("{ss ss si si ss}", "k", "proc", "s", "a", "pid", pid, "start", 4, "cmd",
                        "python -c from multiprocessing.forkserver import main"));
  for (gint64 at = 1020; at <= 3000; at += 20)
    add (&s, json_pack ("{ss ss sI s[[i,i,i,s,i,i,i,s],[i,i,i,s,i,i,i,s],[i,i,i,s,I,i,i,s]]}", "k",
                        "sample", "s", "a", "t", (json_int_t) (at * MS), "p", WORKER, 2, ROOT, "S",
                        200, 0, 1, "c", 30, 4, WORKER, "S", 10, 0, 1, "d", 31, 4, 30, "R",
                        (json_int_t) ((at - 1010) * MS), 0, 1, "d"));
  finish (&s, "timeout", 1510, 2, 0);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  const GtFinding *f = finding (findings, 0);
  g_assert_cmpint (f->verdict, ==, GT_VERDICT_LEAKED);
  g_assert_cmpstr (f->party, ==, "decorator");
  g_assert_cmpuint (f->tally->burning_after, ==, 1);
  g_assert_cmpint (first_iteration (f)->seen_children, ==, 2);
  gt_run_free (s.run);
}

static void
answers_come_from_pairs_that_differ_in_one_factor (void)
{
  Script s = script_new ();
  add_leaked (&s, "fork");
  add_held (&s, "forkserver", "forkserver");
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_autoptr (GPtrArray) answers = gt_findings_answers (findings);
  g_assert_cmpuint (answers->len, ==, 3);
  g_assert_nonnull (strstr (answers->pdata[0], "held: 1, leaked: 1, of 2"));
  g_assert_nonnull (strstr (answers->pdata[2], "forkserver instead of fork help? Yes. Pairs"));
  g_assert_nonnull (strstr (answers->pdata[1], "pile up"));
  g_autofree char *text = gt_table_text (s.run, findings, TRUE, FALSE);
  g_assert_nonnull (strstr (text, "start=forkserver -> held"));
  json_t *json = gt_table_json (s.run, findings);
  g_assert_cmpuint (json_array_size (json_object_get (json, "subjects")), ==, 2);
  json_decref (json);
  gt_run_free (s.run);
}

/* Two iterations whose task counts so many zombies. */
static void
add_counted (Script *s, const char *name, gboolean pid1, gint first, gint second)
{
  s->pid1 = pid1;
  s->reaper = pid1 ? "nobody" : "docker-init";
  begin (s, name, "process", "fork", "capi");
  event (s, "gil_status", 50,
         json_pack ("{sb ss}", "gil_enabled", 0, "set_by", pid1 ? "build" : "PYTHON_GIL"));
  start_iteration (s);
  for (gint64 at = 1020; at <= 2600; at += 20)
    sample (s, at, 210, at < 1500 ? 'R' : 'Z', at < 1500 ? at - 1010 : 490, "d");
  finish (s, "timeout", 1510, first, first);
  event (s, "iter_start", 1700, json_pack ("{si}", "n", 2));
  event (s, "iter_told", 2000, json_pack ("{si ss}", "n", 2, "outcome", "timeout"));
  event (s, "iter_end", 2100,
         json_pack ("{si si si}", "n", 2, "children", second, "zombies", second));
}

static void
who_reaps_is_named_and_compared (void)
{
  Script s = script_new ();
  add_counted (&s, "a", FALSE, 1, 1);
  add_counted (&s, "b", FALSE, 1, 1);
  add_counted (&s, "c", TRUE, 1, 2);
  end_run (&s);
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_autofree char *text = gt_table_text (s.run, findings, FALSE, FALSE);
  g_assert_nonnull (strstr (text, "  docker-init  "));
  g_assert_nonnull (strstr (text, "  nobody       "));
  g_assert_nonnull (strstr (text, "reaper: who waits for orphans"));
  g_assert_nonnull (strstr (text, "\na and 1 more: GIL off (PYTHON_GIL)\n"));
  g_assert_null (strstr (text, "\nb: GIL"));
  g_assert_null (strstr (text, "\nb and"));
  g_assert_nonnull (strstr (text,
                            "Does it matter who reaps? One more zombie with each timeout: 0 of "
                            "2 subjects under an init, 1 of 1 whose worker is PID 1."));
  g_assert_nonnull (strstr (text, "change a verdict that the worker is PID 1? No."));
  json_t *json = gt_table_json (s.run, findings);
  const json_t *last = json_array_get (json_object_get (json, "subjects"), 2);
  g_assert_cmpstr (json_string_value (json_object_get (last, "reaper")), ==, "nobody");
  json_decref (json);
  gt_run_free (s.run);
}

static void
outside_containers_nobody_asks_who_reaps (void)
{
  Script s = script_new ();
  add_held (&s, "a", "fork");
  g_autoptr (GPtrArray) findings = gt_findings_new (s.run);
  g_autofree char *text = gt_table_text (s.run, findings, FALSE, FALSE);
  g_assert_null (strstr (text, "reap"));
  gt_run_free (s.run);
}

/* Written before there were containers: such runs had no such factors. */
static void
an_older_run_has_the_defaults (void)
{
  Script s = script_new ();
  json_t *factors = json_pack ("{ss ss ss ss ss ss ss ss}", "runtime", "gil", "strategy", "process",
                               "start", "fork", "driver", "capi", "pool", "solo", "sigterm",
                               "inherit", "query", "interruptible", "threads", "1");
  json_t *settings = json_object ();
  for (GtSetting t = 0; t < GT_N_SETTINGS; t++)
    json_object_set_new (settings, gt_setting_key (t), json_real (1));
  add (&s, json_pack ("{ss ss so so sI}", "k", "subject", "s", "a", "factors", factors, "settings",
                      settings, "rows", (json_int_t) 5));
  const GtSubject *subject = ((GtSeries *) s.run->series->pdata[0])->subject;
  g_assert_cmpstr (subject->factors[GT_FACTOR_REAPER], ==, "init");
  g_assert_cmpstr (subject->factors[GT_FACTOR_ORPHAN], ==, "no");
  gt_run_free (s.run);
}

static void
malformed_records_are_errors (void)
{
  static const char *const bad[] = {
    "{}",
    "{\"k\":\"nope\"}",
    "{\"k\":\"sample\",\"s\":\"unknown\",\"t\":1}",
    "{\"k\":\"subject\",\"s\":\"a\"}",
    "{\"k\":\"subject\",\"s\":\"a\",\"factors\":{\"runtime\":3},\"settings\":[]}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GtRun) run = gt_run_new ();
    json_t *record = json_loads (bad[i], 0, NULL);
    g_assert_false (gt_run_add (run, record, &error));
    g_assert_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT);
    json_decref (record);
  }
  Script s = script_new ();
  begin (&s, "a", "process", "fork", "capi");
  sample (&s, 100, 1, 0, 0, "");
  static const char *const bad_samples[] = {
    "{\"k\":\"sample\",\"s\":\"a\",\"t\":100000000,\"p\":[]}",
    "{\"k\":\"sample\",\"s\":\"a\",\"t\":200000000,\"p\":[[1,2]]}",
    "{\"k\":\"sample\",\"s\":\"a\",\"t\":300000000,\"p\":[[1,2,3,4,5,6,7,8]]}",
    "{\"k\":\"trace\",\"s\":\"a\",\"t\":1,\"e\":[]}",
    "{\"k\":\"log\",\"s\":\"a\",\"line\":3}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad_samples); i++) {
    g_autoptr (GError) error = NULL;
    json_t *record = json_loads (bad_samples[i], 0, NULL);
    g_assert_false (gt_run_add (s.run, record, &error));
    json_decref (record);
  }
  gt_run_free (s.run);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/verdict/leaked", a_child_that_burns_on_is_leaked_and_the_handler_blamed);
  g_test_add_func ("/verdict/held", a_child_dead_in_time_is_held);
  g_test_add_func ("/verdict/stall", a_machine_that_stood_still_is_not_the_subjects_fault);
  g_test_add_func ("/verdict/observer-stall", an_observer_that_stood_still_alone_excuses_nobody);
  g_test_add_func ("/verdict/unfinished", what_the_run_did_not_finish_is_not_judged);
  g_test_add_func ("/verdict/no-start", a_worker_that_never_started_says_why);
  g_test_add_func ("/verdict/failing-query", a_query_that_fails_is_not_refused);
  g_test_add_func ("/verdict/flip-settings", a_flip_has_the_same_limits);
  g_test_add_func ("/verdict/late",
                   a_handler_that_waits_for_the_call_is_late_and_the_interpreter_blamed);
  g_test_add_func ("/verdict/refused", an_error_before_any_work_is_refused);
  g_test_add_func ("/verdict/never-fired", a_limit_that_never_fired_proves_nothing);
  g_test_add_func ("/verdict/no-answer", a_subject_that_never_answered_is_broken);
  g_test_add_func ("/verdict/conflict", a_count_that_nobody_else_saw_is_a_conflict);
  g_test_add_func ("/verdict/fork-server", the_fork_server_is_no_work_but_its_children_are);
  g_test_add_func ("/verdict/answers", answers_come_from_pairs_that_differ_in_one_factor);
  g_test_add_func ("/verdict/reaper", who_reaps_is_named_and_compared);
  g_test_add_func ("/verdict/no-reaper", outside_containers_nobody_asks_who_reaps);
  g_test_add_func ("/verdict/older-run", an_older_run_has_the_defaults);
  g_test_add_func ("/verdict/malformed", malformed_records_are_errors);
  return g_test_run ();
}
