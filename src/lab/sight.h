/* What is seen of a subject, wherever it runs: samples and trace events, recorded as they come. The
 * eye (eye.h) looks at this machine, the stream (compose_stream.h) reads what another eye saw. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* What has happened to the subject that is watched. */
typedef struct {
  gboolean task_started;
  gboolean task_ended; /* its own word */
  gboolean result_came;
  gboolean worker_ended;
  guint iterations_told;
  guint working; /* processes of its work, as of the last sample */
} GtWatchState;

/* All functions: FALSE with `error` when it cannot be seen or recorded. */
typedef struct {
  int fd; /* readable: look() has something to do */
  gboolean (*look) (gpointer data, GtWatchState *state, GError **error);
  int end_fd; /* readable: ended() has */
  /* *how: how the worker ended by itself ("exit code 1"), NULL when it did not. Free with g_free().
   */
  gboolean (*ended) (gpointer data, char **how, GError **error);
  /* Takes in what is left after the subject was ended, and looks no more. */
  gboolean (*close) (gpointer data, GtWatchState *state, GError **error);
  gpointer data;
} GtSight;

/* What a trace event says about the state. TRUE when it is the start of this task (NULL = of any):
 * other tasks' events are none of the subject's. Pure. */
gboolean gt_sight_note (GtWatchState *state, const json_t *event, const char *task_id);
