/* `docker compose` for one run: a project of its own, so that what the user has up is not
 * disturbed. Whatever ends this process, SIGKILL too, the project's containers, networks and
 * volumes are removed. Not thread-safe. */
#pragma once

#include "os/family.h"

typedef struct GtCompose GtCompose;

/* Looks for docker, an engine that answers and compose.yml in `project_dir` (NULL = here); starts
 * nothing. Errors say what to do. */
GtCompose *gt_compose_new (const char *project_dir, GError **error);
void gt_compose_free (GtCompose *compose);

const char *gt_compose_engine_version (const GtCompose *compose);
guint gt_compose_cpus (const GtCompose *compose);
gboolean gt_compose_has_service (const GtCompose *compose, const char *service);

/* From now on: commands take the second file `overlay` (which they may read at any time), carry
 * the mark, and end with GT_LAB_ERROR_INTERRUPTED when cancel_fd becomes readable. */
gboolean gt_compose_open (GtCompose *compose, const char *overlay, const char *mark, int cancel_fd,
                          GError **error);

/* Whether commands go on although cancel_fd is readable: those of a clean-up. */
void gt_compose_ignore_cancel (GtCompose *compose, gboolean ignore);

/* Removes everything of the project. FALSE and `error` when something remained. */
gboolean gt_compose_close (GtCompose *compose, GError **error);

/* Runs `docker compose ARG...` (NULL-terminated) to its end, at most until then. What it prints is
 * in *output (may be NULL). An error has the last lines that it said. */
gboolean gt_compose_run (GtCompose *compose, const char *const *args, GtInstant until,
                         char **output, GError **error);

/* Starts one that goes on; its outputs go to these descriptors, which stay the caller's. */
GtFamily *gt_compose_start (GtCompose *compose, const char *const *args, int out_fd, int err_fd,
                            GError **error);

/* The id of a service's container; NULL with `error` when there is none. */
char *gt_compose_container (GtCompose *compose, const char *service, GError **error);

/* Follows what a container prints, from its start to its end. */
GtFamily *gt_compose_follow (GtCompose *compose, const char *container, int out_fd, GError **error);

/* The last things that a service printed; NULL = unknown. Free with g_free(). */
char *gt_compose_last_words (GtCompose *compose, const char *service);

/* How a container that has ended did so ("exit code 1"); *how is NULL while it runs. */
gboolean gt_compose_exit (GtCompose *compose, const char *container, char **how, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtCompose, gt_compose_free)
