/* Starting a family: limits, cgroups, the keeper's command line, the keeper. */
#include "os/error.h"
#include "os/family_private.h"
#include "os/paths.h"
#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MARK_VARIABLE "GILOTINE_FAMILY"

/* Above a limit of processes. */
#define WALL_THREADS 64 /* for each */
#define WALL_ROOM    1024

extern char **environ;

static void add (GPtrArray *argv, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add (GPtrArray *argv, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_ptr_array_add (argv, g_strdup_vprintf (format, args));
  va_end (args);
}

static void
add_cgroup (GPtrArray *argv, const GtCgroup *cgroup)
{
  if (cgroup->v2 != NULL)
    add (argv, "--cgroup2=%s", cgroup->v2);
  if (cgroup->memory1 != NULL)
    add (argv, "--memory1=%s", cgroup->memory1);
  if (cgroup->pids1 != NULL)
    add (argv, "--pids1=%s", cgroup->pids1);
}

/* Threads of all processes of this user. */
static guint64
tasks_of_user (void)
{
  guint64 tasks = 0;
  g_autoptr (GDir) proc = g_dir_open ("/proc", 0, NULL);
  for (const char *name; proc != NULL && (name = g_dir_read_name (proc)) != NULL;) {
    char path[64];
    struct stat st;
    (void) g_snprintf (path, sizeof path, "/proc/%.20s/task", name);
    if (g_ascii_isdigit (*name) && stat (path, &st) == 0 && st.st_uid == geteuid ())
      tasks += st.st_nlink > 2 ? st.st_nlink - 2 : 0;
  }
  return tasks;
}

/* A family that doubles with each step is too many for any watch before its next look, and for the
 * kill after it. The kernel counts all threads of the user, so there is much room above the limit:
 * it only has to be a number that can be killed. It does not count root's. */
static void
add_wall (GPtrArray *argv, guint64 processes)
{
  struct rlimit now;
  guint64 room = MIN (processes, G_MAXUINT32) * WALL_THREADS + WALL_ROOM;
  guint64 wall = tasks_of_user () + room;
  if (geteuid () == 0 || getrlimit (RLIMIT_NPROC, &now) != 0 || now.rlim_cur <= wall)
    return;
  add (argv, "--rlimit=%d:%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, RLIMIT_NPROC, wall, wall);
}

static void
add_limits (GPtrArray *argv, const GtFamily *family, const GtFamilySpec *spec)
{
  const GtFamilyReport *report = &family->report;
  if (report->memory_limit_by == GT_METER_WATCH)
    add (argv, "--memory=%" G_GUINT64_FORMAT, spec->limits.memory_bytes);
  if (report->processes_limit_by == GT_METER_WATCH) {
    add (argv, "--processes=%" G_GUINT64_FORMAT, spec->limits.processes);
    add_wall (argv, spec->limits.processes);
  }
  if (report->cpu_limit_by != GT_METER_NONE)
    add (argv, "--cpu=%" G_GINT64_FORMAT, spec->limits.cpu_ns);
}

static void
add_command_state (GPtrArray *argv, const GtFamilySpec *spec)
{
  if (spec->ignored_signals != 0)
    add (argv, "--ignore=%" G_GINT64_MODIFIER "x", spec->ignored_signals);
  if (spec->blocked_signals != 0)
    add (argv, "--block=%" G_GINT64_MODIFIER "x", spec->blocked_signals);
  if (spec->nice != 0)
    add (argv, "--nice=%d", spec->nice);
  if (spec->slice_ns != 0)
    add (argv, "--slice=%" G_GINT64_FORMAT, spec->slice_ns);
  for (gsize i = 0; i < spec->n_rlimits; i++)
    add (argv, "--rlimit=%d:%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, spec->rlimits[i].resource,
         (guint64) spec->rlimits[i].value.rlim_cur, (guint64) spec->rlimits[i].value.rlim_max);
}

static char **
keeper_argv (const GtFamily *family, const GtFamilySpec *spec, const char *program,
             const GtFdMap *keeper_fds)
{
  static const char *const sessions[]
      = { [GT_SESSION_OWN] = "own", [GT_SESSION_GROUP] = "group", [GT_SESSION_CALLER] = "caller" };
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  add (argv, "%s", program);
  add (argv, "--lifeline=%d", keeper_fds[KEEPER_CHANNEL].target);
  add (argv, "--status=%d", keeper_fds[KEEPER_CHANNEL].target);
  add (argv, "--owner=%d", keeper_fds[KEEPER_OWNER].target);
  add (argv, "--session=%s", sessions[spec->session]);
  /* A signal that goes to everybody, from an outer limit or a service manager, is for the command:
   * the keeper ending it all would cut its shutdown short. */
  add (argv, "--signals=%s", spec->session == GT_SESSION_OWN ? "end" : "ignore");
  if (family->report.domain == GT_DOMAIN_PGROUP)
    add (argv, "--pgroup");
  if (spec->deadline.ns != GT_NEVER.ns)
    add (argv, "--deadline=%" G_GINT64_FORMAT, spec->deadline.ns);
  add_cgroup (argv, &family->cgroup);
  add_limits (argv, family, spec);
  add_command_state (argv, spec);
  if (spec->command_end != GT_COMMAND_END_KILL)
    add (argv, "--command-end=%s", gt_command_end_name (spec->command_end));
  /* The keeper has a group of its own; the command comes back to ours. */
  if (spec->session == GT_SESSION_CALLER && !gt_domain_is_pidns (family->report.domain))
    add (argv, "--group=%d", (int) getpgrp ());
  if (spec->remove_dir != NULL)
    add (argv, "--remove=%s", spec->remove_dir);
  add (argv, "--");
  for (const char *const *arg = spec->argv; arg != NULL && *arg != NULL; arg++)
    add (argv, "%s", *arg);
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_steal (argv, NULL);
}

/* The environment with the family's mark; an outer family's mark stays in it. */
static char **
marked_env (GtFamily *family, const GtFamilySpec *spec)
{
  static gint count;
  const char *const *given = spec->env != NULL ? spec->env : (const char *const *) environ;
  char **env = g_strdupv ((char **) given);
  family->mark = g_strdup_printf ("%d.%" G_GINT64_FORMAT ".%d", (int) getpid (),
                                  gt_instant_now ().ns, g_atomic_int_add (&count, 1));
  const char *outer = g_environ_getenv (env, MARK_VARIABLE);
  g_autofree char *value = g_strconcat (outer != NULL ? outer : "", ":", family->mark, ":", NULL);
  return g_environ_setenv (env, MARK_VARIABLE, value, TRUE);
}

/* Who enforces each limit, and the cgroups for it and for the domain. */
static gboolean
arrange_limits (GtFamily *family, const GtFamilySpec *spec, GError **error)
{
  const GtFamilyLimits *limits = &spec->limits;
  GtFamilyReport *report = &family->report;
  const GtCgroupWant want = { .need_v2 = gt_domain_has_cgroup (report->domain),
                              .memory_bytes = limits->memory_bytes,
                              .processes = limits->processes };
  gboolean any = limits->memory_bytes != 0 || limits->processes != 0;
  if ((any || want.need_v2) && !gt_cgroup_make (&want, &family->cgroup, error))
    return FALSE;
  const GtCgroup *cgroup = &family->cgroup;
  if (limits->memory_bytes != 0)
    report->memory_limit_by = cgroup->memory_by_v2      ? GT_METER_CGROUP2
                              : cgroup->memory1 != NULL ? GT_METER_CGROUP1
                                                        : GT_METER_WATCH;
  if (limits->processes != 0)
    report->processes_limit_by = cgroup->processes_by_v2 ? GT_METER_CGROUP2
                                 : cgroup->pids1 != NULL ? GT_METER_CGROUP1
                                                         : GT_METER_WATCH;
  if (limits->cpu_ns != 0)
    report->cpu_limit_by = cgroup->v2 != NULL ? GT_METER_CGROUP2 : GT_METER_WATCH;
  return TRUE;
}

static gboolean
needs_watch (const GtFamilyReport *report)
{
  return report->memory_limit_by == GT_METER_WATCH || report->processes_limit_by == GT_METER_WATCH
         || report->cpu_limit_by == GT_METER_WATCH;
}

/* The subreaper's keeper finds members that have left in it, and so does who watches limits. In a
 * bare chroot there is none, and a family there would not be found. */
static gboolean
has_proc (void)
{
  return access ("/proc/self/stat", R_OK) == 0;
}

static gboolean
refuse_limits (const char *why, GError **error)
{
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE, "a limit cannot be enforced: %s", why);
  return FALSE;
}

static gboolean
may_hold (const GtFamily *family, GError **error)
{
  const GtDomain domain = family->report.domain;
  if (domain == GT_DOMAIN_PGROUP && needs_watch (&family->report))
    return refuse_limits ("in the pgroup domain members can leave", error);
  if (gt_domain_is_pidns (domain) || has_proc ())
    return TRUE;
  if (needs_watch (&family->report))
    return refuse_limits ("there is no /proc", error);
  if (domain != GT_DOMAIN_SUBREAPER)
    return TRUE;
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE,
               "domain %s: there is no /proc to find the family's members in",
               gt_domain_name (domain));
  return FALSE;
}

static guint64
clone_flags (GtDomain domain)
{
  if (!gt_domain_is_pidns (domain))
    return 0;
  return CLONE_NEWPID | CLONE_NEWNS | (domain == GT_DOMAIN_USERNS ? CLONE_NEWUSER : 0);
}

/* Under its own number, or the next that none of the `at` before it has: one above the command's
 * highest may be beyond the limit. */
static void
add_keeper_fd (GtFdMap *fds, gsize at, int source)
{
  int target = MAX (source, STDERR_FILENO + 1);
  while (gt_fd_map_has_target (fds, at, target))
    target++;
  fds[at] = (GtFdMap){ source, target };
}

static gboolean
start_keeper (GtFamily *family, const GtFamilySpec *spec, int channel, int owner, GError **error)
{
  g_autofree char *program = gt_path_program ("gilotine-init", error);
  if (program == NULL)
    return FALSE;
  g_autofree GtFdMap *fds = g_new0 (GtFdMap, spec->n_fds + KEEPER_FDS);
  for (gsize i = 0; i < spec->n_fds; i++)
    fds[i] = spec->fds[i];
  add_keeper_fd (fds, spec->n_fds + KEEPER_CHANNEL, channel);
  add_keeper_fd (fds, spec->n_fds + KEEPER_OWNER, owner);
  g_auto (GStrv) argv = keeper_argv (family, spec, program, fds + spec->n_fds);
  g_auto (GStrv) env = marked_env (family, spec);
  const GtSpawn spawn = { .path = program,
                          .argv = argv,
                          .env = env,
                          .cwd = spec->cwd,
                          .fds = fds,
                          .n_fds = spec->n_fds + KEEPER_FDS,
                          .keep_closed = spec->keep_closed,
                          .clone_flags = clone_flags (family->report.domain),
                          .new_session = spec->session == GT_SESSION_OWN,
                          .new_group = spec->session == GT_SESSION_GROUP
                                       || (spec->session == GT_SESSION_CALLER
                                           && !gt_domain_is_pidns (family->report.domain)),
                          .fresh_proc = gt_domain_is_pidns (family->report.domain) };
  GtSpawned spawned;
  if (!gt_spawn (&spawn, &spawned, error))
    return FALSE;
  family->keeper_pid = spawned.pid;
  family->keeper_pidfd = spawned.pidfd;
  family->report.fresh_proc = spawned.fresh_proc;
  gt_family_remember_keeper (spawned.pid);
  if (spawn.fresh_proc && !spawned.fresh_proc && needs_watch (&family->report))
    return refuse_limits ("the namespace could not be given a /proc of its own", error);
  return TRUE;
}

static gboolean
add_to_epoll (GtFamily *family, int fd)
{
  struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
  return epoll_ctl (family->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static gboolean
connect_keeper (GtFamily *family, const GtFamilySpec *spec, GError **error)
{
  int channel[2];
  family->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (family->epoll_fd < 0 || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
    return gt_os_fail (error, errno, "socketpair");
  family->channel_fd = channel[0];
  /* The lifeline is a descriptor, and a fork of another thread of ours may hold a copy of it for
   * long. The handle of this process has no copies that matter: it says when *we* are gone. */
  int owner = gt_pidfd_open (getpid ());
  gboolean ok = owner >= 0 ? start_keeper (family, spec, channel[1], owner, error)
                           : gt_os_fail (error, errno, "pidfd_open");
  if (owner >= 0)
    close (owner);
  close (channel[1]);
  return ok
         && ((add_to_epoll (family, family->channel_fd)
              && add_to_epoll (family, family->keeper_pidfd))
             || gt_os_fail (error, errno, "epoll_ctl"));
}

GtFamily *
gt_family_start_in (const GtFamilySpec *spec, GtDomain domain, GError **error)
{
  GtFamily *family = g_new0 (GtFamily, 1);
  family->keeper_pidfd = family->command_pidfd = family->channel_fd = -1;
  family->epoll_fd = family->search_fd = -1;
  family->killed_at = GT_NEVER;
  family->report.domain = domain;
  family->session = spec->session;
  family->adopt = spec->adopt;
  family->has_command = spec->argv != NULL && spec->argv[0] != NULL;
  family->exec_what = g_strdup (family->has_command ? spec->argv[0] : "");
  family->state = family->has_command ? GT_FAMILY_STARTING : GT_FAMILY_RUNNING;
  gboolean ok = gt_family_may_end (family, spec->command_end, error);
  ok = ok && arrange_limits (family, spec, error) && may_hold (family, error);
  if (ok && gt_family_prepare_search (family, error) && connect_keeper (family, spec, error))
    return family;
  gt_family_free (family);
  return NULL;
}
