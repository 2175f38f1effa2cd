/* The executor's side of its socket: jobs for the main thread, interrupts for a thread of its own.
 *
 * The main thread reads the socket itself while it is idle (no wake-up between the engine's write
 * and the job), and looks for a job that follows at once before it sleeps (busy_poll.h); when a job
 * has run for a millisecond or two the control thread takes over the reading, and gives it back
 * when the job ends. The library's interrupt is called from that thread, at once and then every
 * GT_CONTROL_REPEAT_MS until the job is over: a single call can be lost.
 *
 * All functions are the main thread's, except gt_control_send, which is anybody's. */
#pragma once

#include "executor/wire.h"
#include "executor/wire_head.h"

#include <glib.h>

#define GT_CONTROL_REPEAT_MS 5

typedef struct _GtControl GtControl;

/* Must be quick and must not call into the control: it runs under its lock, which is what makes
 * gt_control_disarm wait for one in progress. */
typedef void (*GtInterruptFunc) (gpointer data);

/* The socket closed (`error` NULL) or what came is no protocol. Called once, in whichever thread
 * reads. Must not return for a program: the default, NULL, is to say so on stderr and _exit (0 or
 * 1). If it returns (tests), gt_control_wait fails from then on. */
typedef void (*GtLostFunc) (const GError *error, gpointer data);

/* Takes `fd`. `able`: jobs have an interrupt at all; else interrupts are acknowledged as "unable".
 */
GtControl *gt_control_new (int fd, gboolean able, GtLostFunc lost, gpointer data, GError **error);
void gt_control_free (GtControl *self); /* ends the thread; only between jobs */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtControl, gt_control_free)

typedef struct {
  GtWireType type; /* JOB, RESET or BYE */
  guint64 job;
  GBytes *head, *body; /* owned; NULL when empty */
} GtRequest;

void gt_request_clear (GtRequest *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtRequest, gt_request_clear)

/* Blocks until there is something to do. For a JOB the job has begun when this returns. FALSE: the
 * socket is lost. */
gboolean gt_control_wait (GtControl *self, GtRequest *out);

/* Writes a frame whole (with frame->fd, which stays the caller's). Blocks while the engine does not
 * read. FALSE only for a frame that is none and for a socket that is lost. */
gboolean gt_control_send (GtControl *self, const GtFrame *frame, GError **error);

/* The same, but it may wait in memory for the next frame that is sent: an answer of several small
 * frames is one write and wakes the engine once. For frames without a descriptor. */
gboolean gt_control_queue (GtControl *self, const GtFrame *frame, GError **error);

/* Fills `out`, called about every `GT_CONTROL_PROGRESS_MS` while a function is armed; FALSE:
 * nothing to tell. The same rules as for GtInterruptFunc. */
typedef gboolean (*GtProgressFunc) (gpointer data, GtProgress *out);

#define GT_CONTROL_PROGRESS_MS 100

/* Of the job that runs; NULL: none. Ends with the job. */
void gt_control_report (GtControl *self, GtProgressFunc func, gpointer data);

/* The function that stops what the main thread is about to begin. An interrupt that has come
 * already is delivered at once. After _disarm it runs no more, and a call in progress has ended. */
void gt_control_arm (GtControl *self, GtInterruptFunc func, gpointer data);
void gt_control_disarm (GtControl *self);

/* Whether an interrupt for the running job was read: to be asked between steps. */
gboolean gt_control_interrupted (GtControl *self);

/* A commit begins: from here no interrupt is delivered. FALSE when one has come already: then it
 * must not begin. */
gboolean gt_control_commit_begin (GtControl *self);

typedef enum { GT_COMMIT_NO, GT_COMMIT_YES, GT_COMMIT_MAYBE } GtCommit;

/* It is over; interrupts count again. */
void gt_control_commit_end (GtControl *self, GtCommit outcome);

/* The job is over: later interrupts that name it are stale. Fills the facts that the control knows;
 * `committed` is static text and must not be freed. */
void gt_control_finish (GtControl *self, GtEnd *facts);
