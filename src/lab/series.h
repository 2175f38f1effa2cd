/* The raw samples of a run, as time series: what the figures are computed from. Pure but for
 * reading the file. */
#pragma once

#include "lab/experiment.h"

#include <jansson.h>

/* One process in one sample. */
typedef struct {
  guint sample; /* index into GtSeries.sample_ns */
  char state;
  char sigterm; /* as in raw.h */
  gint64 ppid;
  gint64 cpu_ns;
} GtPoint;

typedef struct {
  gint64 pid, start_ticks; /* together the identity */
  char *cmdline;           /* as last seen; NULL = never */
  GArray *points;          /* GtPoint, in order */
} GtProcessSeries;

/* Everything recorded about one subject. */
typedef struct {
  GtSubject *subject;
  guint index;
  gint64 rows;
  char *python, *duckdb;   /* versions; NULL = not known */
  char *reaper;            /* of orphans, in a container; NULL = gilotine-init */
  char *skip_why;          /* NULL = it ran */
  gint64 root_pid;         /* of the family; 0 = not started */
  gint64 end_ns;           /* when the family was ended; 0 = never */
  gint64 left;             /* what remained after that */
  GArray *sample_ns;       /* gint64 */
  GPtrArray *processes;    /* GtProcessSeries */
  GPtrArray *events;       /* json_t: its trace events in order */
  GPtrArray *log_lines;    /* char * */
  json_t *result;          /* the result record, NULL = none came */
  char *exit_how;          /* the worker ended by itself; NULL = it did not */
  GHashTable *by_identity; /* "pid/start" -> GtProcessSeries, not owned */
} GtSeries;

typedef struct {
  char *experiment, *title, *question, *broker, *started, *version;
  guint cpus;
  gboolean complete; /* the final record is there and says so */
  gboolean interrupted;
  gboolean failed; /* it ended before its last subject had: interrupted, or by an error */
  gint64 left;
  GPtrArray *series; /* GtSeries, in the order of the run */
} GtRun;

/* Reads DIR/raw.jsonl. */
GtRun *gt_run_load (const char *dir, GError **error);
void gt_run_free (GtRun *run);

/* Takes in one record of the file: for gt_run_load() and for tests. */
gboolean gt_run_add (GtRun *run, const json_t *record, GError **error);
GtRun *gt_run_new (void);

/* The point of a process in a sample, NULL when it was not there. */
const GtPoint *gt_process_at (const GtProcessSeries *process, guint sample);

/* Its CPU time at an instant: interpolated between samples, 0 before the first, the last known
 * value afterwards. */
gint64 gt_process_cpu_at (const GtSeries *series, const GtProcessSeries *process, gint64 at_ns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtRun, gt_run_free)
