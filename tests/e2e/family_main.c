/* family-run: a family from the command line, for the tests of the kill domains. Prints the report
 * as one JSON object when the family is gone. Not installed. */
#include "os/domain.h"
#include "os/error.h"
#include "os/family.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *domain_name = NULL;
static char *session_name = NULL;
static double kill_after_s = -1, deadline_s = -1, cpu_s = 0, end_within_s = 10;
static gint64 memory_bytes = 0, processes = 0, ignored = 0, blocked = 0;
static gboolean contain, adopt, keep_going, set_free, wait_for_all, list_domains, wait_news;
static char *remove_dir = NULL, *cwd = NULL;
static int nofile = 0;

static const GOptionEntry entries[] = {
  { "domain", 0, 0, G_OPTION_ARG_STRING, &domain_name, "", NULL },
  { "session", 0, 0, G_OPTION_ARG_STRING, &session_name, "", NULL },
  { "kill-after", 0, 0, G_OPTION_ARG_DOUBLE, &kill_after_s, "", NULL },
  { "deadline", 0, 0, G_OPTION_ARG_DOUBLE, &deadline_s, "", NULL },
  { "end-within", 0, 0, G_OPTION_ARG_DOUBLE, &end_within_s, "", NULL },
  { "cpu", 0, 0, G_OPTION_ARG_DOUBLE, &cpu_s, "", NULL },
  { "memory", 0, 0, G_OPTION_ARG_INT64, &memory_bytes, "", NULL },
  { "processes", 0, 0, G_OPTION_ARG_INT64, &processes, "", NULL },
  { "ignore", 0, 0, G_OPTION_ARG_INT64, &ignored, "", NULL },
  { "block", 0, 0, G_OPTION_ARG_INT64, &blocked, "", NULL },
  { "nofile", 0, 0, G_OPTION_ARG_INT, &nofile, "", NULL },
  { "contain", 0, 0, G_OPTION_ARG_NONE, &contain, "", NULL },
  { "adopt", 0, 0, G_OPTION_ARG_NONE, &adopt, "", NULL },
  { "linger", 0, 0, G_OPTION_ARG_NONE, &keep_going, "", NULL },
  { "release", 0, 0, G_OPTION_ARG_NONE, &set_free, "", NULL },
  { "wait", 0, 0, G_OPTION_ARG_NONE, &wait_for_all, "", NULL },
  { "wait-news", 0, 0, G_OPTION_ARG_NONE, &wait_news, "", NULL },
  { "remove", 0, 0, G_OPTION_ARG_STRING, &remove_dir, "", NULL },
  { "cwd", 0, 0, G_OPTION_ARG_STRING, &cwd, "", NULL },
  { "domains", 0, 0, G_OPTION_ARG_NONE, &list_domains, "", NULL },
  { 0 },
};

static int
print_domains (void)
{
  for (int d = 0; d < GT_N_DOMAINS; d++) {
    g_autoptr (GError) error = NULL;
    gboolean ok = gt_domain_probe ((GtDomain) d, &error);
    printf ("%s %s %s\n", gt_domain_name ((GtDomain) d), ok ? "yes" : "no",
            ok ? "" : error->message);
  }
  printf ("best %s %s\n", gt_domain_name (gt_domain_best (GT_PURPOSE_TRANSPARENT)),
          gt_domain_name (gt_domain_best (GT_PURPOSE_CONTAIN)));
  return 0;
}

static void
print_report (GtFamily *family, gint64 kill_ns, GtFamilyState state)
{
  const GtFamilyReport *r = gt_family_report (family);
  int status = 0;
  gboolean ended = gt_family_ended (family, &status);
  printf ("{\"state\": \"%s\", \"domain\": \"%s\", \"cause\": \"%s\", \"ended\": %d, \"exit\": %d, "
          "\"signal\": %d, ",
          gt_family_state_name (state), gt_domain_name (r->domain), gt_family_cause_name (r->cause),
          ended, WIFEXITED (status) ? WEXITSTATUS (status) : -1,
          WIFSIGNALED (status) ? WTERMSIG (status) : 0);
  printf ("\"cpu\": %.6f, \"peak\": %" G_GUINT64_FORMAT ", \"peak_by\": \"%s\", \"oom\": %u, "
          "\"killed\": %u, \"leftovers\": %u, \"stopped\": %d, \"keeper_killed\": %d, ",
          (double) r->cpu_ns / 1e9, r->peak_memory_bytes, gt_meter_name (r->peak_memory_by),
          (guint) r->oom_count, (guint) r->descendants_killed, (guint) r->leftovers, r->was_stopped,
          r->keeper_killed);
  printf (
      "\"fresh_proc\": %d, \"memory_by\": \"%s\", \"processes_by\": \"%s\", \"cpu_by\": \"%s\", ",
      r->fresh_proc, gt_meter_name (r->memory_limit_by), gt_meter_name (r->processes_limit_by),
      gt_meter_name (r->cpu_limit_by));
  printf ("\"late\": %.6f, \"ran\": %.6f, \"pid\": %d, \"keeper\": %d}\n",
          kill_ns > 0 ? (double) (r->gone_ns - kill_ns) / 1e9 : 0,
          (double) (r->gone_ns - r->started_ns) / 1e9, (int) gt_family_command_pid (family),
          (int) gt_family_root_pid (family));
  fflush (stdout);
}

static int
fail (const GError *error)
{
  printf ("{\"error\": %d, \"message\": \"%s\"}\n", error->code, error->message);
  return 1;
}

static gboolean
fill_spec (GtFamilySpec *spec, GError **error)
{
  static GtRlimit rlimit = { .resource = RLIMIT_NOFILE };
  if (domain_name != NULL && !gt_domain_by_name (domain_name, &spec->domain, error))
    return FALSE;
  spec->purpose = contain ? GT_PURPOSE_CONTAIN : GT_PURPOSE_TRANSPARENT;
  if (g_strcmp0 (session_name, "caller") == 0)
    spec->session = GT_SESSION_CALLER;
  if (g_strcmp0 (session_name, "group") == 0)
    spec->session = GT_SESSION_GROUP;
  if (deadline_s >= 0)
    spec->deadline = gt_instant_add (gt_instant_now (), (gint64) (deadline_s * 1e9));
  spec->limits = (GtFamilyLimits){ .memory_bytes = (guint64) memory_bytes,
                                   .processes = (guint64) processes,
                                   .cpu_ns = (gint64) (cpu_s * 1e9) };
  rlimit.value.rlim_cur = rlimit.value.rlim_max = (rlim_t) nofile;
  spec->rlimits = &rlimit;
  spec->n_rlimits = nofile > 0;
  spec->ignored_signals = (guint64) ignored;
  spec->blocked_signals = (guint64) blocked;
  spec->command_end = keep_going     ? GT_COMMAND_END_HOLD
                      : set_free     ? GT_COMMAND_END_RELEASE
                      : wait_for_all ? GT_COMMAND_END_WAIT
                                     : GT_COMMAND_END_KILL;
  spec->adopt = adopt;
  spec->remove_dir = remove_dir;
  spec->cwd = cwd;
  return TRUE;
}

/* Until it is gone, or the time to kill has come. */
static void
turn (GtFamily *family, GtInstant until)
{
  gboolean was_stopped = FALSE;
  while (gt_family_poll (family) != GT_FAMILY_GONE
         && gt_family_state (family) != GT_FAMILY_FAILED) {
    int signo = 0;
    gboolean stopped = gt_family_stopped (family, &signo);
    if (wait_news && stopped != was_stopped) {
      printf ("%s %d\n", stopped ? "stopped" : "continued", signo);
      fflush (stdout);
      was_stopped = stopped;
    }
    struct pollfd p = { .fd = gt_family_fd (family), .events = POLLIN };
    if (poll (&p, 1, gt_instant_poll_ms (until)) == 0)
      return;
  }
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("-- COMMAND [ARG]...");
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_strict_posix (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    return fail (error);
  if (list_domains)
    return print_domains ();
  const GtFdMap fds[] = { { 0, 0 }, { 1, 1 }, { 2, 2 } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  char **command = argv + 1;
  if (*command != NULL && strcmp (*command, "--") == 0)
    command++;
  spec.argv = (const char *const *) command;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  if (!fill_spec (&spec, &error))
    return fail (error);
  GtFamily *family = gt_family_spawn (&spec, &error);
  if (family == NULL)
    return fail (error);
  gint64 kill_ns = 0;
  turn (family, kill_after_s >= 0
                    ? gt_instant_add (gt_instant_now (), (gint64) (kill_after_s * 1e9))
                    : GT_NEVER);
  if (gt_family_state (family) != GT_FAMILY_GONE) {
    kill_ns = gt_instant_now ().ns;
    if (!gt_family_end (family, gt_instant_add (gt_instant_now (), (gint64) (end_within_s * 1e9)),
                        &error))
      fail (error);
  }
  print_report (family, kill_ns, gt_family_state (family));
  gt_family_free (family);
  return 0;
}
