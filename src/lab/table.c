#include "lab/table.h"

#include "os/clock.h"

#include <string.h>

/* More iterations than this are shown as the first ones and an ellipsis. */
enum { SHOWN_ITERATIONS = 5 };

typedef char *(*IterationText) (const GtIteration *iteration);

static double
seconds (gint64 ns)
{
  return (double) ns / (double) GT_NSEC_PER_SEC;
}

static char *
told_text (const GtIteration *it)
{
  return g_strdup_printf ("%.2f", seconds (it->told_ns));
}

static char *
dead_text (const GtIteration *it)
{
  if (!it->worked)
    return g_strdup ("-");
  return g_strdup_printf ("%s%.2f", it->cut_short ? ">" : "", seconds (it->dead_ns));
}

static char *
count_text (gint64 count)
{
  return count < 0 ? g_strdup ("?") : g_strdup_printf ("%d", (int) count);
}

static char *
children_text (const GtIteration *it)
{
  return count_text (it->children);
}

static char *
zombies_text (const GtIteration *it)
{
  return count_text (it->zombies);
}

static char *
sequence (const GtTally *tally, IterationText text)
{
  GString *out = g_string_new (NULL);
  for (guint i = 0; i < MIN (tally->iterations->len, SHOWN_ITERATIONS); i++) {
    g_autofree char *one = text (&g_array_index (tally->iterations, GtIteration, i));
    g_string_append_printf (out, "%s%s", i > 0 ? " " : "", one);
  }
  if (tally->iterations->len > SHOWN_ITERATIONS)
    g_string_append (out, " ...");
  return g_string_free (out, FALSE);
}

static const GtSubject *
subject_of (const GtFinding *finding)
{
  return finding->tally->series->subject;
}

/* "on" or "off": how it came about stands below the table when it is not the build's own state. */
static char *
gil_word (const GtTally *tally)
{
  return tally->gil == NULL ? g_strdup ("?") : g_strndup (tally->gil, strcspn (tally->gil, " "));
}

/* --- columns -------------------------------------------------------------------------------- */

static char *
column_subject (const GtFinding *f)
{
  return g_strdup (subject_of (f)->name);
}

static char *
column_gil (const GtFinding *f)
{
  return gil_word (f->tally);
}

static char *
column_verdict (const GtFinding *f)
{
  return g_strdup (gt_verdict_name (f->verdict));
}

static char *
column_asked (const GtFinding *f)
{
  return g_strdup_printf ("%.2f", subject_of (f)->settings[GT_SETTING_TIMEOUT]);
}

static char *
column_told (const GtFinding *f)
{
  return sequence (f->tally, told_text);
}

static char *
column_dead (const GtFinding *f)
{
  return sequence (f->tally, dead_text);
}

static char *
column_children (const GtFinding *f)
{
  return sequence (f->tally, children_text);
}

static char *
column_zombies (const GtFinding *f)
{
  return sequence (f->tally, zombies_text);
}

static char *
column_burning (const GtFinding *f)
{
  return g_strdup_printf ("%u", f->tally->burning_after);
}

static char *
column_cpu (const GtFinding *f)
{
  return g_strdup_printf ("%.1f", seconds (f->tally->cpu_after_ns));
}

/* Outside containers it is always gilotine-init, and says nothing. */
static char *
column_reaper (const GtFinding *f)
{
  return g_strdup (f->tally->series->reaper != NULL ? f->tally->series->reaper : "");
}

static char *
column_note (const GtFinding *f)
{
  return g_strdup (f->note != NULL ? f->note : "");
}

/* X (heading, function) */
#define COLUMNS(X)                                                                                 \
  X ("subject", column_subject)                                                                    \
  X ("GIL", column_gil)                                                                            \
  X ("verdict", column_verdict)                                                                    \
  X ("asked", column_asked)                                                                        \
  X ("told", column_told)                                                                          \
  X ("dead", column_dead)                                                                          \
  X ("children", column_children)                                                                  \
  X ("zombies", column_zombies)                                                                    \
  X ("reaper", column_reaper)                                                                      \
  X ("burning", column_burning)                                                                    \
  X ("CPU-s after", column_cpu)                                                                    \
  X ("note", column_note)

static const struct {
  const char *heading;
  char *(*text) (const GtFinding *finding);
} columns[] = {
#define X(heading, text) { heading, text },
  COLUMNS (X)
#undef X
};

enum { N_COLUMNS = G_N_ELEMENTS (columns), VERDICT_COLUMN = 2, REAPER_COLUMN = 8 };

static const char *const verdict_colours[GT_N_VERDICTS] = {
  [GT_VERDICT_HELD] = "\033[32m",      [GT_VERDICT_LATE] = "\033[33m",
  [GT_VERDICT_LEAKED] = "\033[31m",    [GT_VERDICT_REFUSED] = "\033[35m",
  [GT_VERDICT_BROKEN] = "\033[31m",    [GT_VERDICT_SKIPPED] = "\033[2m",
  [GT_VERDICT_UNFINISHED] = "\033[2m",
};

static gboolean
has_reaper (const GPtrArray *findings)
{
  for (guint i = 0; i < findings->len; i++)
    if (((const GtFinding *) findings->pdata[i])->tally->series->reaper != NULL)
      return TRUE;
  return FALSE;
}

/* A column of width 0 is left out. */
static void
append_cells (GString *out, char *const *cells, const gsize *widths, const char *colour)
{
  for (gsize c = 0; c < N_COLUMNS; c++) {
    if (widths[c] == 0)
      continue;
    gboolean coloured = colour != NULL && c == VERDICT_COLUMN;
    g_string_append_printf (out, "%s%s%s", coloured ? colour : "", cells[c],
                            coloured ? "\033[0m" : "");
    if (c + 1 < N_COLUMNS)
      g_string_append_printf (out, "%*s", (int) (widths[c] - strlen (cells[c]) + 2), "");
  }
  while (out->len > 0 && out->str[out->len - 1] == ' ')
    g_string_truncate (out, out->len - 1);
  g_string_append_c (out, '\n');
}

static void
append_rows (GString *out, const GPtrArray *findings, gboolean colour)
{
  gsize widths[N_COLUMNS], n = 0;
  char *headings[N_COLUMNS];
  g_autofree char **cells = g_new0 (char *, (gsize) findings->len *N_COLUMNS);
  for (gsize c = 0; c < N_COLUMNS; c++) {
    headings[c] = g_strdup (columns[c].heading);
    widths[c] = strlen (headings[c]);
  }
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *finding = findings->pdata[i];
    if (finding->verdict == GT_VERDICT_SKIPPED)
      continue;
    for (gsize c = 0; c < N_COLUMNS; c++) {
      cells[n * N_COLUMNS + c] = columns[c].text (finding);
      widths[c] = MAX (widths[c], strlen (cells[n * N_COLUMNS + c]));
    }
    n++;
  }
  if (!has_reaper (findings))
    widths[REAPER_COLUMN] = 0;
  append_cells (out, headings, widths, NULL);
  n = 0;
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *finding = findings->pdata[i];
    if (finding->verdict != GT_VERDICT_SKIPPED)
      append_cells (out, &cells[n++ * N_COLUMNS], widths,
                    colour ? verdict_colours[finding->verdict] : NULL);
  }
  for (gsize i = 0; i < n * N_COLUMNS; i++)
    g_free (cells[i]);
  for (gsize c = 0; c < N_COLUMNS; c++)
    g_free (headings[c]);
}

/* --- what stands below ---------------------------------------------------------------------- */

static void
append_blame (GString *out, const GPtrArray *findings)
{
  g_autoptr (GHashTable) done = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *first = findings->pdata[i];
    if (first->party == NULL || !g_hash_table_add (done, first->reason))
      continue;
    if (g_hash_table_size (done) == 1)
      g_string_append (out, "\nWho is to blame, and the one change that flips it:\n");
    g_string_append_printf (out, "  %s: %s\n", first->party, first->reason);
    for (guint j = i; j < findings->len; j++) {
      const GtFinding *finding = findings->pdata[j];
      if (finding->party != NULL && g_str_equal (finding->reason, first->reason))
        g_string_append_printf (out, "    %-34s %s\n", subject_of (finding)->name,
                                finding->flip != NULL ? finding->flip
                                                      : "no single change of this run flips it");
    }
  }
}

static void
append_skipped (GString *out, const GPtrArray *findings)
{
  g_autoptr (GHashTable) counts = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *finding = findings->pdata[i];
    if (finding->verdict == GT_VERDICT_SKIPPED) {
      gint n = GPOINTER_TO_INT (g_hash_table_lookup (counts, finding->reason));
      g_hash_table_insert (counts, finding->reason, GINT_TO_POINTER (n + 1));
    }
  }
  GHashTableIter iter;
  gpointer reason, count;
  g_hash_table_iter_init (&iter, counts);
  while (g_hash_table_iter_next (&iter, &reason, &count))
    g_string_append_printf (out, "\nSkipped %d: %s\n", GPOINTER_TO_INT (count), (char *) reason);
}

static void
append_conflicts (GString *out, const GPtrArray *findings)
{
  guint iterations = 0, conflicts = 0;
  for (guint i = 0; i < findings->len; i++) {
    const GtTally *tally = ((const GtFinding *) findings->pdata[i])->tally;
    iterations += tally->iterations->len;
    for (guint c = 0; c < tally->conflicts->len; c++, conflicts++)
      g_string_append_printf (out, "%s  %s: %s\n",
                              conflicts == 0 ? "\nThe subject and the observer disagree:\n" : "",
                              tally->series->subject->name, (char *) tally->conflicts->pdata[c]);
  }
  if (conflicts == 0 && iterations > 0)
    g_string_append_printf (out,
                            "\nSeen from outside and said by the subjects: the same children and "
                            "zombies in all %u iterations.\n",
                            iterations);
}

static void
append_detail (GString *out, const GPtrArray *findings)
{
  for (guint i = 0; i < findings->len; i++) {
    const GtFinding *finding = findings->pdata[i];
    const GtTally *tally = finding->tally;
    if (finding->verdict == GT_VERDICT_SKIPPED)
      continue;
    g_string_append_printf (
        out, "\n%s: %s; Python %s, DuckDB %s, GIL %s, %" G_GINT64_FORMAT " rows\n",
        subject_of (finding)->name, gt_verdict_name (finding->verdict), tally->series->python,
        tally->series->duckdb, tally->gil != NULL ? tally->gil : "?", tally->series->rows);
    g_string_append (out, "  iter  asked    told    dead  outcome               children  zombies  "
                          "CPU-s after  clean-up\n");
    for (guint n = 0; n < tally->iterations->len; n++) {
      const GtIteration *it = &g_array_index (tally->iterations, GtIteration, n);
      g_autofree char *dead = dead_text (it);
      g_string_append_printf (out, "  %4u  %5.2f  %6.3f  %6s  %-20s  %8d  %7d  %11.2f", it->n,
                              seconds (it->asked_ns), seconds (it->told_ns), dead, it->outcome,
                              (int) it->children, (int) it->zombies, seconds (it->cpu_after_ns));
      if (it->cleanup[0] >= 0)
        g_string_append_printf (out, "  terminated=%d killed=%d remaining=%d", (int) it->cleanup[0],
                                (int) it->cleanup[1], (int) it->cleanup[2]);
      g_string_append_c (out, '\n');
    }
  }
}

/* Where it is not the build that says so. */
static const char *
noted_gil (const GtFinding *finding)
{
  const char *gil = finding->tally->gil;
  return gil != NULL && strstr (gil, "(build)") == NULL ? gil : NULL;
}

/* The GIL's state is worth a line of its own where an import or a switch has changed it: one for
 * all subjects of which the same is true. */
static void
append_gil (GString *out, const GPtrArray *findings)
{
  g_autoptr (GHashTable) counts = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < findings->len; i++) {
    const char *gil = noted_gil (findings->pdata[i]);
    if (gil != NULL)
      g_hash_table_insert (
          counts, (gpointer) gil,
          GINT_TO_POINTER (GPOINTER_TO_INT (g_hash_table_lookup (counts, gil)) + 1));
  }
  for (guint i = 0; i < findings->len; i++) {
    const char *gil = noted_gil (findings->pdata[i]);
    gint n = gil != NULL ? GPOINTER_TO_INT (g_hash_table_lookup (counts, gil)) : 0;
    if (n == 0)
      continue;
    g_string_append_printf (out, "\n%s", subject_of (findings->pdata[i])->name);
    if (n > 1)
      g_string_append_printf (out, " and %d more", n - 1);
    g_string_append_printf (out, ": GIL %s\n", gil);
    g_hash_table_remove (counts, gil);
  }
}

char *
gt_table_text (const GtRun *run, const GPtrArray *findings, gboolean detail, gboolean colour)
{
  GString *out = g_string_new (NULL);
  g_string_append_printf (out, "%s", run->title != NULL ? run->title : run->experiment);
  g_string_append_printf (out, "  (%s, %u CPUs, %s)\n\n", run->broker, run->cpus, run->started);
  if (run->question != NULL)
    g_string_append_printf (out, "%s\n\n", run->question);
  if (findings->len == 0)
    g_string_append (out, "No subject ran.\n");
  else
    append_rows (out, findings, colour);
  g_string_append (out, "\nasked, told, dead: seconds since the iteration started, one value an "
                        "iteration; > = still alive when the lab ended it.\n"
                        "burning: processes of the work still burning after the last iteration. "
                        "CPU-s after: burnt after the deadlines.\n");
  if (has_reaper (findings))
    g_string_append (out, "reaper: who waits for orphans; nobody where the worker is PID 1.\n");
  append_blame (out, findings);
  append_gil (out, findings);
  append_skipped (out, findings);
  append_conflicts (out, findings);
  if (run->complete && run->left == 0)
    g_string_append (out, "Afterwards no process of the run was left anywhere.\n");
  if (detail)
    append_detail (out, findings);
  g_autoptr (GPtrArray) answers = gt_findings_answers (findings);
  if (findings->len == 0)
    return g_string_free (out, FALSE);
  g_string_append_c (out, '\n');
  for (guint i = 0; i < answers->len; i++)
    g_string_append_printf (out, "%s\n", (char *) answers->pdata[i]);
  return g_string_free (out, FALSE);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static json_t *
iteration_json (const GtIteration *it)
{
  return json_pack ("{si ss sf sf sf sb sb si sI sI sI sI sf sf s[III]}", "n", (int) it->n,
                    "outcome", it->outcome, "asked", seconds (it->asked_ns), "told",
                    seconds (it->told_ns), "dead", seconds (it->dead_ns), "cut_short",
                    it->cut_short, "worked", it->worked, "alive_at_end", (int) it->alive_at_end,
                    "children", (json_int_t) it->children, "zombies", (json_int_t) it->zombies,
                    "seen_children", (json_int_t) it->seen_children, "seen_zombies",
                    (json_int_t) it->seen_zombies, "stall", seconds (it->stall_ns), "cpu_after",
                    seconds (it->cpu_after_ns), "cleanup", (json_int_t) it->cleanup[0],
                    (json_int_t) it->cleanup[1], (json_int_t) it->cleanup[2]);
}

static json_t *
texts_json (const GPtrArray *texts)
{
  json_t *array = json_array ();
  for (guint i = 0; i < texts->len; i++)
    json_array_append_new (array, json_string (texts->pdata[i]));
  return array;
}

static json_t *
finding_json (const GtFinding *finding)
{
  const GtTally *tally = finding->tally;
  const GtSeries *series = tally->series;
  json_t *factors = json_object (), *iterations = json_array ();
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    json_object_set_new (factors, gt_factor_key (f), json_string (series->subject->factors[f]));
  for (guint i = 0; i < tally->iterations->len; i++)
    json_array_append_new (iterations,
                           iteration_json (&g_array_index (tally->iterations, GtIteration, i)));
  return json_pack ("{ss ss ss? ss? ss? ss? ss? ss? ss? ss? sI sf so so so si sf sI}", "subject",
                    series->subject->name, "verdict", gt_verdict_name (finding->verdict), "blame",
                    finding->party, "reason", finding->reason, "flip", finding->flip, "note",
                    finding->note, "gil", tally->gil, "python", series->python, "duckdb",
                    series->duckdb, "reaper", series->reaper, "rows", (json_int_t) series->rows,
                    "timeout", series->subject->settings[GT_SETTING_TIMEOUT], "factors", factors,
                    "iterations", iterations, "conflicts", texts_json (tally->conflicts),
                    "burning_after", (int) tally->burning_after, "cpu_after",
                    seconds (tally->cpu_after_ns), "left", (json_int_t) series->left);
}

json_t *
gt_table_json (const GtRun *run, const GPtrArray *findings)
{
  g_autoptr (GPtrArray) answers = gt_findings_answers (findings);
  json_t *subjects = json_array ();
  for (guint i = 0; i < findings->len; i++)
    json_array_append_new (subjects, finding_json (findings->pdata[i]));
  return json_pack ("{ss? ss? ss? ss? si sb sb sI so so}", "experiment", run->experiment, "broker",
                    run->broker, "started", run->started, "version", run->version, "cpus",
                    (int) run->cpus, "complete", run->complete, "interrupted", run->interrupted,
                    "left", (json_int_t) run->left, "subjects", subjects, "answers",
                    texts_json (answers));
}
