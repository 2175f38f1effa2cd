/* Where a run's subjects live: this machine (place_local.h), or containers (compose_place.h). The
 * session is the same for all. */
#pragma once

#include "lab/experiment.h"
#include "lab/progress.h"
#include "lab/raw.h"
#include "lab/sight.h"
#include "lab/stop.h"

/* What a place uses of the run; borrowed. */
typedef struct {
  GtRaw *raw;
  GtProgress *progress;
  const GtStop *stop;
  const char *run_dir; /* for everything that must not outlive the run */
  const char *mark;    /* GILOTINE_MARK of every process of the run */
} GtPlaceRun;

/* A worker that was started. */
typedef struct {
  GtSight sight;
  int log_fd; /* read end of its output; the session closes it */
} GtPlaced;

typedef struct GtPlace GtPlace;

/* Everything but free may be interrupted by run->stop (GT_LAB_ERROR_INTERRUPTED). */
typedef struct {
  /* Makes everything ready for subjects. Returns the URL of the broker they will use, as this
   * machine reaches it; the place's. */
  const char *(*open) (GtPlace *place, const GtPlaceRun *run, GError **error);
  /* For people and the raw file: where tasks travel, and how many CPUs there are. */
  char *(*broker_name) (const GtPlace *place);
  guint (*cpus) (const GtPlace *place);
  /* *why: why it cannot run here, in one line; NULL when it can. Free with g_free(). */
  gboolean (*missing) (GtPlace *place, const GtSubject *subject, char **why, GError **error);
  /* Adds "python", "duckdb" and other facts to the subject's record. */
  void (*describe) (GtPlace *place, const GtSubject *subject, json_t *record);
  /* The rows that make its query take query-seconds; -1 on failure. */
  gint64 (*rows) (GtPlace *place, const GtSubject *subject, GError **error);
  /* The queue that its worker consumes; the place's, until the next call. */
  const char *(*queue) (GtPlace *place, const GtSubject *subject);
  /* Starts its worker. What it was sent is this task. */
  gboolean (*start) (GtPlace *place, const GtSubject *subject, const char *task_id,
                     GtPlaced *placed, GError **error);
  /* Ends it with all it has started; called after every start() that succeeded, before the sight is
   * closed. FALSE: something remained. */
  gboolean (*end) (GtPlace *place, GError **error);
  /* Frees what start() made, after the sight was closed. */
  void (*forget) (GtPlace *place);
  /* Ends everything that open() made. FALSE: something remained. */
  gboolean (*close) (GtPlace *place, GError **error);
  void (*free) (GtPlace *place);
} GtPlaceFuncs;

/* First member of every place. */
struct GtPlace {
  const GtPlaceFuncs *funcs;
};
