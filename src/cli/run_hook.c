#include "cli/run_hook.h"

#include <stdio.h>
#include <unistd.h>

#define WITHOUT_KILL_NS GT_NSEC_PER_SEC

GtInstant
gt_run_hook_limit (GtInstant hard)
{
  GtInstant now = gt_instant_now ();
  gint64 left_ns = gt_instant_until (now, hard);
  return gt_instant_add (now, left_ns == G_MAXINT64 ? WITHOUT_KILL_NS : left_ns / 2);
}

gint64
gt_run_hook_room_ns (gboolean has_hook)
{
  return has_hook ? 2 * WITHOUT_KILL_NS : 0;
}

GtFamily *
gt_run_hook_start (const char *command, const GtRunInherited *inherited, pid_t late_pid,
                   GtInstant until)
{
  char pid[32];
  g_snprintf (pid, sizeof pid, "%d", (int) late_pid);
  g_auto (GStrv) hook_env
      = g_environ_setenv (g_strdupv (inherited->env), "GILOTINE_PID", pid, TRUE);
  const char *argv[] = { "/bin/sh", "-c", command, NULL };
  const GtFdMap fds[] = { { STDERR_FILENO, STDOUT_FILENO }, { STDERR_FILENO, STDERR_FILENO } };
  const GtFamilySpec spec = {
    .argv = argv,
    .env = (const char *const *) hook_env,
    .fds = fds,
    .n_fds = G_N_ELEMENTS (fds),
    .domain = GT_DOMAIN_AUTO,
    .purpose = GT_PURPOSE_TRANSPARENT,
    .session = GT_SESSION_GROUP,
    .deadline = until,
    .rlimits = &inherited->files,
    .n_rlimits = inherited->n_rlimits,
  };
  g_autoptr (GError) error = NULL;
  GtFamily *hook = gt_family_start (&spec, &error);
  if (hook == NULL)
    fprintf (stderr, "gilotine run: --on-soft: %s\n", error->message);
  return hook;
}

gboolean
gt_run_hook_done (GtFamily *hook)
{
  GtFamilyState state = gt_family_poll (hook);
  return state == GT_FAMILY_GONE || state == GT_FAMILY_FAILED;
}
