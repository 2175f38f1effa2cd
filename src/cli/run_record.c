#include "cli/run_record.h"

#include "cli/target.h"
#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A copy of our own: the command keeps standard output and error, and no other descriptor passes to
 * it. */
static gboolean
take_fd (GtRunReport *report, int fd, GError **error)
{
  report->fd = gt_target_dup (fd, error);
  if (report->fd >= 0 && fd > STDERR_FILENO)
    (void) fcntl (fd, F_SETFD, FD_CLOEXEC);
  return report->fd >= 0;
}

static int
fd_of (const char *target)
{
  guint64 fd;
  return g_ascii_string_to_unsigned (target, 10, 0, G_MAXINT, &fd, NULL)
             ? (int) fd
             : gt_target_own_fd (target);
}

static gboolean
open_target (GtRunReport *report, const char *target, GtInstant until, GError **error)
{
  struct stat st;
  if (fd_of (target) >= 0)
    return take_fd (report, fd_of (target), error);
  gboolean exists = lstat (target, &st) == 0;
  if (exists && S_ISDIR (st.st_mode))
    return gt_os_fail (error, EISDIR, "%s", target);
  /* A device, a pipe or a link is written to: replacing its name would be a disaster. */
  if (exists && !S_ISREG (st.st_mode)) {
    report->fd = gt_target_open (target, until, error);
    return report->fd >= 0;
  }
  report->mode = exists ? (int) (st.st_mode & 0777) : -1;
  g_autofree char *folder = g_path_get_dirname (target);
  return access (folder, W_OK | X_OK) == 0 || gt_os_fail (error, errno, "folder %s", folder);
}

gboolean
gt_run_report_open (GtRunReport *report, const char *target, GtInstant until, GError **error)
{
  *report = (GtRunReport){ .target = target, .fd = -1 };
  if (target != NULL && *target == '\0')
    return gt_os_fail (error, ENOENT, "--report");
  if (target == NULL || open_target (report, target, until, error))
    return TRUE;
  g_prefix_error (error, "--report: ");
  return FALSE;
}

static gint64
or_unknown (gint64 ns)
{
  return ns != 0 ? ns : -1;
}

void
gt_run_record_family (GtOutcomeRecord *record, const GtFamily *family)
{
  const GtFamilyReport *report = gt_family_report (family);
  int wait_status;
  if (gt_family_ended (family, &wait_status)) {
    record->exit_code = WIFEXITED (wait_status) ? WEXITSTATUS (wait_status) : -1;
    record->signal = WIFSIGNALED (wait_status) ? WTERMSIG (wait_status) : -1;
  }
  record->started_ns = or_unknown (report->started_ns);
  record->dead_ns = or_unknown (report->ended_ns);
  record->reaped_ns
      = gt_family_state (family) == GT_FAMILY_GONE ? or_unknown (report->gone_ns) : -1;
  record->cpu_ns = report->cpu_ns;
  record->peak_memory_bytes = (gint64) report->peak_memory_bytes;
  record->peak_memory_by = gt_meter_name (report->peak_memory_by);
  record->oom_count = (gint64) report->oom_count;
  record->leftovers = (gint64) report->leftovers;
  record->descendants_killed = (gint64) report->descendants_killed;
  record->was_stopped = report->was_stopped;
  record->domain = gt_domain_name (report->domain);
}

static gboolean
write_all (int fd, const char *text, gsize length, GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t written = write (fd, text + done, length - done);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return gt_os_fail (error, errno, "--report: the record could not be written");
    done += (gsize) written;
  }
  return TRUE;
}

gboolean
gt_run_report_text (const GtRunReport *report, const char *json, GError **error)
{
  g_autofree char *line = g_strconcat (json, "\n", NULL);
  if (report->fd >= 0)
    return write_all (report->fd, line, strlen (line), error);
  if (!g_file_set_contents_full (report->target, line, (gssize) strlen (line),
                                 G_FILE_SET_CONTENTS_CONSISTENT,
                                 report->mode >= 0 ? report->mode : 0666, error))
    return FALSE;
  return report->mode < 0 || chmod (report->target, (mode_t) report->mode) == 0
         || gt_os_fail (error, errno, "--report: the permissions of %s", report->target);
}

gboolean
gt_run_report_write (const GtRunReport *report, GtOutcomeRecord *record, GError **error)
{
  if (report->target == NULL)
    return TRUE;
  record->told_ns = gt_instant_now ().ns;
  gt_outcome_record_finish (record);
  g_autofree char *json = gt_outcome_record_json (record);
  return gt_run_report_text (report, json, error);
}
