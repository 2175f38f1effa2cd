/* Ctrl-C during a run: SIGINT, SIGTERM and SIGHUP are blocked and become readable, so that the run
 * can end what it started before it goes. */
#pragma once

#include <glib.h>
#include <signal.h>

typedef struct {
  int fd; /* readable when somebody asked to stop */
  sigset_t old_mask;
} GtStop;

/* Blocks the three signals in the calling thread. */
void gt_stop_begin (GtStop *stop);

gboolean gt_stop_asked (const GtStop *stop);

/* Undoes it. What was answered by ending the run does not end the caller afterwards. */
void gt_stop_end (GtStop *stop);
