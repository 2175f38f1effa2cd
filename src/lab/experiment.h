/* An experiment: what lab/experiments/NAME.ini says. Pure but for reading that file.
 *
 * Groups of the file:
 *   [experiment]     title, question, and any setting
 *   [matrix NAME]    every factor a list (a;b;c): one subject for each combination; any setting
 *   [subject NAME]   every factor one value; any setting
 *   [quick]          settings that --quick uses instead, and only = globs of the subjects it runs
 * What a group does not say is the [experiment]'s; what that does not say is the default below. */
#pragma once

#include <glib.h>

/* One thing that can be changed at a time. X (ID, key, values, default = the first)
 * `values` empty: any text. */
#define GT_FACTORS(X)                                                                              \
  X (RUNTIME, "runtime", "gil;nogil")                                                              \
  X (STRATEGY, "strategy", "process;signals;clean")                                                \
  X (START, "start", "fork;forkserver;spawn")                                                      \
  X (DRIVER, "driver", "capi;module")                                                              \
  X (POOL, "pool", "solo;prefork")                                                                 \
  X (SIGTERM, "sigterm", "inherit;default")                                                        \
  X (QUERY, "query", "interruptible;stubborn")                                                     \
  X (THREADS, "threads", "1;2;4;8")                                                                \
  X (REAPER, "reaper", "init;worker")                                                              \
  X (ORPHAN, "orphan", "no;yes")

typedef enum {
#define X(id, key, values) GT_FACTOR_##id,
  GT_FACTORS (X)
#undef X
      GT_N_FACTORS,
} GtFactor;

/* X (ID, key, default, least, most): all are numbers; times in seconds. */
#define GT_SETTINGS(X)                                                                             \
  X (ITERATIONS, "iterations", 3, 1, 10000)                                                        \
  X (TIMEOUT, "timeout", 0.5, 0.01, 3600)                                                          \
  X (QUERY_SECONDS, "query-seconds", 4, 0.05, 3600)                                                \
  X (TOLERANCE, "tolerance", 0.5, 0.001, 3600)                                                     \
  X (GRACE, "grace", 0.1, 0, 60)                                                                   \
  X (LINGER, "linger", 8, 0, 3600)                                                                 \
  X (STARTUP, "startup", 60, 1, 3600)                                                              \
  X (SAMPLE_MS, "sample-ms", 20, 1, 50)

typedef enum {
#define X(id, key, default_value, least, most) GT_SETTING_##id,
  GT_SETTINGS (X)
#undef X
      GT_N_SETTINGS,
} GtSetting;

/* A real Celery worker with a way to keep a limit. */
typedef struct {
  char *name;
  const char *factors[GT_N_FACTORS]; /* interned: equal pointers, equal values */
  double settings[GT_N_SETTINGS];
} GtSubject;

typedef struct {
  char *name;
  char *title;
  char *question;
  GPtrArray *subjects; /* GtSubject, in the order of the file */
} GtExperiment;

const char *gt_factor_key (GtFactor factor);
const char *gt_setting_key (GtSetting setting);

/* Whether a setting may have this value. */
gboolean gt_setting_allows (GtSetting setting, double value);

/* The value of a factor that a group does not mention. */
const char *gt_factor_default (GtFactor factor);

/* Number of factors in which two subjects differ; the last one found in *which (may be NULL). */
guint gt_subject_distance (const GtSubject *a, const GtSubject *b, GtFactor *which);

/* Whether timeout, tolerance, grace and query-seconds are the same. */
gboolean gt_subject_same_limits (const GtSubject *a, const GtSubject *b);

/* Reads `path`; an error names the file and the line. */
GtExperiment *gt_experiment_load (const char *path, gboolean quick, GError **error);
GtExperiment *gt_experiment_parse (const char *name, const char *path, const char *text,
                                   gsize length, gboolean quick, GError **error);
void gt_experiment_free (GtExperiment *experiment);
void gt_subject_free (GtSubject *subject);

/* Keeps the subjects that match one of the globs (NULL or empty: all). An error when none does. */
gboolean gt_experiment_filter (GtExperiment *experiment, const char *const *globs, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtExperiment, gt_experiment_free)
