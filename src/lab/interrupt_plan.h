/* The experiment of kind interrupt: which DuckDB queries are interrupted when. Pure but for reading
 * the file.
 *
 * Groups of the file:
 *   [experiment]   kind = interrupt, title, question, and any setting
 *                  duckdb = globs of the versions to run with; without it every one at hand
 *   [query NAME]   sql; {dir} is a private folder
 *                  class = what kind of query it is, for people
 *                  times = the statements are put so often behind each other (1)
 *                  database = memory (default) or file: a new one for each trial
 *                  setup = SQL before it, not interrupted
 *                  check = SQL with one number, asked before and after: what is there
 *   [quick]        settings, duckdb, only = globs of queries */
#pragma once

#include <glib.h>

/* X (ID, key, default, least, most, whole): times in seconds. */
#define GT_INTERRUPT_SETTINGS(X)                                                                   \
  X (PATIENCE, "patience", 4, 0.1, 600, FALSE)      /* from the interrupt to the kill */           \
  X (TOLERANCE, "tolerance", 0.1, 0.001, 60, FALSE) /* later than this is late */                  \
  X (THREADS, "threads", 2, 1, 256, TRUE)           /* of DuckDB */                                \
  X (REPEAT, "repeat", 1, 1, 1000, TRUE)            /* of each trial */

typedef enum {
#define X(id, key, default_value, least, most, whole) GT_INTERRUPT_##id,
  GT_INTERRUPT_SETTINGS (X)
#undef X
      GT_N_INTERRUPT_SETTINGS,
} GtInterruptSetting;

typedef struct {
  char *name, *class_name;
  char *sql;           /* with `times` applied */
  char *setup, *check; /* NULL: none */
  gboolean in_file;
} GtInterruptQuery;

typedef struct {
  char *name, *title, *question;
  double settings[GT_N_INTERRUPT_SETTINGS];
  GArray *offsets_ns; /* gint64, ascending */
  char **versions;    /* globs; NULL: every DuckDB */
  GPtrArray *queries; /* GtInterruptQuery, in the order of the file */
} GtInterruptPlan;

const char *gt_interrupt_setting_key (GtInterruptSetting setting);

/* An error (GT_LAB_ERROR_INPUT) names the file and the line. `only`: globs of queries beside those
 * of [quick]; NULL or empty: all. */
GtInterruptPlan *gt_interrupt_plan_load (const char *path, gboolean quick, const char *const *only,
                                         GError **error);
GtInterruptPlan *gt_interrupt_plan_parse (const char *path, const char *text, gsize length,
                                          gboolean quick, const char *const *only, GError **error);
/* Whether it is to be run with this DuckDB. */
gboolean gt_interrupt_plan_takes (const GtInterruptPlan *plan, const char *version);
void gt_interrupt_plan_free (GtInterruptPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtInterruptPlan, gt_interrupt_plan_free)
