#include "cli/run_members.h"

#include "os/census.h"
#include "os/pidfd.h"

#include <signal.h>
#include <unistd.h>

static gboolean
same_process (const GtProcess *process)
{
  char path[64];
  g_autofree char *text = NULL;
  gsize length;
  GtProcStat stat;
  g_snprintf (path, sizeof path, "/proc/%d/stat", (int) process->pid);
  return g_file_get_contents (path, &text, &length, NULL)
         && gt_proc_parse_stat (text, length, &stat) && stat.start_ticks == process->start_ticks;
}

/* The handle first, then the look whether it is still the process of the census: its number may
 * have passed on in between. */
static gboolean
signal_process (const GtProcess *process, int signo)
{
  int fd = gt_pidfd_open (process->pid);
  if (fd < 0)
    return FALSE;
  gboolean sent = same_process (process) && gt_pidfd_signal (fd, signo);
  if (sent && signo != SIGKILL && signo != SIGCONT)
    gt_pidfd_signal (fd, SIGCONT);
  close (fd);
  return sent;
}

/* Living members below the keeper, the command among them. The result belongs to the census. */
static const GtCensusResult *
look (GtCensus *census, const GtFamily *family)
{
  const GtCensusRoot root = { .pid = gt_family_root_pid (family) };
  const GtCensusOptions options = { .roots = &root, .n_roots = 1, .flags = GT_CENSUS_NOT_SELF };
  return census != NULL ? gt_census_take (census, &options, NULL) : NULL;
}

static gboolean
is_living_member (const GtProcess *process, const GtFamily *family)
{
  return process->pid != gt_family_root_pid (family) && !process->zombie;
}

guint
gt_run_signal_members (const GtFamily *family, int signo, pid_t group)
{
  g_autoptr (GtCensus) census = gt_census_new (NULL, NULL);
  const GtCensusResult *seen = look (census, family);
  guint sent = 0;
  for (gsize i = 0; seen != NULL && i < seen->n_processes; i++) {
    const GtProcess *process = &seen->processes[i];
    if (is_living_member (process, family) && process->pid != gt_family_command_pid (family)
        && (group == 0 || process->pgrp == group) && signal_process (process, signo))
      sent++;
  }
  return sent;
}

char *
gt_run_name_members (const GtFamily *family)
{
  g_autoptr (GtCensus) census = gt_census_new (NULL, NULL);
  const GtCensusResult *seen = look (census, family);
  GString *names = g_string_new (NULL);
  for (gsize i = 0; seen != NULL && i < seen->n_processes; i++)
    if (is_living_member (&seen->processes[i], family))
      g_string_append_printf (names, "%s%s (process %d)", names->len > 0 ? ", " : "",
                              seen->processes[i].comm, (int) seen->processes[i].pid);
  return g_string_free (names, FALSE);
}
