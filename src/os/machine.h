/* Facts about this machine, and what of it this process may use. Asked of the kernel each time,
 * nothing is changed, started or kept. Works without /proc, /sys and any privilege: what cannot be
 * known then is said to be unknown. Thread-safe. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* X (ID, name, first Linux, what is lost without it). Those of GT_KERNEL_NEEDED come first. */
#define GT_KERNEL_FEATURES(X)                                                                      \
  X (PIDFD, "pidfd", "5.3", "processes cannot be held by handle: no family can be started")        \
  X (SUBREAPER, "subreaper", "3.4", "orphans of a family go to PID 1: no family can be started")   \
  X (CLONE3, "clone3", "5.3", "a family joins its cgroup after its start, not with it")            \
  X (CLONE_INTO_CGROUP, "CLONE_INTO_CGROUP", "5.7",                                                \
     "a family joins its cgroup after its start, not with it")                                     \
  X (CLOSE_RANGE, "close_range", "5.9", "descriptors are closed one by one")                       \
  X (MEMFD, "memfd", "3.17", "large results are copied")                                           \
  X (PIDFD_INFO, "PIDFD_GET_INFO", "6.13", "processes are looked up through /proc alone")          \
  X (PROC_CHILDREN, "/proc/PID/task/TID/children", "4.2",                                          \
     "members of a family are found by reading all of /proc")                                      \
  X (PSI, "PSI", "4.20", "pressure on memory and CPU cannot be seen")                              \
  X (SCHED_SLICE, "sched_setattr slice", "6.12",                                                   \
     "deadlines are later on a machine whose CPUs are all busy")

typedef enum {
#define X(id, name, since, without) GT_KERNEL_##id,
  GT_KERNEL_FEATURES (X)
#undef X
      GT_N_KERNEL_FEATURES,
} GtKernelFeature;

/* Features below this number are needed by every domain. */
#define GT_KERNEL_NEEDED GT_KERNEL_CLONE3

const char *gt_kernel_feature_name (GtKernelFeature feature);
const char *gt_kernel_feature_since (GtKernelFeature feature);
const char *gt_kernel_feature_without (GtKernelFeature feature);

/* 0 when this process can use it, else the kernel's answer as errno: ENOSYS for an old kernel or a
 * seccomp filter, EPERM for a filter. */
int gt_kernel_feature_try (GtKernelFeature feature);

/* Landlock's ABI from 1 on; 0 and errno when there is none. */
int gt_machine_landlock (void);

/* X (NAME, number, what it gives). Capabilities that change what can be promised. */
#define GT_CAPABILITIES(X)                                                                         \
  X (KILL, 5, "ends processes of other users")                                                     \
  X (SETUID, 7, "other users in a family")                                                         \
  X (SYS_PTRACE, 19, "looks into other users' processes")                                          \
  X (SYS_ADMIN, 21, "PID namespaces without a user namespace")                                     \
  X (SYS_NICE, 23, "priorities above normal")                                                      \
  X (SYS_RESOURCE, 24, "raises hard rlimits")

typedef struct {
  const char *name;
  guint number;
  const char *gives;
} GtCapability;

/* Ended by a NULL name. Static. */
const GtCapability *gt_machine_capabilities (void);

/* Effective capabilities, bit n for number n. */
guint64 gt_machine_effective (void);

/* Field of /proc/self/status ("Seccomp"), its value without blanks; NULL when unknown. Free with
 * g_free(). */
char *gt_machine_status (const char *field);

/* "docker", "podman", "kubernetes", ...: the container's engine, and what gave it away. NULL: no
 * container that is known. Free both with g_free(); `evidence` may be NULL. */
char *gt_machine_container (char **evidence);

/* Whether this process is in the machine's first namespace of its kind ("pid", "user", "cgroup"):
 * 1 yes, 0 no, -1 unknown. */
int gt_machine_is_initial_namespace (const char *kind);

/* How /proc is mounted. */
typedef struct {
  gboolean mounted;
  gboolean hides; /* hidepid: processes of other users cannot be seen by this one */
} GtProcMount;
GtProcMount gt_machine_proc_mount (void);

/* A small text file without its last newline; NULL and errno. Never blocks on a FIFO. Free with
 * g_free(). */
char *gt_machine_read (const char *path);
