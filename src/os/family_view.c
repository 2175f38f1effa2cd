/* What can be read of a family without asking anybody. */
#include "os/error.h"
#include "os/family_private.h"

#include <errno.h>

#define NAMES(X)                                                                                   \
  X (STARTING, "starting")                                                                         \
  X (RUNNING, "running") X (FAILED, "failed") X (ENDED, "ended") X (GONE, "gone") X (LOST, "lost")

const char *
gt_family_state_name (GtFamilyState state)
{
  static const char *const names[] = {
#define X(id, name) [GT_FAMILY_##id] = (name),
    NAMES (X)
#undef X
  };
  return names[state];
}

const char *
gt_family_cause_name (GtFamilyCause cause)
{
  static const char *const names[] = {
#define X(id, name) [GT_FAMILY_CAUSE_##id] = (name),
    GT_FAMILY_CAUSES (X)
#undef X
  };
  return cause < GT_N_FAMILY_CAUSES ? names[cause] : "none";
}

const char *
gt_meter_name (GtMeter meter)
{
  static const char *const names[] = {
#define X(id, name) [GT_METER_##id] = (name),
    GT_METERS (X)
#undef X
  };
  return meter < GT_N_METERS ? names[meter] : "none";
}

const char *
gt_command_end_name (GtCommandEnd command_end)
{
  static const char *const names[] = {
#define X(id, name) [GT_COMMAND_END_##id] = (name),
    GT_COMMAND_ENDS (X)
#undef X
  };
  return command_end < GT_N_COMMAND_ENDS ? names[command_end] : "kill";
}

pid_t
gt_family_root_pid (const GtFamily *family)
{
  return family->keeper_pid;
}

pid_t
gt_family_command_pid (const GtFamily *family)
{
  return family->command_pid;
}

int
gt_family_fd (const GtFamily *family)
{
  return family->epoll_fd;
}

GtFamilyState
gt_family_state (const GtFamily *family)
{
  return family->state;
}

gboolean
gt_family_ended (const GtFamily *family, int *wait_status)
{
  if (family->ended && wait_status != NULL)
    *wait_status = family->wait_status;
  return family->ended;
}

gboolean
gt_family_stopped (const GtFamily *family, int *signo)
{
  if (family->stopped && signo != NULL)
    *signo = family->stop_signal;
  return family->stopped;
}

int
gt_family_start_errno (const GtFamily *family)
{
  return family->exec_errno;
}

gboolean
gt_family_start_error (const GtFamily *family, GError **error)
{
  if (family->refused) {
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE, "domain %s: %s",
                 gt_domain_name (family->report.domain), g_strerror (family->exec_errno));
    return FALSE;
  }
  int code = family->exec_errno == ENOENT ? GT_OS_ERROR_COMMAND_NOT_FOUND
                                          : GT_OS_ERROR_COMMAND_NOT_EXECUTABLE;
  if (family->exec_errno == 0)
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM,
                 "%s: gilotine-init ended before it started it", family->exec_what);
  else
    g_set_error (error, GT_OS_ERROR, code, "%s: %s", family->exec_what,
                 g_strerror (family->exec_errno));
  return FALSE;
}

const GtFamilyReport *
gt_family_report (const GtFamily *family)
{
  return &family->report;
}
