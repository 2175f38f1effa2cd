#include "cli/run_session.h"

#include "cli/run_hook.h"
#include "cli/run_members.h"
#include "os/error.h"
#include "os/parse.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* The keeper's second line comes this much after our kill: only if we are stopped or starved. */
#define SECOND_LINE_NS (50 * GT_NSEC_PER_MSEC)
/* Members outside the command's group get the first signal this much after the command: mostly the
 * family is gone by then, and /proc of a large machine need not be read. */
#define MEMBERS_AFTER_NS (5 * GT_NSEC_PER_MSEC)
/* A kill that has not ended the family in this time will not: no permission, or a process inside
 * the kernel. */
#define GIVE_UP_AFTER_NS (2 * GT_NSEC_PER_SEC)
/* A family may have stopped its keeper: the kill is repeated. */
#define KILL_AGAIN_NS (51 * GT_NSEC_PER_MSEC)

static GtInstant
earlier (GtInstant a, GtInstant b)
{
  return a.ns < b.ns ? a : b;
}

gboolean
gt_run_session_start (GtRunSession *session, GError **error)
{
  const GtRunOptions *options = session->options;
  const GtFamilySpec spec = {
    .argv = (const char *const *) options->command,
    .env = (const char *const *) session->inherited->env,
    .fds = (const GtFdMap *) (gconstpointer) session->inherited->fds->data,
    .n_fds = session->inherited->fds->len,
    .keep_closed = TRUE,
    .domain = options->domain,
    .purpose = GT_PURPOSE_TRANSPARENT,
    .session = session->terminal->shared ? GT_SESSION_CALLER : GT_SESSION_GROUP,
    .deadline = gt_instant_add (session->hard, SECOND_LINE_NS),
    .limits = { .memory_bytes = options->memory_bytes,
                .processes = options->processes,
                .cpu_ns = options->cpu_ns },
    .rlimits = &session->inherited->files,
    .n_rlimits = session->inherited->n_rlimits,
    .ignored_signals = session->inherited->ignored_signals,
    .blocked_signals = session->inherited->blocked_signals,
    .command_end = options->keep_descendants ? GT_COMMAND_END_RELEASE : GT_COMMAND_END_KILL,
  };
  session->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  session->signal_fd = signalfd (-1, &session->inherited->watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (session->timer_fd < 0 || session->signal_fd < 0)
    return gt_os_fail (error, errno, "a descriptor");
  session->next = GT_NEVER;
  session->family = gt_family_start (&spec, error);
  return session->family != NULL;
}

void
gt_run_session_clear (GtRunSession *session)
{
  if (session->signal_fd >= 0)
    close (session->signal_fd);
  if (session->timer_fd >= 0)
    close (session->timer_fd);
  session->signal_fd = session->timer_fd = -1;
  g_clear_pointer (&session->hook, gt_family_free);
  /* A kill that was given up here is not waited for again, as freeing does: our end is the end of
   * the keeper's lifeline, and it goes on trying. */
  static GtFamily *abandoned;
  if (session->survivors)
    abandoned = session->family;
  else
    gt_family_free (session->family);
  session->family = NULL;
  (void) abandoned;
}

/* --- the ladder: signal, kill ----------------------------------------------------------------- */

/* Never waits: a limit must not hang on a reader of standard error that does not read, or on a
 * terminal stopped by Ctrl-S. What cannot be said at once is not said. */
static void G_GNUC_PRINTF (1, 2) say (const char *format, ...)
{
  struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
  if (poll (&out, 1, 0) <= 0 || (out.revents & POLLOUT) == 0)
    return;
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, "gilotine run: %s\n", text);
}

static void
say_signal (const GtRunSession *session, int signo)
{
  char name[GT_SIGNAL_NAME_SIZE];
  if (!session->options->verbose)
    return;
  g_autofree char *command = gt_run_quote (session->options->command[0]);
  say ("sending signal %s to command %s", gt_signal_name (signo, name), command);
}

static void
await_end (GtRunSession *session)
{
  GtInstant now = gt_instant_now ();
  session->phase = GT_RUN_KILLED;
  session->next = gt_instant_add (now, KILL_AGAIN_NS);
  session->give_up = gt_instant_add (now, GIVE_UP_AFTER_NS);
}

static void
start_kill (GtRunSession *session)
{
  session->killed = !gt_family_ended (session->family, NULL);
  if (session->killed)
    say_signal (session, SIGKILL);
  gt_family_kill (session->family);
  session->killed_ns = gt_instant_now ().ns;
  await_end (session);
}

static void
send_signal (const GtRunSession *session, int signo)
{
  g_autoptr (GError) error = NULL;
  if (!gt_family_signal (session->family, signo, !session->options->foreground, &error))
    say ("%s", error->message);
}

/* So that a stopped command can act on the signal. Not in the foreground, as in timeout(1): there a
 * command may control jobs of its own, a debugger for one. */
static void
send_continue (const GtRunSession *session, int after)
{
  if (!session->options->foreground && after != SIGCONT)
    send_signal (session, SIGCONT);
}

static void
start_grace (GtRunSession *session)
{
  const int signo = session->options->signo;
  GtInstant now = gt_instant_now ();
  g_autoptr (GError) error = NULL;
  g_clear_pointer (&session->hook, gt_family_free);
  if (signo == SIGKILL) {
    start_kill (session);
    return;
  }
  /* From here on the command's end is not the family's: who got the signal, too, may use the rest
   * of the grace; and nobody is set free any more. */
  if (!gt_family_set_command_end (session->family, GT_COMMAND_END_WAIT, &error))
    say ("%s", error->message);
  say_signal (session, signo);
  session->phase = GT_RUN_GRACE;
  session->interrupted_ns = now.ns;
  if (signo != 0)
    send_signal (session, signo);
  send_continue (session, signo);
  session->next = signo == 0 || session->options->foreground
                      ? GT_NEVER
                      : gt_instant_add (now, MEMBERS_AFTER_NS);
}

static void
time_is_over (GtRunSession *session)
{
  session->timed_out = TRUE;
  if (session->options->on_soft == NULL) {
    start_grace (session);
    return;
  }
  session->phase = GT_RUN_HOOK;
  session->next = gt_run_hook_limit (session->hard);
  session->hook = gt_run_hook_start (session->options->on_soft, session->inherited,
                                     gt_family_command_pid (session->family), session->next);
  if (session->hook == NULL)
    start_grace (session);
}

/* What is due by the clock. */
static void
step (GtRunSession *session)
{
  GtInstant now = gt_instant_now ();
  switch (session->phase) {
  case GT_RUN_RUNNING:
    if (now.ns >= session->soft.ns)
      time_is_over (session);
    else if (now.ns >= session->hard.ns)
      start_kill (session);
    break;
  case GT_RUN_HOOK:
    if (now.ns >= session->next.ns || gt_run_hook_done (session->hook))
      start_grace (session);
    break;
  case GT_RUN_GRACE:
    if (now.ns >= session->hard.ns) {
      start_kill (session);
    } else if (now.ns >= session->next.ns) {
      session->next = GT_NEVER;
      gt_run_signal_members (session->family, session->options->signo, 0);
    }
    break;
  case GT_RUN_KILLED:
    session->survivors = now.ns >= session->give_up.ns;
    if (now.ns >= session->next.ns) {
      gt_family_kill (session->family);
      session->next = gt_instant_add (now, KILL_AGAIN_NS);
    }
    break;
  case GT_RUN_OVER:
    break;
  }
}

static GtInstant
next_instant (const GtRunSession *session)
{
  GtInstant hard
      = session->phase == GT_RUN_KILLED || session->phase == GT_RUN_HOOK ? GT_NEVER : session->hard;
  GtInstant own = session->phase == GT_RUN_RUNNING ? session->soft : session->next;
  return earlier (hard, own);
}

/* --- signals to us ---------------------------------------------------------------------------- */

static gboolean
ends_commands (int signo, int first_signo)
{
  return signo == SIGTERM || signo == SIGINT || signo == SIGQUIT || signo == SIGHUP
         || (signo == first_signo && signo != SIGCONT);
}

/* SIGALRM: the time is over now; the grace counts from now. */
static void
bring_forward (GtRunSession *session)
{
  if (session->phase != GT_RUN_RUNNING)
    return;
  GtInstant now = gt_instant_now ();
  session->soft = now;
  if (session->options->signo == SIGKILL)
    session->hard
        = earlier (session->hard,
                   gt_instant_add (now, gt_run_hook_room_ns (session->options->on_soft != NULL)));
  else if (session->options->grace_ns != GT_DURATION_NONE)
    session->hard = earlier (session->hard, gt_instant_add (now, session->options->grace_ns));
  gt_family_set_deadline (session->family, gt_instant_add (session->hard, SECOND_LINE_NS));
}

/* The command was stopped by the terminal (Ctrl-Z) or stopped itself as an editor does: so do we,
 * for the shell that waits for us to see it. SIGTSTP and not SIGSTOP: the kernel drops it where no
 * shell could ever continue us. A timer continues us at the limit, which a stop does not suspend.
 */
static void
stop_with_command (GtRunSession *session, int signo)
{
  timer_t timer;
  struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT };
  GtInstant until = next_instant (session);
  const struct itimerspec at
      = { .it_value = { until.ns / GT_NSEC_PER_SEC, until.ns % GT_NSEC_PER_SEC } };
  gboolean armed = until.ns != GT_NEVER.ns && timer_create (CLOCK_MONOTONIC, &event, &timer) == 0;
  if (armed)
    timer_settime (timer, TIMER_ABSTIME, &at, NULL);
  sigset_t stop, old;
  sigemptyset (&stop);
  sigaddset (&stop, signo);
  raise (signo);
  sigprocmask (SIG_UNBLOCK, &stop, &old); /* it stops us here */
  sigprocmask (SIG_SETMASK, &old, NULL);
  if (armed)
    timer_delete (timer);
}

/* A SIGSTOP is no affair of the shell's, but for one that Ctrl-Z found or brought about: some
 * programs tidy up at SIGTSTP and stop themselves by SIGSTOP then. */
static void
follow_stop (GtRunSession *session)
{
  int signo;
  if (!gt_family_stopped (session->family, &signo)) {
    session->was_stopped = FALSE;
    return;
  }
  gboolean by_job_control = signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
  gboolean meant = by_job_control || session->ctrl_z;
  if (session->was_stopped || !meant || session->phase != GT_RUN_RUNNING
      || !session->terminal->shared || session->terminal->fd < 0)
    return;
  session->was_stopped = TRUE;
  session->ctrl_z = FALSE;
  stop_with_command (session, by_job_control ? signo : SIGTSTP);
}

/* What the terminal sends goes to its whole foreground group, the command in it included. Who has
 * stopped itself there acts on it when it is continued, as timeout(1) does. */
static void
on_terminal_signal (GtRunSession *session, int signo)
{
  if (signo == SIGTSTP) {
    session->ctrl_z = TRUE;
    follow_stop (session);
  } else if (ends_commands (signo, 0) && !session->options->foreground) {
    send_continue (session, signo);
    gt_run_signal_members (session->family, SIGCONT, getpgrp ());
  }
}

static void
on_signal (GtRunSession *session, const struct signalfd_siginfo *info)
{
  const int signo = (int) info->ssi_signo;
  if (signo == SIGCHLD) {
    gt_family_continue_keeper (session->family);
    if (session->hook != NULL)
      gt_family_continue_keeper (session->hook);
    return;
  }
  if (signo == SIGALRM) {
    bring_forward (session);
    return;
  }
  /* Only a hangup goes to the session's leader alone. */
  gboolean hangup = signo == SIGHUP && getsid (0) == getpid ();
  if (info->ssi_code == SI_KERNEL && session->terminal->shared && !hangup) {
    on_terminal_signal (session, signo);
    return;
  }
  /* Our own affair: a pipe that nobody reads any more comes as if we had sent the signal. */
  gboolean own_pipe = signo == SIGPIPE && info->ssi_pid == (guint32) getpid ();
  if (signo == SIGTTIN || signo == SIGTTOU || own_pipe)
    return;
  /* Once, as in timeout(1): an outer limit sends it to us and to the group that we are in. */
  if (signo == session->forwarded && !session->options->foreground)
    return;
  if (signo != SIGCONT)
    say_signal (session, signo);
  send_signal (session, signo);
  if (!ends_commands (signo, session->options->signo))
    return;
  session->forwarded = signo;
  send_continue (session, signo);
  if (session->options->kill_after && session->options->grace_ns != GT_DURATION_NONE
      && session->phase == GT_RUN_RUNNING)
    session->hard
        = earlier (session->hard, gt_instant_add (gt_instant_now (), session->options->grace_ns));
}

static void
read_signals (GtRunSession *session)
{
  struct signalfd_siginfo info;
  while (read (session->signal_fd, &info, sizeof info) == (ssize_t) sizeof info)
    on_signal (session, &info);
}

/* --- the family's news ------------------------------------------------------------------------ */

static void
on_ended (GtRunSession *session)
{
  session->released = session->options->keep_descendants && !session->timed_out;
  /* The keeper kills what is left, or sets it free, without an order from us. In its grace the rest
   * of the family may use what is left of it. */
  if (session->phase < GT_RUN_GRACE)
    await_end (session);
  else if (session->next.ns != GT_NEVER.ns && gt_family_report (session->family)->leftovers > 0)
    session->next = gt_instant_now (); /* the others' signal, now */
}

static void
on_news (GtRunSession *session)
{
  switch (gt_family_poll (session->family)) {
  case GT_FAMILY_STARTING:
  case GT_FAMILY_RUNNING:
    follow_stop (session);
    break;
  case GT_FAMILY_ENDED:
    if (session->phase != GT_RUN_KILLED)
      on_ended (session);
    break;
  case GT_FAMILY_FAILED:
  case GT_FAMILY_GONE:
    session->phase = GT_RUN_OVER;
    break;
  case GT_FAMILY_LOST:
    if (session->phase != GT_RUN_KILLED)
      start_kill (session);
    break;
  }
}

static void
arm (const GtRunSession *session)
{
  GtInstant at = next_instant (session);
  struct itimerspec timer = { .it_value = { at.ns / GT_NSEC_PER_SEC, at.ns % GT_NSEC_PER_SEC } };
  if (at.ns == GT_NEVER.ns)
    timer.it_value = (struct timespec){ 0 };
  else if (at.ns <= 0) /* zero would disarm it */
    timer.it_value.tv_nsec = 1;
  timerfd_settime (session->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

void
gt_run_session_wait (GtRunSession *session)
{
  while (session->phase != GT_RUN_OVER && !session->survivors) {
    guint64 ticks;
    arm (session);
    struct pollfd fds[] = {
      { .fd = session->signal_fd, .events = POLLIN },
      { .fd = session->timer_fd, .events = POLLIN },
      { .fd = gt_family_fd (session->family), .events = POLLIN },
      { .fd = session->hook != NULL ? gt_family_fd (session->hook) : -1, .events = POLLIN },
    };
    if (poll (fds, G_N_ELEMENTS (fds), -1) < 0)
      continue;
    if (fds[1].revents != 0)
      (void) !read (session->timer_fd, &ticks, sizeof ticks);
    /* News before the clock: a command that ended by itself before we looked was in time. */
    on_news (session);
    read_signals (session);
    if (session->phase != GT_RUN_OVER)
      step (session);
  }
}
