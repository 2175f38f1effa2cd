/* The answers to an experiment's questions: what changing one factor changes. */
#include "lab/verdict.h"

static const GtSubject *
subject_of (const GtFinding *finding)
{
  return finding->tally->series->subject;
}

/* One question: what does changing this factor from one value to the other change? */
typedef struct {
  GtFactor factor;
  const char *from, *to;
  const char *question;
} Contrast;

static const Contrast contrasts[] = {
  { GT_FACTOR_RUNTIME, "gil", "nogil", "Does the missing GIL change anything?" },
  { GT_FACTOR_STRATEGY, "process", "clean", "Does explicit clean-up help?" },
  { GT_FACTOR_START, "fork", "forkserver", "Does forkserver instead of fork help?" },
  { GT_FACTOR_SIGTERM, "inherit", "default", "Does it help to have no SIGTERM handler?" },
  { GT_FACTOR_QUERY, "interruptible", "stubborn",
    "Does it matter that DuckDB cannot be interrupted in the query?" },
  { GT_FACTOR_REAPER, "init", "worker", "Does it change a verdict that the worker is PID 1?" },
};

static gboolean
is_pair (const GtFinding *a, const GtFinding *b, const Contrast *contrast)
{
  GtFactor which;
  return a->verdict < GT_VERDICT_UNFINISHED && b->verdict < GT_VERDICT_UNFINISHED
         && gt_subject_same_limits (subject_of (a), subject_of (b))
         && gt_subject_distance (subject_of (a), subject_of (b), &which) == 1
         && which == contrast->factor
         && g_str_equal (subject_of (a)->factors[which], contrast->from)
         && g_str_equal (subject_of (b)->factors[which], contrast->to);
}

/* A row under a name of its own that has the factors of an earlier one counts once. */
static gboolean
is_repeated (const GPtrArray *findings, guint index)
{
  for (guint i = 0; i < index; i++)
    if (gt_subject_distance (subject_of (findings->pdata[i]), subject_of (findings->pdata[index]),
                             NULL)
        == 0)
      return TRUE;
  return FALSE;
}

static char *
answer (const GPtrArray *findings, const Contrast *contrast)
{
  guint pairs = 0, same = 0, better = 0;
  for (guint i = 0; i < findings->len; i++)
    for (guint j = 0; j < findings->len; j++) {
      const GtFinding *a = findings->pdata[i], *b = findings->pdata[j];
      if (is_repeated (findings, i) || is_repeated (findings, j) || !is_pair (a, b, contrast))
        continue;
      pairs++;
      same += a->verdict == b->verdict;
      better += b->verdict < a->verdict;
    }
  if (pairs == 0)
    return NULL;
  return g_strdup_printf (
      "%s %s. Pairs that differ in this alone (%s against %s): %u; same verdict "
      "%u, better %u, worse %u.",
      contrast->question,
      same == pairs                          ? "No"
      : better > 0 && same + better == pairs ? "Yes"
      : better == 0                          ? "Yes, for the worse"
                                             : "Both ways",
      contrast->from, contrast->to, pairs, same, better, pairs - same - better);
}

static char *
answer_limits (const GPtrArray *findings)
{
  guint counts[GT_N_VERDICTS] = { 0 };
  for (guint i = 0; i < findings->len; i++)
    counts[((const GtFinding *) findings->pdata[i])->verdict]++;
  GString *text = g_string_new ("Does the limit hold?");
  const char *separator = " ";
  for (GtVerdict v = 0; v < GT_N_VERDICTS; v++)
    if (counts[v] > 0) {
      g_string_append_printf (text, "%s%s: %u", separator, gt_verdict_name (v), counts[v]);
      separator = ", ";
    }
  g_string_append_printf (text, ", of %u subjects.", findings->len);
  return g_string_free (text, FALSE);
}

static gboolean
grows (const GtTally *tally, gboolean zombies)
{
  for (guint i = 1; i < tally->iterations->len; i++) {
    const GtIteration *a = &g_array_index (tally->iterations, GtIteration, i - 1);
    const GtIteration *b = &g_array_index (tally->iterations, GtIteration, i);
    if (zombies ? b->zombies <= a->zombies : b->children <= a->children)
      return FALSE;
  }
  return tally->iterations->len > 1;
}

static char *
answer_pile_up (const GPtrArray *findings)
{
  guint children = 0, burning = 0, zombies = 0;
  for (guint i = 0; i < findings->len; i++) {
    const GtTally *tally = ((const GtFinding *) findings->pdata[i])->tally;
    children += grows (tally, FALSE);
    burning += grows (tally, FALSE) && tally->burning_after > 0;
    zombies += grows (tally, TRUE);
  }
  return g_strdup_printf ("Do children and zombies pile up? One more child with each timeout: %u "
                          "subjects, burning on in %u of them. One more zombie with each: %u.",
                          children, burning, zombies);
}

/* Orphans go to whoever is above: an init reaps them, a worker that is PID 1 does not. NULL when
 * the run has not both. */
static char *
answer_reaper (const GPtrArray *findings)
{
  guint subjects[2] = { 0 }, zombies[2] = { 0 };
  for (guint i = 0; i < findings->len; i++) {
    const GtTally *tally = ((const GtFinding *) findings->pdata[i])->tally;
    gboolean pid1
        = g_str_equal (subject_of (findings->pdata[i])->factors[GT_FACTOR_REAPER], "worker");
    subjects[pid1] += tally->iterations->len > 1;
    zombies[pid1] += grows (tally, TRUE);
  }
  if (subjects[0] == 0 || subjects[1] == 0)
    return NULL;
  return g_strdup_printf ("Does it matter who reaps? One more zombie with each timeout: %u of %u "
                          "subjects under an init, %u of %u whose worker is PID 1.",
                          zombies[0], subjects[0], zombies[1], subjects[1]);
}

GPtrArray *
gt_findings_answers (const GPtrArray *findings)
{
  GPtrArray *answers = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (answers, answer_limits (findings));
  g_ptr_array_add (answers, answer_pile_up (findings));
  char *reaper = answer_reaper (findings);
  if (reaper != NULL)
    g_ptr_array_add (answers, reaper);
  for (gsize i = 0; i < G_N_ELEMENTS (contrasts); i++) {
    char *text = answer (findings, &contrasts[i]);
    if (text != NULL)
      g_ptr_array_add (answers, text);
  }
  return answers;
}
