/* Control groups of a family: found, made, joined, killed, measured, removed.
 *
 * Version 2 as the whole tree (most machines), beside version 1 (hybrid), or only the subtree that
 * systemd delegated to a user; version 1's memory and pids folders for limits where those act. */
#pragma once

#include <glib.h>

/* Our own cgroups as folders of this mount namespace; NULL = none or not visible. */
typedef struct {
  char *v2_mount; /* where version 2 is mounted */
  char *v2;       /* below or equal to v2_mount */
  char *memory1;
  char *pids1;
} GtCgroupBases;

/* Pure: from the texts of /proc/self/mountinfo and /proc/self/cgroup. */
void gt_cgroup_bases_parse (const char *mountinfo, const char *self_cgroup, GtCgroupBases *bases);
void gt_cgroup_bases_clear (GtCgroupBases *bases);

/* The folders of one family; each NULL or ours. */
typedef struct {
  char *v2; /* killed as one by cgroup.kill */
  char *memory1;
  char *pids1;
  gboolean memory_by_v2, processes_by_v2;
} GtCgroup;

typedef struct {
  gboolean need_v2;                /* the cgroup domain */
  guint64 memory_bytes, processes; /* 0 = no limit */
} GtCgroupWant;

/* Makes what is wanted and possible. With need_v2 and no version 2 folder: FALSE and `error`
 * (GT_OS_ERROR_UNAVAILABLE) that says what was tried. A limit that no controller enforces is no
 * error: memory1, pids1 and ..._by_v2 tell what is enforced. Sweeps each parent folder at its first
 * use. */
gboolean gt_cgroup_make (const GtCgroupWant *want, GtCgroup *cgroup, GError **error);

/* SIGKILL to all members, forks in progress included. FALSE without a version 2 folder. */
gboolean gt_cgroup_kill (const GtCgroup *cgroup);

/* Removes the folders. TRUE when none is left: for version 2 the kernel's proof that no member is.
 */
gboolean gt_cgroup_remove (const GtCgroup *cgroup);

/* Frees the names only. */
void gt_cgroup_clear (GtCgroup *cgroup);
