/* gilotine run: timeout(1) whose limit holds for the whole family. */
#include "cli/cmd.h"
#include "cli/run_hook.h"
#include "cli/run_members.h"
#include "cli/run_session.h"
#include "deadline/limits.h"
#include "os/error.h"
#include "os/parse.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The shortest slice the scheduler accepts: under load the timer is served within a tick and not
 * behind everybody's. Ours alone: set after the keeper was started. */
#define OWN_SLICE_NS 100000

typedef struct {
  GtRunOptions options;
  GtRunReport report;
  GtOutcomeRecord record;
} Run;

static int
refuse (Run *run, const char *message)
{
  fprintf (stderr, "gilotine run: %s\n", message);
  run->record.outcome = GT_OUTCOME_REFUSED;
  run->record.reason = GT_REASON_REFUSED;
  run->record.message = g_strdup (message);
  return GT_RUN_FAILED;
}

/* --- limits ----------------------------------------------------------------------------------- */

/* First signal and kill as instants; an outer run's deadline bounds both. */
static gboolean
set_limits (const GtRunOptions *options, GtRunSession *session, GError **error)
{
  GtInstant inherited;
  GtInstant now = gt_instant_now ();
  if (!gt_limits_inherited (getenv (GT_DEADLINE_ENV), &inherited, error))
    return FALSE;
  session->soft = session->hard = GT_NEVER;
  if (options->duration_ns != GT_DURATION_NONE)
    session->soft = gt_instant_add (now, options->duration_ns);
  if (options->signo == SIGKILL)
    session->hard = gt_instant_add (session->soft, gt_run_hook_room_ns (options->on_soft != NULL));
  else if (options->grace_ns != GT_DURATION_NONE)
    session->hard = gt_instant_add (session->soft, options->grace_ns);
  if (inherited.ns < session->hard.ns)
    session->hard = inherited;
  if (session->hard.ns < session->soft.ns)
    session->soft = session->hard;
  return TRUE;
}

/* As in linux/sched/types.h, which cannot be included beside sched.h. */
typedef struct {
  guint32 size, policy;
  guint64 flags;
  gint32 nice;
  guint32 priority;
  guint64 runtime, deadline, period;
  guint32 util_min, util_max;
} SchedAttr;

static void
be_prompt (void)
{
  SchedAttr attr = { .size = sizeof attr };
  if (syscall (SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0)
    return;
  attr.runtime = OWN_SLICE_NS; /* ignored by kernels before EEVDF */
  (void) syscall (SYS_sched_setattr, 0, &attr, 0);
}

/* --- what it came to ---------------------------------------------------------------------------
 */

static void
set_outcome (GtOutcomeRecord *record, GtOutcome outcome, GtReason reason)
{
  record->outcome = outcome;
  record->reason = reason;
}

static int
command_status (const GtRunSession *session)
{
  int status;
  if (!gt_family_ended (session->family, &status))
    return GT_RUN_SIGNALED + SIGKILL;
  if (WCOREDUMP (status))
    fputs ("gilotine run: the monitored command dumped core\n", stderr);
  return WIFSIGNALED (status) ? GT_RUN_SIGNALED + WTERMSIG (status) : WEXITSTATUS (status);
}

static int
judge_start (Run *run, const GtRunSession *session)
{
  const int error = gt_family_start_errno (session->family);
  g_autofree char *command = gt_run_quote (run->options.command[0]);
  g_autoptr (GError) why = NULL;
  gt_family_start_error (session->family, &why);
  if (error == 0 || g_error_matches (why, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE))
    return refuse (run, why->message);
  run->record.message
      = g_strdup_printf ("failed to run command %s: %s", command, g_strerror (error));
  fprintf (stderr, "gilotine run: %s\n", run->record.message);
  set_outcome (&run->record, GT_OUTCOME_LOST, GT_REASON_START);
  return error == ENOENT ? GT_RUN_NOT_FOUND : GT_RUN_CANNOT_EXEC;
}

static int
judge_survivors (Run *run, const GtRunSession *session)
{
  g_autoptr (GError) why = NULL;
  if (gt_family_end (session->family, gt_instant_now (), &why))
    return -1; /* in the last moment */
  g_autofree char *names = gt_run_name_members (session->family);
  run->record.message = *names != '\0' ? g_strdup_printf ("killed, but not dead: left: %s", names)
                                       : g_strdup (why->message);
  fprintf (stderr, "gilotine run: %s\n", run->record.message);
  set_outcome (&run->record, GT_OUTCOME_UNDEAD,
               session->timed_out ? GT_REASON_DEADLINE_HARD : GT_REASON_EXIT);
  return GT_RUN_FAILED;
}

/* A limit of the family other than its time; -1 when none was reached. */
static int
judge_limits (Run *run, const GtRunSession *session)
{
  static const struct {
    GtFamilyCause cause;
    GtOutcome outcome;
    GtReason reason;
    const char *what;
  } rows[] = {
    { GT_FAMILY_CAUSE_MEMORY, GT_OUTCOME_OUT_OF_MEMORY, GT_REASON_MEMORY, "memory" },
    { GT_FAMILY_CAUSE_CPU, GT_OUTCOME_OVER_LIMIT, GT_REASON_CPU, "CPU time" },
    { GT_FAMILY_CAUSE_PROCESSES, GT_OUTCOME_OVER_LIMIT, GT_REASON_PROCESSES, "processes" },
  };
  const GtFamilyReport *report = gt_family_report (session->family);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (rows[i].cause == report->cause) {
      set_outcome (&run->record, rows[i].outcome, rows[i].reason);
      g_autofree char *command = gt_run_quote (run->options.command[0]);
      /* A limit of CPU time can be found passed in the last account only. */
      gboolean ended = report->cause == GT_FAMILY_CAUSE_CPU && run->record.exit_code >= 0;
      fprintf (stderr, "gilotine run: %s reached its limit of %s: %s\n", command, rows[i].what,
               ended ? "it had ended by itself" : "the family was killed");
      clearerr (stderr); /* the code says it as well: with nobody to tell it stays what it is */
      return gt_outcome_info (rows[i].outcome)->exit_code;
    }
  return -1;
}

static int
judge_timeout (Run *run, const GtRunSession *session)
{
  int status = command_status (session);
  gboolean by_kill = status == GT_RUN_SIGNALED + SIGKILL;
  if (by_kill)
    set_outcome (&run->record, GT_OUTCOME_HARD_TIMEOUT, GT_REASON_DEADLINE_HARD);
  else
    set_outcome (&run->record, GT_OUTCOME_SOFT_TIMEOUT, GT_REASON_DEADLINE_SOFT);
  return by_kill || run->options.preserve_status ? status : GT_RUN_TIMED_OUT;
}

static int
judge_end (Run *run, const GtRunSession *session)
{
  int status = command_status (session);
  if (session->forwarded != 0 && status == GT_RUN_SIGNALED + session->forwarded)
    set_outcome (&run->record, GT_OUTCOME_CANCELLED, GT_REASON_CANCELLED);
  else if (status > GT_RUN_SIGNALED && run->record.signal > 0)
    set_outcome (&run->record, GT_OUTCOME_DIED, GT_REASON_SIGNAL);
  else
    set_outcome (&run->record, status == 0 ? GT_OUTCOME_VALUE : GT_OUTCOME_ERROR, GT_REASON_EXIT);
  return status;
}

static int
judge (Run *run, const GtRunSession *session)
{
  if (gt_family_state (session->family) == GT_FAMILY_FAILED)
    return judge_start (run, session);
  run->record.killed_ns = session->killed_ns != 0 ? session->killed_ns : -1;
  run->record.interrupted_ns = session->interrupted_ns != 0 ? session->interrupted_ns : -1;
  int code = session->survivors ? judge_survivors (run, session) : -1;
  gt_run_record_family (&run->record, session->family);
  if (code < 0)
    code = judge_limits (run, session);
  if (code >= 0)
    return code;
  /* The keeper's second line: we were stopped, or too late. */
  gboolean second_line = gt_family_report (session->family)->cause == GT_FAMILY_CAUSE_DEADLINE;
  return session->timed_out || second_line ? judge_timeout (run, session)
                                           : judge_end (run, session);
}

/* --- the run ------------------------------------------------------------------------------------
 */

static int
run_command (Run *run, GtRunInherited *inherited, GtRunTerminal *terminal)
{
  g_auto (GtRunSession) session = {
    .options = &run->options,
    .inherited = inherited,
    .terminal = terminal,
    .signal_fd = -1,
    .timer_fd = -1,
  };
  g_autoptr (GError) error = NULL;
  run->record.queued_ns = gt_instant_now ().ns;
  if (!set_limits (&run->options, &session, &error))
    return refuse (run, error->message);
  gt_run_set_deadline (inherited, session.hard);
  if (!gt_run_session_start (&session, &error))
    return refuse (run, error->message);
  gt_run_close_inherited (inherited);
  be_prompt ();
  gt_run_session_wait (&session);
  int code = judge (run, &session);
  if (session.soft.ns != GT_NEVER.ns)
    run->record.soft_ns = session.soft.ns;
  if (session.hard.ns != GT_NEVER.ns)
    run->record.asked_ns = session.hard.ns;
  gt_run_terminal_restore (terminal, session.killed || run->record.signal > 0);
  return code;
}

/* As timeout(1): whoever waits for us sees the signal itself, and a shell script ends at Ctrl-C.
 * Not after a time-out, which is told by its code. */
static gboolean
dies_by_signal (const Run *run)
{
  return run->record.outcome == GT_OUTCOME_DIED || run->record.outcome == GT_OUTCOME_CANCELLED;
}

/* A report that is not read must not hold up the limit: it is opened before. */
static GtInstant
report_until (const GtRunOptions *options)
{
  return options->duration_ns != GT_DURATION_NONE
             ? gt_instant_add (gt_instant_now (), options->duration_ns)
             : GT_NEVER;
}

int
gt_cmd_run (int argc, char **argv)
{
  Run run = { 0 };
  g_autoptr (GError) error = NULL;
  g_auto (GtRunInherited) inherited = { 0 };
  GtRunTerminal terminal;
  int code;
  if (!gt_run_options_parse (&run.options, argc, argv, &code))
    return code;
  if (!gt_run_report_open (&run.report, run.options.report, report_until (&run.options), &error)) {
    fprintf (stderr, "gilotine run: %s\n", error->message);
    return GT_RUN_FAILED;
  }
  gt_outcome_record_init (&run.record);
  gt_run_inherit (&inherited, run.options.signo, run.report.fd);
  gt_run_terminal_open (&terminal, run.options.foreground);
  code = run_command (&run, &inherited, &terminal);
  if (!gt_run_report_write (&run.report, &run.record, &error)) {
    fprintf (stderr, "gilotine run: %s\n", error->message);
    code = GT_RUN_FAILED;
  } else if (dies_by_signal (&run))
    gt_run_die_by ((int) run.record.signal);
  gt_outcome_record_clear (&run.record);
  return code;
}
