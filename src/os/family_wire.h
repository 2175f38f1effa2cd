/* What gilotine-init and its owner say to each other: numbers that both sides know. Plain C, so
 * that the keeper can include it.
 *
 * Owner to keeper, one message each on the lifeline: "kill", "deadline NS" (CLOCK_MONOTONIC),
 * "signal N" (to the command's process group). Keeper to owner, one message each on the status
 * descriptor:
 *   started PID NS (with the command's pidfd where the descriptor is a socket), failed ERRNO,
 *   refused ERRNO (of the domain, not of the command), stopped SIGNAL, continued 0, exited CODE NS,
 *   signaled SIGNAL NS, ending CAUSE LEFTOVERS, usage CPU_NS PEAK_BYTES METER OOM KILLED EMPTY_NS,
 *   gone 0 */
#pragma once

/* What ended the family. X (ID, name) */
#define GT_FAMILY_CAUSES(X)                                                                        \
  X (NONE, "none")         /* not ended yet */                                                     \
  X (COMMAND, "command")   /* the command ended */                                                 \
  X (KILL, "kill")         /* gt_family_kill(), _end(), _free(), or the owner died */              \
  X (SIGNAL, "signal")     /* somebody sent the keeper a signal */                                 \
  X (DEADLINE, "deadline") /* the keeper's second line */                                          \
  X (MEMORY, "memory")                                                                             \
  X (CPU, "cpu")                                                                                   \
  X (PROCESSES, "processes")

typedef enum {
#define X(id, name) GT_FAMILY_CAUSE_##id,
  GT_FAMILY_CAUSES (X)
#undef X
      GT_N_FAMILY_CAUSES,
} GtFamilyCause;

/* Who counts memory or enforces a limit. X (ID, name) */
#define GT_METERS(X)                                                                               \
  X (NONE, "none")                                                                                 \
  X (PROCESS, "largest process") /* peak memory only: a lower bound */                             \
  X (WATCH, "watch")             /* the keeper looks every few ms */                               \
  X (CGROUP1, "cgroup1")                                                                           \
  X (CGROUP2, "cgroup2")

typedef enum {
#define X(id, name) GT_METER_##id,
  GT_METERS (X)
#undef X
      GT_N_METERS,
} GtMeter;
