/* Control groups as they are: what is mounted, where this process is in them, which limits hold for
 * it already, and which controllers it could use for a family. Only read; nothing is made or
 * enabled. */
#pragma once

#include <glib.h>

typedef struct {
  gboolean v2;
  char *controllers; /* version 1: as in its mount options, "cpu,cpuacct"; version 2: "" */
  char *mount;
  char *own; /* our cgroup as a folder; NULL: not visible from here */
  gboolean read_only;
} GtHierarchy;

/* X (ID, name, what it is) */
#define GT_CGROUP_LAYOUTS(X)                                                                       \
  X (NONE, "none", "no cgroups are mounted here")                                                  \
  X (V1, "v1", "version 1 only")                                                                   \
  X (HYBRID, "hybrid", "version 1 with version 2 beside it")                                       \
  X (V2, "v2", "version 2 only")

typedef enum {
#define X(id, name, text) GT_CGROUPS_##id,
  GT_CGROUP_LAYOUTS (X)
#undef X
} GtCgroupLayout;

const char *gt_cgroup_layout_name (GtCgroupLayout layout);
const char *gt_cgroup_layout_text (GtCgroupLayout layout);

/* Pure: of the texts of /proc/self/mountinfo and /proc/self/cgroup. Elements are GtHierarchy *,
 * freed with the array. */
GPtrArray *gt_hierarchies_parse (const char *mountinfo, const char *self_cgroup);
/* The same of this process. Empty when there is no /proc. */
GPtrArray *gt_hierarchies_read (void);

GtCgroupLayout gt_hierarchies_layout (const GPtrArray *hierarchies);

/* The one of a version 1 controller, or (NULL) version 2; NULL when there is none. */
const GtHierarchy *gt_hierarchies_find (const GPtrArray *hierarchies, const char *controller);

/* X (ID, controller, unit, limit in v2, limit in v1, use in v2, use in v1) */
#define GT_CGROUP_LIMITS(X)                                                                        \
  X (MEMORY, "memory", "bytes", "memory.max", "memory.limit_in_bytes", "memory.current",           \
     "memory.usage_in_bytes")                                                                      \
  X (MEMORY_HIGH, "memory", "bytes", "memory.high", NULL, "memory.current", NULL)                  \
  X (PIDS, "pids", "tasks", "pids.max", "pids.max", "pids.current", "pids.current")                \
  X (CPU, "cpu", "CPUs", "cpu.max", "cpu.cfs_quota_us", NULL, NULL)

typedef enum {
#define X(id, controller, unit, max2, max1, use2, use1) GT_CGROUP_LIMIT_##id,
  GT_CGROUP_LIMITS (X)
#undef X
      GT_N_CGROUP_LIMITS,
} GtCgroupLimitId;

const char *gt_cgroup_limit_controller (GtCgroupLimitId id);

typedef struct {
  gboolean limited;
  double value; /* bytes, tasks or CPUs */
  double used;  /* by all members of that cgroup; < 0: unknown */
  char *folder; /* the cgroup that sets it: the tightest of our chain */
} GtCgroupLimit;
void gt_cgroup_limit_clear (GtCgroupLimit *limit);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtCgroupLimit, gt_cgroup_limit_clear)

/* The tightest limit between our own cgroup and the topmost one that is visible here. FALSE: none
 * (limit->limited too). */
gboolean gt_hierarchies_limit (const GPtrArray *hierarchies, GtCgroupLimitId id,
                               GtCgroupLimit *limit);

/* How many CPUs the calling thread may use at a time: those of its affinity, and no more than the
 * cgroups' quota, rounded up. At least 1. `by_quota` (may be NULL): whether the quota is the less.
 */
guint gt_hierarchies_cpus (const GPtrArray *hierarchies, gboolean *by_quota);

/* Whether the limits of this controller can be read at all: our cgroup in version 1, or else in
 * version 2, is a folder that is visible here. */
gboolean gt_hierarchies_show (const GPtrArray *hierarchies, const char *controller);

/* The cgroup below which a family's folder would get this controller ("memory", "pids", "cpu"), as
 * far as reading and permissions tell; NULL when none. `v2` tells the version. Free with
 * g_free(). */
char *gt_hierarchies_enforcer (const GPtrArray *hierarchies, const char *controller, gboolean *v2);
