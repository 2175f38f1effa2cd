/* The life of a slot: states x events -> next state and action. Pure and total.
 *
 * A slot holds one executor at a time. Everything that decides anything is here; whoever walks the
 * table only carries actions out. */
#pragma once

#include <glib.h>

#define GT_SLOT_STATES(X)                                                                          \
  X (EMPTY, "empty")               /* no executor; one is wanted when the pause is over */         \
  X (STARTING, "starting")         /* an executor is being started, not warm yet */                \
  X (IDLE, "idle")                 /* warm */                                                      \
  X (RUNNING, "running")           /* has a job */                                                 \
  X (INTERRUPTING, "interrupting") /* the job was asked to stop */                                 \
  X (ANSWERED, "answered")         /* the answer is read, its end frame is not */                  \
  X (SETTLING, "settling")         /* the job is done, threads of the executor are still ending */ \
  X (RETIRING, "retiring")         /* told to exit */                                              \
  X (LEAVING, "leaving")           /* it closed its socket or ended: its wait status is due */     \
  X (KILLING, "killing")           /* the kill was sent: nothing is believed any more */           \
  X (UNDEAD, "undead")             /* the kill did not end it in its time; quarantined */          \
  X (GONE, "gone")                 /* the slot is to be freed: final */

typedef enum {
#define X(id, name) GT_SLOT_##id,
  GT_SLOT_STATES (X)
#undef X
      GT_SLOT_STATE_COUNT
} GtSlotState;

#define GT_SLOT_EVENTS(X)                                                                          \
  X (WANTED, "wanted")             /* the pause before a start is over */                          \
  X (FAILED, "failed")             /* it could not be started */                                   \
  X (WARM, "warm")                 /* hello and ready were read */                                 \
  X (JOB, "job")                   /* here is a job */                                             \
  X (SOFT, "soft limit")           /* the job's soft limit, or its cancellation */                 \
  X (HARD, "hard limit")           /* the job's hard limit, or the end of a cancel's grace */      \
  X (OVER, "over limit")           /* memory, CPU time, processes, size of the answer */           \
  X (ACK, "acknowledged")          /* the executor has read the interrupt */                       \
  X (ANSWER, "answer")             /* a value, an error or a refusal was read to its end */        \
  X (END, "end")                   /* the job's last frame; the executor is as it was */           \
  X (END_BUSY, "end, busy")        /* ... has more threads or descriptors than it began with */    \
  X (END_LEFT, "end, left behind") /* ... has children left */                                     \
  X (SETTLED, "settled")           /* the surplus threads are gone */                              \
  X (GARBAGE, "garbage")           /* bytes that are no frame, or one out of place */              \
  X (CLOSED, "closed")             /* the executor's end of the socket is closed */                \
  X (DIED, "died")                 /* the executor's process has ended */                          \
  X (REAPED, "reaped")             /* nothing of the family is left */                             \
  X (LATE, "late")                 /* the state took longer than it may */                         \
  X (RECYCLE, "recycle")           /* has served long enough: jobs, memory, age */                 \
  X (STOP, "stop")                 /* the engine ends */

typedef enum {
#define X(id, name) GT_EVENT_##id,
  GT_SLOT_EVENTS (X)
#undef X
      GT_SLOT_EVENT_COUNT
} GtSlotEvent;

#define GT_SLOT_ACTIONS(X)                                                                         \
  X (NONE, "nothing")                                                                              \
  X (START, "start an executor")                                                                   \
  X (PAUSE, "count the failed start, pause before the next")                                       \
  X (ADOPT, "it is warm: take it into service")                                                    \
  X (SEND, "send the job")                                                                         \
  X (INTERRUPT, "send the interrupt")                                                              \
  X (NOTE, "note what became of the interrupt")                                                    \
  X (HOLD, "keep the answer until its end frame")                                                  \
  X (TELL, "tell the answer; the executor is free")                                                \
  X (KEEP_KILL, "the answer counts; kill the executor with what it left, tell when reaped")        \
  X (BYE, "tell it to exit")                                                                       \
  X (KILL, "kill the family; the event is the reason")                                             \
  X (AGAIN, "kill once more")                                                                      \
  X (REAP, "take the report, tell the outcome if there is a job, pause or start anew")             \
  X (QUARANTINE, "tell the job that it is undead, let another slot take this one's place")         \
  X (BURY, "take the report of one that died late, free the slot")                                 \
  X (FREE, "free the slot")

typedef enum {
#define X(id, text) GT_ACTION_##id,
  GT_SLOT_ACTIONS (X)
#undef X
      GT_SLOT_ACTION_COUNT
} GtSlotAction;

typedef struct {
  GtSlotState next;
  GtSlotAction action;
} GtStep;

GtStep gt_ladder_step (GtSlotState state, GtSlotEvent event);

const char *gt_slot_state_name (GtSlotState state);
const char *gt_slot_event_name (GtSlotEvent event);
const char *gt_slot_action_text (GtSlotAction action);

/* Properties of states, one place. MAY_HAVE_JOB: a job may be waiting for what this slot does.
 * LIVE: an executor may be there (its start was begun and it is not known to be gone). */
gboolean gt_slot_state_may_have_job (GtSlotState state);
gboolean gt_slot_state_live (GtSlotState state);
