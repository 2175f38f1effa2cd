/* What a job may use, and where each limit comes from. Pure: the world is handed in.
 *
 * Points in time are absolute from the moment the job is handed in: waiting for a process, starting
 * it, running and sending the answer all count. */
#pragma once

#include "os/clock.h"

/* The environment variable: an absolute CLOCK_MONOTONIC instant in ns, decimal. */
#define GT_DEADLINE_ENV "GILOTINE_DEADLINE"

/* id, name, unit of the number */
#define GT_LIMITS(X)                                                                               \
  X (SOFT, "soft", NS)                                                                             \
  X (HARD, "hard", NS)                                                                             \
  X (MEMORY, "memory", BYTES)                                                                      \
  X (CPU, "cpu", NS)                                                                               \
  X (PROCESSES, "processes", COUNT)

typedef enum {
#define X(id, name, unit) GT_LIMIT_##id,
  GT_LIMITS (X)
#undef X
      GT_LIMIT_COUNT
} GtLimitId;

#define GT_LIMIT_SOURCES(X)                                                                        \
  X (NONE, "none")               /* no such limit */                                               \
  X (OPTION, "option")           /* asked for with the job */                                      \
  X (ENVIRONMENT, "environment") /* GILOTINE_DEADLINE: a caller above us set it */                 \
  X (CGROUP, "cgroup")           /* of the cgroup we run in */                                     \
  X (MACHINE, "machine")         /* there is no more */

typedef enum {
#define X(id, name) GT_LIMIT_FROM_##id,
  GT_LIMIT_SOURCES (X)
#undef X
} GtLimitSource;

/* What is asked for; 0 = no limit, except that a hard limit is always needed where a soft one is.
 * Negative values are refused. */
typedef struct {
  gint64 soft_ns; /* durations from now */
  gint64 hard_ns;
  gint64 memory_bytes;
  gint64 cpu_ns;
  gint64 processes;
} GtLimitsAsked;

/* The surroundings. Zeros and GT_NEVER: none. `cannot` has a bit (1U << GtLimitId) for each limit
 * that cannot be enforced where the job will run, `why` (may be NULL) says why. */
typedef struct {
  GtInstant now;
  GtInstant inherited; /* of GILOTINE_DEADLINE; {0} is the distant past, so say GT_NEVER */
  gint64 cgroup_memory_bytes;
  gint64 cgroup_processes;
  gint64 machine_memory_bytes;
  guint cannot;
  const char *why;
} GtLimitsWorld;

/* In force. Times absolute, GT_NEVER = none; numbers 0 = none. `from` says whose the effective
 * value is, `asked` keeps what was asked for, so that both can be shown. */
typedef struct {
  GtInstant soft;
  GtInstant hard;
  gint64 memory_bytes;
  gint64 cpu_ns;
  gint64 processes;
  GtLimitSource from[GT_LIMIT_COUNT];
  GtLimitsAsked asked;
  GtInstant made; /* `now` of then: durations in explanations count from it */
} GtLimits;

#define GT_LIMITS_NONE                                                                             \
  {                                                                                                \
    .soft = { G_MAXINT64 }, .hard = { G_MAXINT64 }                                                 \
  }

/* Text as in the environment; NULL or "" is GT_NEVER. FALSE (GT_DEADLINE_ERROR_ENVIRONMENT) when it
 * is not a number: a limit that cannot be read is not ignored. */
gboolean gt_limits_inherited (const char *text, GtInstant *deadline, GError **error);

/* Combines: the earlier deadline and the smaller number win. A soft limit that an inherited
 * deadline makes pointless is dropped. FALSE and GT_DEADLINE_ERROR_CONTRADICTION (soft >= hard,
 * soft without hard, negative) or _UNENFORCEABLE. A deadline that has passed is no error: the job
 * ends at once. */
gboolean gt_limits_make (const GtLimitsAsked *asked, const GtLimitsWorld *world, GtLimits *limits,
                         GError **error);

/* Fills inherited (from our environment), cgroup and machine numbers, now. Reads /proc and
 * /sys/fs/cgroup: not for the deadline thread. */
gboolean gt_limits_world_read (GtLimitsWorld *world, GError **error);

const char *gt_limit_name (GtLimitId id);
const char *gt_limit_source_name (GtLimitSource source);

/* One line for people, e.g. "hard: 2.5 s (environment GILOTINE_DEADLINE; the option asked for 10
 * s)", "memory: none". Free with g_free(). */
char *gt_limits_explain (const GtLimits *limits, GtLimitId id);
