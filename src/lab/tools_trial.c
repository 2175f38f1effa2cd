#include "lab/tools_trial.h"

#include "lab/error.h"
#include "os/census.h"
#include "os/family.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The limit of cases in which the tool's is not to fire. */
#define LONG_LIMIT_S   30
#define END_LIMIT_NS   (10 * GT_NSEC_PER_SEC)
#define START_LIMIT_NS (5 * GT_NSEC_PER_SEC)
/* A survivor's end, or the tool's own helpers', is not announced. */
#define RECOUNT_MS 10

/* Where the launcher writes the time of the tool's execve(). */
enum { START_FD = 3, SAID_LIMIT = 200, CENSUS_PASSES = 10 };

/* One tool under way. */
typedef struct {
  const GtToolBench *bench;
  const GtTool *tool;       /* NULL = none */
  const GtToolCase *tested; /* NULL = it only starts */
  GtToolTrial *trial;
  GtFamily *family;
  char *report_path;
  int report_fd; /* -1 = at its end */
  int output_fd; /* -1 = at its end */
  int start_fd;  /* -1 = at its end */
  gint64 spawned_ns;
  GString *output;
} Watch;

static gint64
setting_ns (const Watch *w, GtToolSetting setting)
{
  return gt_tool_setting_ns (w->bench->settings, setting);
}

static int
shell_code (int status)
{
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

/* --- command lines -------------------------------------------------------------------------- */

/* The command of the case, without the tool. */
static char **
command_of (const Watch *w)
{
  const GtToolCase *tested = w->tested;
  if (tested != NULL && tested->promise == GT_TOOL_FINDS_NOTHING) {
    char *missing = g_build_filename (w->bench->dir, "no-such-command", NULL);
    char **argv = g_strdupv ((char *[]){ missing, NULL });
    g_free (missing);
    return argv;
  }
  if (tested != NULL && tested->promise == GT_TOOL_CANNOT_EXECUTE)
    return g_strdupv ((char *[]){ (char *) w->bench->no_program, NULL });
  int code = tested != NULL ? tested->number : 0;
  g_autofree char *number = g_strdup_printf ("%d", code >= 128 ? code - 128 : code);
  return g_strdupv ((char *[]){ (char *) w->bench->program, w->report_path,
                                (char *) (tested != NULL ? tested->act : "exit"), number, NULL });
}

static char **
under_tool (const Watch *w, double seconds, char **command)
{
  const GtToolBench *bench = w->bench;
  if (w->tested != NULL && w->tested->drive == GT_TOOL_NESTED) {
    char **inner
        = gt_tool_argv (w->tool, &bench->places, LONG_LIMIT_S, (const char *const *) command);
    g_strfreev (command);
    command = inner;
  }
  char **argv = gt_tool_argv (w->tool, &bench->places, seconds, (const char *const *) command);
  g_strfreev (command);
  return argv;
}

/* Everything: launcher, tool (NULL = none), command. */
static char **
argv_of (const Watch *w, double seconds)
{
  char **command = command_of (w);
  g_auto (GStrv) measured = w->tool != NULL ? under_tool (w, seconds, command) : command;
  g_autofree char *fd = g_strdup_printf ("%d", START_FD);
  g_autoptr (GStrvBuilder) argv = g_strv_builder_new ();
  g_strv_builder_add_many (argv, w->bench->program, "exec", fd, NULL);
  g_strv_builder_addv (argv, (const char **) measured);
  return g_strv_builder_end (argv);
}

/* --- start and end -------------------------------------------------------------------------- */

static gboolean
open_report (Watch *w, GError **error)
{
  w->report_path = g_build_filename (w->bench->dir, "report", NULL);
  unlink (w->report_path);
  if (mkfifo (w->report_path, 0600) == 0)
    w->report_fd = open (w->report_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (w->report_fd >= 0)
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s", w->report_path,
               g_strerror (errno));
  return FALSE;
}

static gboolean
start (Watch *w, double seconds, GError **error)
{
  int output[2], starts[2];
  if (!open_report (w, error) || !g_unix_open_pipe (output, FD_CLOEXEC, error))
    return FALSE;
  w->output_fd = output[0];
  g_unix_set_fd_nonblocking (w->output_fd, TRUE, NULL);
  if (!g_unix_open_pipe (starts, FD_CLOEXEC, error)) {
    close (output[1]);
    return FALSE;
  }
  w->start_fd = starts[0];
  g_unix_set_fd_nonblocking (w->start_fd, TRUE, NULL);
  g_auto (GStrv) argv = argv_of (w, seconds);
  g_auto (GStrv) env = g_environ_setenv (g_get_environ (), "GILOTINE_MARK", w->bench->mark, TRUE);
  const GtFdMap fds[]
      = { { output[1], STDOUT_FILENO }, { output[1], STDERR_FILENO }, { starts[1], START_FD } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = (const char *const *) argv;
  spec.env = (const char *const *) env;
  spec.cwd = w->bench->dir;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  spec.domain = GT_DOMAIN_SUBREAPER;
  spec.command_end = GT_COMMAND_END_HOLD;
  w->spawned_ns = gt_instant_now ().ns;
  w->family = gt_family_spawn (&spec, error);
  close (output[1]);
  close (starts[1]);
  return w->family != NULL;
}

/* The last line that is not empty, as far as it is text. */
static char *
last_line (const GString *output)
{
  g_autofree char *valid = g_utf8_make_valid (output->str, (gssize) output->len);
  g_auto (GStrv) lines = g_strsplit (valid, "\n", -1);
  for (guint i = g_strv_length (lines); i-- > 0;)
    if (*g_strstrip (lines[i]) != '\0')
      return g_utf8_substring (lines[i], 0, MIN (g_utf8_strlen (lines[i], -1), SAID_LIMIT));
  return NULL;
}

static gboolean
finish (Watch *w, gboolean ok, GError **error)
{
  g_autoptr (GError) cause = NULL;
  if (w->family != NULL
      && !gt_family_end (w->family, gt_instant_add (gt_instant_now (), END_LIMIT_NS), &cause)
      && ok) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER, "%s", cause->message);
    ok = FALSE;
  }
  gt_family_free (w->family);
  if (w->report_fd >= 0)
    close (w->report_fd);
  if (w->output_fd >= 0)
    close (w->output_fd);
  if (w->start_fd >= 0)
    close (w->start_fd);
  if (w->report_path != NULL)
    unlink (w->report_path);
  g_free (w->report_path);
  g_string_free (w->output, TRUE);
  return ok;
}

/* --- watching ------------------------------------------------------------------------------- */

/* TRUE when the other end has gone for good. */
static gboolean
drain (int fd, GString *into)
{
  char block[4096];
  for (;;) {
    ssize_t got = read (fd, block, sizeof block);
    if (got > 0)
      g_string_append_len (into, block, got);
    else if (got == 0 || errno != EINTR)
      return got == 0;
  }
}

static void
on_report (Watch *w, short events)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gint64 now_ns = gt_instant_now ().ns;
  /* Before the first writer has come, read() answers "end" too; poll() does not. */
  if (drain (w->report_fd, text) && (events & POLLHUP) != 0) {
    w->trial->dead_ns = now_ns;
    close (w->report_fd);
    w->report_fd = -1;
  }
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    gint64 at_ns = strlen (*line) > 2 ? g_ascii_strtoll (*line + 2, NULL, 10) : 0;
    if (**line == 'b' && w->trial->begin_ns == 0)
      w->trial->begin_ns = at_ns;
    if (**line == 'r')
      w->trial->ready_ns = at_ns;
  }
}

static void
on_start (Watch *w)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gboolean end = drain (w->start_fd, text);
  if (text->len > 2)
    w->trial->start_ns = g_ascii_strtoll (text->str + 2, NULL, 10);
  if (!end)
    return;
  close (w->start_fd);
  w->start_fd = -1;
}

static void
on_output (Watch *w)
{
  gint64 now_ns = gt_instant_now ().ns;
  if (w->output->len > (1u << 16))
    g_string_truncate (w->output, 0);
  if (drain (w->output_fd, w->output)) {
    w->trial->piped_ns = now_ns;
    close (w->output_fd);
    w->output_fd = -1;
  }
}

static void
on_family (Watch *w)
{
  int status;
  gt_family_poll (w->family);
  if (w->trial->told_ns == 0 && gt_family_ended (w->family, &status)) {
    w->trial->told_ns = gt_family_report (w->family)->ended_ns;
    w->trial->code = shell_code (status);
  }
}

/* The one signal that a case sends to the tool. */
static gboolean
drive (Watch *w, GError **error)
{
  if (w->trial->signal_ns != 0 || w->trial->ready_ns == 0
      || (w->tested->drive != GT_TOOL_KILL && w->tested->drive != GT_TOOL_TERMINATE))
    return TRUE;
  w->trial->signal_ns = gt_instant_now ().ns;
  return gt_family_signal (w->family, w->tested->drive == GT_TOOL_KILL ? SIGKILL : SIGTERM, FALSE,
                           error);
}

/* Everything in the family but its root that is not dead. */
static int
count_alive (const Watch *w, GError **error)
{
  g_autoptr (GtCensus) census = gt_census_new (NULL, error);
  if (census == NULL)
    return -1;
  const GtCensusRoot root = { .pid = gt_family_root_pid (w->family) };
  const GtCensusOptions options = { .roots = &root, .n_roots = 1 };
  const GtCensusResult *seen = gt_census_take (census, &options, error);
  if (seen == NULL)
    return -1;
  int alive = 0;
  for (gsize i = 0; i < seen->n_processes; i++)
    alive += seen->processes[i].pid != root.pid && !seen->processes[i].zombie;
  return alive;
}

/* Whether somebody of the command lives by the word of the kernel: only the command and who it
 * started can write to the report. */
static gboolean
report_is_held (Watch *w)
{
  struct pollfd fd = { .fd = w->report_fd, .events = POLLIN };
  if (w->report_fd >= 0 && poll (&fd, 1, 0) > 0)
    on_report (w, fd.revents);
  return w->report_fd >= 0 && w->trial->begin_ns != 0;
}

/* A pass through /proc misses a chain whose every link lives for a moment: then who holds the
 * report decides, and a few more passes say how many they are. -1 and `error`. */
static int
count_survivors (Watch *w, GError **error)
{
  int alive = 0;
  for (int pass = 0; pass < CENSUS_PASSES && alive == 0; pass++) {
    gboolean held = report_is_held (w);
    alive = count_alive (w, error);
    if (!held)
      return alive;
  }
  return alive != 0 ? alive : report_is_held (w);
}

/* When the tool has not come back by then, it hangs. */
static gint64
patience_end_ns (const Watch *w)
{
  const GtToolTrial *trial = w->trial;
  gint64 from_ns = MAX (w->spawned_ns, MAX (trial->signal_ns, trial->start_ns));
  if (gt_tool_case_times_out (w->tested))
    from_ns += trial->limit_ns;
  from_ns += (gint64) (w->tool->grace * (double) GT_NSEC_PER_SEC);
  return from_ns + setting_ns (w, GT_TOOL_SETTING_PATIENCE);
}

/* Whether there is nothing more to wait for; then survivors is final. *next_ns: when to look again
 * if nothing happens until then. */
static gboolean
is_over (Watch *w, gint64 *next_ns, GError **error)
{
  GtToolTrial *trial = w->trial;
  gint64 now_ns = gt_instant_now ().ns;
  gboolean told = trial->told_ns != 0;
  gint64 end_ns
      = told ? trial->told_ns + setting_ns (w, GT_TOOL_SETTING_SETTLE) : patience_end_ns (w);
  *next_ns = end_ns;
  if (now_ns < end_ns && (!told || (w->report_fd >= 0 && trial->begin_ns != 0)))
    return FALSE;
  trial->survivors = count_survivors (w, error);
  trial->over_ns = gt_instant_now ().ns;
  if (trial->survivors < 0 || now_ns >= end_ns)
    return TRUE;
  *next_ns = MIN (end_ns, now_ns + RECOUNT_MS * GT_NSEC_PER_MSEC);
  return trial->survivors == 0 && w->output_fd < 0;
}

static gboolean
wait_for_news (Watch *w, gint64 until_ns, GError **error)
{
  struct pollfd fds[] = {
    { .fd = w->bench->stop->fd, .events = POLLIN },
    { .fd = gt_family_fd (w->family), .events = POLLIN },
    { .fd = w->report_fd, .events = POLLIN },
    { .fd = w->output_fd, .events = POLLIN },
    { .fd = w->start_fd, .events = POLLIN },
  };
  if (poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms ((GtInstant){ until_ns })) < 0
      && errno != EINTR) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "poll: %s", g_strerror (errno));
    return FALSE;
  }
  if (fds[0].revents != 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
    return FALSE;
  }
  if (fds[2].revents != 0)
    on_report (w, fds[2].revents);
  if (fds[3].revents != 0)
    on_output (w);
  if (fds[4].revents != 0)
    on_start (w);
  on_family (w);
  return TRUE;
}

static gboolean
watch (Watch *w, GError **error)
{
  gint64 next_ns;
  on_family (w);
  while (!is_over (w, &next_ns, error))
    if (!wait_for_news (w, next_ns, error) || !drive (w, error))
      return FALSE;
  return w->trial->survivors >= 0;
}

static Watch
watch_new (const GtToolBench *bench, const GtTool *tool, const GtToolCase *tested,
           GtToolTrial *trial)
{
  return (Watch){ .bench = bench,
                  .tool = tool,
                  .tested = tested,
                  .trial = trial,
                  .report_fd = -1,
                  .output_fd = -1,
                  .start_fd = -1,
                  .output = g_string_new (NULL) };
}

gboolean
gt_tool_trial_run (const GtToolBench *bench, const GtTool *tool, const GtToolCase *tested,
                   GtToolTrial *trial, GError **error)
{
  Watch w = watch_new (bench, tool, tested, trial);
  double seconds = gt_tool_case_times_out (tested) ? tool->seconds : (double) LONG_LIMIT_S;
  *trial = (GtToolTrial){ .tested = tested,
                          .limit_ns = (gint64) (seconds * (double) GT_NSEC_PER_SEC),
                          .code = -1 };
  gboolean ok = start (&w, seconds, error) && watch (&w, error);
  trial->said = last_line (w.output);
  return finish (&w, ok, error);
}

gboolean
gt_tool_start_time (const GtToolBench *bench, const GtTool *tool, gint64 *ns, int *code,
                    char **said, GError **error)
{
  GtToolTrial trial = { .code = -1 };
  Watch w = watch_new (bench, tool, NULL, &trial);
  gboolean ok = start (&w, LONG_LIMIT_S, error);
  gint64 end_ns = w.spawned_ns + START_LIMIT_NS;
  if (ok)
    on_family (&w);
  while (ok && (trial.told_ns == 0 || trial.start_ns == 0) && gt_instant_now ().ns < end_ns)
    ok = wait_for_news (&w, end_ns, error);
  if (ok && w.output_fd >= 0)
    on_output (&w);
  *ns = trial.told_ns - trial.start_ns;
  *code = (int) trial.code;
  if (said != NULL)
    *said = last_line (w.output);
  return finish (&w, ok, error);
}
