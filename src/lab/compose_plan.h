/* How a subject becomes a service of compose.yml: which one, and what is overridden. Pure. */
#pragma once

#include "lab/experiment.h"

/* "worker-gil-clean-init" and the like: runtime, clean-up, pool and who reaps choose the service;
 * the other factors are settings of its environment. Free with g_free(). */
char *gt_compose_service (const GtSubject *subject);

/* The queue that a service's worker consumes. */
const char *gt_compose_queue (const char *service);

/* Who waits for orphans in its container, for people. */
const char *gt_compose_reaper (const GtSubject *subject);

/* The second file for the commands that start its worker and the observer beside it: JSON, and so
 * YAML. `threads` and `level`: of the user, NULL = defaults. Free with g_free(). */
char *gt_compose_overlay (const GtSubject *subject, const char *mark, const char *threads,
                          const char *level);

/* The environment for `docker compose`, of `base` (NULL-terminated, not changed): nothing of the
 * user's own project in it, ports that the engine chooses, no colours. Free with g_strfreev(). */
char **gt_compose_env (const char *const *base, const char *mark);

/* The port in what `docker compose port` prints ("127.0.0.1:32769", "[::]:32769"); 0 = none. */
guint gt_compose_parse_port (const char *output);

/* The value of a line "key=value"; NULL = no such line. Free with g_free(). */
char *gt_compose_fact (const char *output, const char *key);

/* The last `n` lines that are not empty, joined by "; ": what a command said before it failed. Free
 * with g_free(). */
char *gt_compose_last_lines (const char *output, guint n);
