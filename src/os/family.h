/* A family: a command under gilotine-init (its keeper), owned and ended as a whole.
 *
 * Whatever the command starts, also by setsid or a double fork, belongs to it, as far as the domain
 * holds (os/domain.h). The family ends when the command ends (unless `command_end` says otherwise),
 * at `deadline`, when a limit is reached, by gt_family_kill(), or when this process dies, by
 * SIGKILL too and at any instant.
 *
 * A family belongs to one thread at a time; different families may be used by different threads. */
#pragma once

#include "os/clock.h"
#include "os/domain.h"
#include "os/family_wire.h"
#include "os/spawn.h"

#include <sys/resource.h>
#include <sys/types.h>

typedef struct GtFamily GtFamily;

typedef struct {
  int resource; /* RLIMIT_... */
  struct rlimit value;
} GtRlimit;

typedef enum {
  GT_SESSION_OWN,    /* a session of its own, the command the leader of its process group */
  GT_SESSION_GROUP,  /* our session, a process group of its own. The keeper ignores signals. */
  GT_SESSION_CALLER, /* our session and process group, for interactive use. The keeper ignores
                        signals and, but for PID namespaces, is in a group of its own that no
                        Ctrl-Z stops. */
} GtSessionMode;

/* For the whole family; 0 = none. One that cannot be enforced makes the spawn fail. */
typedef struct {
  guint64 memory_bytes;
  guint64 processes; /* members, threads not counted unless a cgroup counts them */
  gint64 cpu_ns;     /* user and system time of all members, ended ones included */
} GtFamilyLimits;

/* All zero but `argv` is a good start: AUTO is not zero, so use GT_FAMILY_SPEC_INIT. */
typedef struct {
  const char *const
      *argv; /* NULL-terminated; argv[0] looked up in PATH; NULL = no command, it only holds */
  const char *const *env; /* NULL-terminated "NAME=VALUE"; NULL = ours */
  const char *cwd;        /* NULL = ours */
  const GtFdMap *fds;     /* everything the command has open; 0, 1, 2 are /dev/null unless mapped */
  gsize n_fds;
  gboolean
      keep_closed;   /* ... but those of 0, 1, 2 that are not mapped are closed for the command */
  GtDomain domain;   /* AUTO, or exactly this one */
  GtPurpose purpose; /* of AUTO */
  GtSessionMode session;
  GtInstant deadline; /* second line: the keeper ends the family by itself then. GT_NEVER = none */
  GtFamilyLimits limits;
  const GtRlimit *rlimits;
  gsize n_rlimits;
  guint64 ignored_signals;  /* bit signo - 1: ignored in the command; all others are at default */
  guint64 blocked_signals;  /* the command's signal mask */
  int nice;                 /* added to ours; 0 = unchanged */
  gint64 slice_ns;          /* the command's EEVDF slice (sched_setattr); 0 = unchanged */
  const char *remove_dir;   /* removed when the family is gone; NULL = nothing */
  GtCommandEnd command_end; /* what the command's end means for what it left running */
  gboolean adopt; /* subreaper domain: this process becomes a second subreaper, so that a family
                     that killed its keeper can still be ended. Every child of this process
                     that was neither here before nor is another keeper counts as the
                     family's: only for programs of which that is true. Children that are
                     started by other means meanwhile must not exist. */
} GtFamilySpec;

#define GT_FAMILY_SPEC_INIT                                                                        \
  {                                                                                                \
    .domain = GT_DOMAIN_AUTO, .deadline = { G_MAXINT64 }                                           \
  }

typedef enum {
  GT_FAMILY_STARTING, /* the command is not executed yet */
  GT_FAMILY_RUNNING,
  GT_FAMILY_FAILED, /* it cannot be executed: gt_family_start_error() */
  GT_FAMILY_ENDED,  /* the command has ended; others of the family may be alive */
  GT_FAMILY_GONE,   /* nothing is left and the keeper is reaped: final */
  GT_FAMILY_LOST, /* the keeper was killed before it could say so: gt_family_poll() goes on killing
                     what it finds by mark (and, with `adopt`, by parent) until it is GONE */
} GtFamilyState;

/* Grows while the family lives; complete when it is GONE. Instants are CLOCK_MONOTONIC ns, 0 = not
 * yet. */
typedef struct {
  GtDomain domain; /* in force, never AUTO */
  GtFamilyCause cause;
  gint64 started_ns; /* right before the command was executed */
  gint64 ended_ns;   /* the keeper reaped the command */
  gint64 empty_ns;   /* the keeper had the kernel's word that no member is left */
  gint64 gone_ns;    /* the keeper itself was reaped by us */
  gint64 cpu_ns;     /* since started_ns, of all members that their parents or the keeper reaped */
  gint64 set_up_ns;  /* CPU time of the command's process before, not in cpu_ns */
  guint64 peak_memory_bytes;
  guint64 oom_count;
  guint64 descendants_killed; /* members beside the command that the keeper had to kill, as it
                                 reaped them */
  guint64 leftovers;          /* members that were alive when the command ended by itself */
  gboolean was_stopped;       /* the command was stopped by a signal at least once */
  gboolean keeper_killed;     /* the family (or somebody) killed the keeper */
  gboolean fresh_proc;        /* a PID namespace with a /proc of its own */
  GtMeter peak_memory_by, memory_limit_by, processes_limit_by, cpu_limit_by;
} GtFamilyReport;

const char *gt_family_state_name (GtFamilyState state);
const char *gt_family_cause_name (GtFamilyCause cause);
const char *gt_meter_name (GtMeter meter);
const char *gt_command_end_name (GtCommandEnd command_end);

/* Starts the keeper and returns without waiting for the command to be executed: state STARTING, the
 * rest is told by gt_family_poll(). Blocks for the execve() of the keeper only (under 1 ms). Errors
 * (GT_OS_ERROR_...): UNAVAILABLE when the domain that was asked for or a limit cannot be had. */
GtFamily *gt_family_start (const GtFamilySpec *spec, GError **error);

/* The same, and waits until the command was executed (bounded by 30 s). When it cannot be: NULL and
 * `error`, GT_OS_ERROR_COMMAND_NOT_FOUND or _COMMAND_NOT_EXECUTABLE. */
GtFamily *gt_family_spawn (const GtFamilySpec *spec, GError **error);

/* Outer pid of the keeper, the family's root and reaper, and of the command (0 without one or
 * before it is started). For /proc reads and messages only; signals go through the functions below.
 */
pid_t gt_family_root_pid (const GtFamily *family);
pid_t gt_family_command_pid (const GtFamily *family);

/* Readable when gt_family_poll() has something to do; never readable again once GONE or LOST. Stays
 * the family's. May be put into any poll set. */
int gt_family_fd (const GtFamily *family);

/* Reads news without blocking; reaps the keeper. */
GtFamilyState gt_family_poll (GtFamily *family);

/* The state as of the last gt_family_poll(). */
GtFamilyState gt_family_state (const GtFamily *family);

/* TRUE once the command has ended, as of the last gt_family_poll(); then `wait_status` (may be
 * NULL) is as of waitpid(2). */
gboolean gt_family_ended (const GtFamily *family, int *wait_status);

/* Whether the command is stopped (SIGSTOP, Ctrl-Z) as of the last gt_family_poll(); then `signo`
 * (may be NULL) is the signal that stopped it. */
gboolean gt_family_stopped (const GtFamily *family, int *signo);

/* Why the command could not be executed (errno), 0 when it could. */
int gt_family_start_errno (const GtFamily *family);
/* The same as an error; FALSE always, for `return gt_family_start_error (...)`. */
gboolean gt_family_start_error (const GtFamily *family, GError **error);

/* A signal to the command, or to its process group (`group`; with GT_SESSION_CALLER that is our own
 * group, so there it goes to the command alone). By pidfd: never hits a stranger. Before the
 * command is started it is kept, and sent then. FALSE and `error`
 * when it is not allowed (a set-user-ID command); a command that has ended is no error. */
gboolean gt_family_signal (GtFamily *family, int signo, gboolean group, GError **error);

/* Changes what the command's end means; holds for an end that comes after this call. FALSE and
 * `error` (UNAVAILABLE) for RELEASE in a PID namespace. Never blocks. */
gboolean gt_family_set_command_end (GtFamily *family, GtCommandEnd command_end, GError **error);

/* Moves the keeper's second line. GT_NEVER = none. Never blocks. */
void gt_family_set_deadline (GtFamily *family, GtInstant deadline);

/* Continues a keeper that the family has stopped, which costs it its voice: to be called when
 * SIGCHLD says that a child has changed. (gt_family_kill() does it by itself.) Never blocks. */
void gt_family_continue_keeper (const GtFamily *family);

/* Starts the end of the whole family and returns at once: SIGKILL to all, by the shortest way of
 * the domain. gt_family_poll() tells when it is GONE. May be repeated. */
void gt_family_kill (GtFamily *family);

/* Kills and waits: TRUE when GONE. FALSE with `error` when it is not until then (a process in
 * uninterruptible sleep, or one this user may not kill); it names the survivors it can see. May be
 * called again. */
gboolean gt_family_end (GtFamily *family, GtInstant until, GError **error);

/* Stays the family's; valid until the next call on it. */
const GtFamilyReport *gt_family_report (const GtFamily *family);

/* Ends it (waiting up to 10 s) if that was not done, and frees. NULL is allowed. */
void gt_family_free (GtFamily *family);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtFamily, gt_family_free)
