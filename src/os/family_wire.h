/* What gilotine-init and its owner say to each other: numbers that both sides know. Plain C, so
 * that the keeper can include it.
 *
 * Owner to keeper, one message each on the lifeline: "kill", "deadline NS" (CLOCK_MONOTONIC),
 * "signal N" (to the command's process group), "end MODE" (what the command's end means from now
 * on). Keeper to owner, one message each on the status descriptor: started PID NS SET_UP_NS (with
 * the command's pidfd where the descriptor is a socket), failed ERRNO, refused ERRNO (of the
 * domain, not of the command), stopped SIGNAL, continued 0, exited CODE NS LEFTOVERS, signaled
 * SIGNAL NS LEFTOVERS, ending CAUSE (the last one holds), usage CPU_NS PEAK_BYTES METER OOM KILLED
 * EMPTY_NS, gone 0 */
#pragma once

/* The nice value of a dying family's session (autogroups: the kernel gives each session the same
 * share of a CPU). Not -20: the heavier a group is, the longer it waits when it has had more than
 * its share (measured: 6 to 7 ms instead of 4, beside 8 sessions that burn). */
#define GT_DYING_SESSION_NICE "-15"

/* What the end of the command means for what it left running. X (ID, name) */
#define GT_COMMAND_ENDS(X)                                                                         \
  X (KILL, "kill") /* the whole family is killed */                                                \
  X (WAIT, "wait") /* it goes on under the same limits; GONE when its last member has ended */     \
  X (HOLD, "hold") /* the same, but the keeper stays without members until it is killed */         \
  X (RELEASE, "release") /* it is set free: neither killed nor kept. Not in a PID namespace,       \
                            which ends with its keeper */

typedef enum {
#define X(id, name) GT_COMMAND_END_##id,
  GT_COMMAND_ENDS (X)
#undef X
      GT_N_COMMAND_ENDS,
} GtCommandEnd;

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
  X (PROCESS, "process") /* peak memory only: of the largest process, a lower bound */             \
  X (WATCH, "watch")     /* the keeper looks every few ms */                                       \
  X (CGROUP1, "cgroup1")                                                                           \
  X (CGROUP2, "cgroup2")

typedef enum {
#define X(id, name) GT_METER_##id,
  GT_METERS (X)
#undef X
      GT_N_METERS,
} GtMeter;
