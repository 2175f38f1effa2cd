#include "lab/role.h"

#include <string.h>

gboolean
gt_role_is_helper (const char *cmdline, gint64 parent_pid, gint64 subject_pid, gint64 root_pid)
{
  if (cmdline == NULL)
    return FALSE;
  if (strstr (cmdline, "multiprocessing.resource_tracker") != NULL)
    return TRUE;
  return strstr (cmdline, "multiprocessing.forkserver") != NULL
         && (parent_pid == subject_pid || parent_pid == root_pid);
}
