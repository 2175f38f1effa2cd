/* One run: from the start of the command to the end of its family. */
#pragma once

#include "cli/run_inherit.h"
#include "cli/run_options.h"
#include "cli/run_record.h"
#include "cli/run_terminal.h"
#include "os/family.h"

/* X (ID): in this order, never back */
#define GT_RUN_PHASES(X)                                                                           \
  X (RUNNING)                                                                                      \
  X (HOOK)   /* the time is over; --on-soft is at work */                                          \
  X (GRACE)  /* the first signal was sent */                                                       \
  X (KILLED) /* the kill was started */                                                            \
  X (OVER)

typedef enum {
#define X(id) GT_RUN_##id,
  GT_RUN_PHASES (X)
#undef X
} GtRunPhase;

typedef struct {
  const GtRunOptions *options;
  const GtRunInherited *inherited;
  const GtRunTerminal *terminal;
  GtFamily *family; /* owned */
  GtFamily *hook;   /* owned; NULL unless it is at work */
  GtRunPhase phase;
  GtInstant soft; /* the first signal */
  GtInstant hard; /* the kill */
  /* When the next thing happens inside a phase: the hook's end, the look for other members, the
   * next nudge for a kill. */
  GtInstant next;
  GtInstant give_up; /* on the kill */
  int signal_fd, timer_fd;
  gint64 interrupted_ns, killed_ns; /* 0: did not happen */
  gboolean timed_out;
  gboolean killed;      /* our SIGKILL found the command alive */
  gboolean released;    /* what it left lives on */
  gboolean survivors;   /* the kill did not end all */
  gboolean was_stopped; /* the stop that is on now was answered */
  gboolean ctrl_z;      /* it was typed, and no stop has come of it yet */
  int forwarded;        /* last signal that was handed on; 0: none */
} GtRunSession;

/* Starts the command. FALSE and `error` (domain GT_OS_ERROR); soft and hard are set by the caller.
 */
gboolean gt_run_session_start (GtRunSession *session, GError **error);

/* Returns when the family is gone, released, could not be executed (its state is FAILED), or when
 * the kill was given up. */
void gt_run_session_wait (GtRunSession *session);
void gt_run_session_clear (GtRunSession *session);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtRunSession, gt_run_session_clear)
