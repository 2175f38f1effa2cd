/* What a run of kind interrupt recorded: raw.jsonl (lab/raw.h has the rules of the file), and the
 * figures, which all come from it.
 *
 *   run    kind, version, experiment, title, question, cpus, started, settings {}
 *   duckdb s (version), program
 *   query  s, class, sql, in_file
 *   trial  duckdb, s (query), n, offset_ns, record {} (the engine's outcome record), before, after
 *          (of the check; null: it has none)
 *   final  t, interrupted */
#pragma once

#include "lab/interrupt_plan.h"

#include <jansson.h>

/* X (ID, text for a table, what it means) */
#define GT_INTERRUPT_ENDS(X)                                                                       \
  X (EARLY, "early", "it had ended before the interrupt: no figure")                               \
  X (STOPPED, "stopped", "it stopped because of the interrupt")                                    \
  X (VALUE, "value", "it went on, and answered with a value after the interrupt")                  \
  X (COMMITTED, "committed", "it went on, and its work is or may be in the database")              \
  X (KILLED, "killed", "it did not stop until it was killed")                                      \
  X (FAILED, "failed", "something else went wrong: the record says what")

typedef enum {
#define X(id, text, meaning) GT_INTERRUPT_END_##id,
  GT_INTERRUPT_ENDS (X)
#undef X
      GT_N_INTERRUPT_ENDS,
} GtInterruptEnd;

typedef struct {
  char *duckdb, *query;
  int n;
  gint64 offset_ns;
  json_t *record;
  gboolean checked;
  gint64 before, after;

  /* Figures. */
  GtInterruptEnd end;
  gint64 late_ns;     /* from the interrupt until the answer, or the death; -1 = early */
  gboolean wrote;     /* the check's number changed */
  gboolean misstated; /* the record says that nothing was committed, and something was */
} GtInterruptTrial;

typedef struct {
  char *experiment, *title, *question, *started, *version;
  guint cpus;
  double settings[GT_N_INTERRUPT_SETTINGS];
  gboolean complete, interrupted;
  GPtrArray *duckdbs;  /* of char *: versions, in the order of the run */
  GPtrArray *queries;  /* of char *: names */
  GHashTable *classes; /* name -> class */
  GPtrArray *trials;   /* of GtInterruptTrial */
} GtInterruptRun;

const char *gt_interrupt_end_name (GtInterruptEnd end);
const char *gt_interrupt_end_meaning (GtInterruptEnd end);

json_t *gt_interrupt_record_run (const GtInterruptPlan *plan, const char *started);

/* Whether DIR holds results of this kind. FALSE and `error` when it holds none at all. */
gboolean gt_interrupt_results_probe (const char *dir, gboolean *ours, GError **error);

GtInterruptRun *gt_interrupt_run_load (const char *dir, GError **error);
GtInterruptRun *gt_interrupt_run_new (void);
/* Takes in one record. */
gboolean gt_interrupt_run_add (GtInterruptRun *run, const json_t *record, GError **error);
void gt_interrupt_run_free (GtInterruptRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtInterruptRun, gt_interrupt_run_free)
