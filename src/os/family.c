#include "os/family_private.h"

#include "os/error.h"
#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_LIMIT_NS (30 * GT_NSEC_PER_SEC)
#define FREE_LIMIT_NS  (10 * GT_NSEC_PER_SEC)
/* A keeper that has not ended its family in this time is helped: the family may have stopped it. */
#define HELP_AFTER_NS   (50 * GT_NSEC_PER_MSEC)
#define NUDGE_EVERY_NS  (50 * GT_NSEC_PER_MSEC)
#define SEARCH_EVERY_NS (2 * GT_NSEC_PER_MSEC)

#define MAX_NEWS 256

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* A child of ours between clone and exec may hold a copy, so closing alone does not take it out. */
static void
close_watched (const GtFamily *family, int *fd)
{
  if (*fd >= 0 && family->epoll_fd >= 0)
    (void) epoll_ctl (family->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  close_fd (fd);
}

/* --- what the keeper tells (src/executor/init_main.c) ---------------------------------- */

typedef struct {
  const char *event;
  gint64 values[6];
} News;

static void
on_started (GtFamily *family, const News *news)
{
  family->state = GT_FAMILY_RUNNING;
  family->report.started_ns = news->values[1];
  family->report.set_up_ns = news->values[2];
  /* Its own number for it is of another namespace, perhaps. */
  if (family->command_pidfd >= 0)
    family->command_pid = gt_pidfd_pid (family->command_pidfd);
  if (family->command_pid == 0 && !gt_domain_is_pidns (family->report.domain))
    family->command_pid = (pid_t) news->values[0];
  for (int signo = 1; family->early_signals != 0; signo++, family->early_signals >>= 1)
    if ((family->early_signals & 1) != 0)
      (void) gt_family_signal (family, signo, FALSE, NULL);
}

/* Of a start that was none. Later it is not believed: the command runs, and what is left of it must
 * be looked for. */
static void
on_failed (GtFamily *family, const News *news)
{
  if (family->state != GT_FAMILY_STARTING)
    return;
  family->state = GT_FAMILY_FAILED;
  family->exec_errno = (int) news->values[0];
}

static void
on_refused (GtFamily *family, const News *news)
{
  on_failed (family, news);
  family->refused = family->state == GT_FAMILY_FAILED;
}

static void
on_end (GtFamily *family, const News *news, int wait_status)
{
  family->ended = TRUE;
  family->stopped = FALSE;
  family->wait_status = wait_status;
  family->state = GT_FAMILY_ENDED;
  family->report.ended_ns = news->values[1];
  family->report.leftovers = (guint64) news->values[2];
}

static void
on_exited (GtFamily *family, const News *news)
{
  on_end (family, news, (int) news->values[0] << 8);
}

static void
on_signaled (GtFamily *family, const News *news)
{
  on_end (family, news, (int) news->values[0] | (news->values[3] != 0 ? WCOREFLAG : 0));
}

static void
on_stopped (GtFamily *family, const News *news)
{
  family->stopped = TRUE;
  family->stop_signal = (int) news->values[0];
  family->report.was_stopped = TRUE;
}

static void
on_continued (GtFamily *family, const News *news)
{
  (void) news;
  family->stopped = FALSE;
}

static void
on_ending (GtFamily *family, const News *news)
{
  if (news->values[0] > 0 && news->values[0] < GT_N_FAMILY_CAUSES)
    family->report.cause = (GtFamilyCause) news->values[0];
}

static void
on_usage (GtFamily *family, const News *news)
{
  GtFamilyReport *report = &family->report;
  report->cpu_ns = news->values[0];
  report->peak_memory_bytes = (guint64) news->values[1];
  if (news->values[2] >= 0 && news->values[2] < GT_N_METERS)
    report->peak_memory_by = (GtMeter) news->values[2];
  report->oom_count = (guint64) news->values[3];
  report->descendants_killed = (guint64) news->values[4];
  report->empty_ns = news->values[5];
}

static void
on_gone (GtFamily *family, const News *news)
{
  (void) news;
  family->gone_told = TRUE;
}

static const struct {
  const char *event;
  void (*take) (GtFamily *family, const News *news);
} events[] = {
  { "started", on_started },     { "failed", on_failed },     { "refused", on_refused },
  { "exited", on_exited },       { "signaled", on_signaled }, { "stopped", on_stopped },
  { "continued", on_continued }, { "ending", on_ending },     { "usage", on_usage },
  { "gone", on_gone },
};

static void
on_news (GtFamily *family, char *text)
{
  News news = { 0 };
  char *save = NULL;
  news.event = strtok_r (text, " \n", &save);
  for (guint i = 0; i < G_N_ELEMENTS (news.values); i++) {
    const char *word = strtok_r (NULL, " \n", &save);
    news.values[i] = word != NULL ? g_ascii_strtoll (word, NULL, 10) : 0;
  }
  for (guint i = 0; news.event != NULL && i < G_N_ELEMENTS (events); i++)
    if (strcmp (news.event, events[i].event) == 0)
      events[i].take (family, &news);
}

/* The command's handle comes beside "started". */
static void
take_handle (GtFamily *family, struct msghdr *message)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
      close_fd (&family->command_pidfd);
      memcpy (&family->command_pidfd, CMSG_DATA (c), sizeof family->command_pidfd);
    }
}

static void
read_news (GtFamily *family)
{
  while (family->channel_fd >= 0) {
    char text[MAX_NEWS];
    union {
      struct cmsghdr header;
      char space[CMSG_SPACE (sizeof (int))];
    } control;
    struct iovec io = { text, sizeof text - 1 };
    struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t got = recvmsg (family->channel_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    /* ECONNRESET: the keeper left an order unread when it ended. It is said once, what the keeper
     * told before comes after it. */
    if (got < 0 && (errno == EINTR || errno == ECONNRESET))
      continue;
    if (got < 0 && errno == EAGAIN)
      return;
    if (got <= 0) {
      close_watched (family, &family->channel_fd);
      return;
    }
    take_handle (family, &message);
    text[got] = '\0';
    on_news (family, text);
  }
}

/* --- the keeper's end ------------------------------------------------------------------ */

static void
become_gone (GtFamily *family)
{
  gt_cgroup_remove (&family->cgroup);
  close_watched (family, &family->search_fd);
  if (family->state != GT_FAMILY_FAILED)
    family->state = GT_FAMILY_GONE;
}

static void
search (GtFamily *family)
{
  guint found = 0;
  /* A cgroup knows its members, whatever they did to their parents. */
  if (gt_domain_has_cgroup (family->report.domain)) {
    gt_cgroup_kill (&family->cgroup);
    found = gt_cgroup_remove (&family->cgroup) ? 0 : 1;
  }
  found += gt_family_search (family, NULL);
  if (found == 0 && gt_family_search (family, NULL) == 0)
    become_gone (family);
}

static void
search_again_soon (GtFamily *family)
{
  family->search_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (family->search_fd < 0)
    return; /* gt_family_kill() tries again */
  const struct timespec every = { 0, SEARCH_EVERY_NS };
  const struct itimerspec timer = { every, every };
  struct epoll_event event = { .events = EPOLLIN };
  timerfd_settime (family->search_fd, 0, &timer, NULL);
  epoll_ctl (family->epoll_fd, EPOLL_CTL_ADD, family->search_fd, &event);
}

static void
become_lost (GtFamily *family)
{
  family->state = GT_FAMILY_LOST;
  family->was_lost = TRUE;
  family->report.keeper_killed = TRUE;
  search (family);
  if (family->state == GT_FAMILY_LOST)
    search_again_soon (family);
}

static void
reap_keeper (GtFamily *family)
{
  GtReaped reaped;
  if (family->keeper_pidfd < 0 || !gt_pidfd_reap (family->keeper_pidfd, &reaped))
    return;
  read_news (family);
  gt_family_forget_keeper (family->keeper_pid);
  close_watched (family, &family->keeper_pidfd);
  close_watched (family, &family->channel_fd);
  GtFamilyReport *report = &family->report;
  report->gone_ns = gt_instant_now ().ns;
  if (report->empty_ns == 0) {
    /* Killed: what it had reaped is in its own account, without what it could not reap. */
    const struct rusage *u = &reaped.usage;
    report->cpu_ns = (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * GT_NSEC_PER_SEC
                     + (u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1000;
    report->peak_memory_bytes = (guint64) u->ru_maxrss * 1024;
    report->peak_memory_by = GT_METER_PROCESS;
  }
  if (report->cause == GT_FAMILY_CAUSE_NONE)
    report->cause = GT_FAMILY_CAUSE_KILL;
  /* The kernel ends a PID namespace before its first process can be reaped. */
  gboolean proven = family->gone_told || gt_domain_is_pidns (report->domain)
                    || family->state == GT_FAMILY_FAILED;
  report->keeper_killed
      = !family->gone_told && !family->helped && family->state != GT_FAMILY_FAILED;
  if (proven)
    become_gone (family);
  else
    become_lost (family);
}

GtFamilyState
gt_family_poll (GtFamily *family)
{
  read_news (family);
  reap_keeper (family);
  if (family->state == GT_FAMILY_LOST && family->search_fd >= 0) {
    guint64 ticks;
    if (read (family->search_fd, &ticks, sizeof ticks) > 0)
      search (family);
  }
  return family->state;
}

/* --- orders ---------------------------------------------------------------------------- */

static void
order (GtFamily *family, const char *text)
{
  if (family->channel_fd >= 0)
    (void) send (family->channel_fd, text, strlen (text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

gboolean
gt_family_signal (GtFamily *family, int signo, gboolean group, GError **error)
{
  if (family->state == GT_FAMILY_STARTING && signo > 0 && signo <= 64)
    family->early_signals |= G_GUINT64_CONSTANT (1) << (signo - 1);
  if (family->state == GT_FAMILY_STARTING || family->ended)
    return TRUE;
  const gboolean direct = family->command_pidfd >= 0;
  /* Without the handle, for want of descriptors, the keeper does it. The order comes first: the
   * command's end by this signal must not find the keeper without it, since the number of the group
   * is the group's until the command is reaped. */
  if (!direct || (group && family->session != GT_SESSION_CALLER)) {
    char text[32];
    (void) g_snprintf (text, sizeof text, "signal %d", signo);
    order (family, text);
  }
  if (direct && !gt_pidfd_signal (family->command_pidfd, signo) && errno != ESRCH)
    return gt_os_fail (error, errno, "signal %d to %s (process %d)", signo, family->exec_what,
                       (int) family->command_pid);
  return TRUE;
}

gboolean
gt_family_may_end (const GtFamily *family, GtCommandEnd command_end, GError **error)
{
  if (command_end != GT_COMMAND_END_RELEASE || !gt_domain_is_pidns (family->report.domain))
    return TRUE;
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE,
               "domain %s: nothing can be set free from a PID namespace",
               gt_domain_name (family->report.domain));
  return FALSE;
}

gboolean
gt_family_set_command_end (GtFamily *family, GtCommandEnd command_end, GError **error)
{
  if (!gt_family_may_end (family, command_end, error))
    return FALSE;
  char text[32];
  (void) g_snprintf (text, sizeof text, "end %d", (int) command_end);
  order (family, text);
  return TRUE;
}

void
gt_family_set_deadline (GtFamily *family, GtInstant deadline)
{
  char text[48];
  (void) g_snprintf (text, sizeof text, "deadline %" G_GINT64_FORMAT, deadline.ns);
  order (family, text);
}

void
gt_family_continue_keeper (const GtFamily *family)
{
  if (family->keeper_pidfd >= 0)
    (void) gt_pidfd_signal (family->keeper_pidfd, SIGCONT);
}

/* On a full machine whoever is to die waits for its session's share of a CPU, and so does the
 * keeper, which is in the same session. Only the privileged may; for the others it stays so. */
static void
hurry (const GtFamily *family)
{
  char path[64];
  (void) g_snprintf (path, sizeof path, "/proc/%d/autogroup", (int) family->keeper_pid);
  int fd = family->session == GT_SESSION_OWN ? open (path, O_WRONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  (void) !write (fd, GT_DYING_SESSION_NICE, strlen (GT_DYING_SESSION_NICE));
  (void) close (fd);
}

void
gt_family_kill (GtFamily *family)
{
  if (family->state == GT_FAMILY_LOST && family->search_fd < 0)
    search_again_soon (family);
  if (family->keeper_pidfd < 0)
    return;
  gboolean again = family->killed_at.ns != GT_NEVER.ns;
  if (!again) {
    family->killed_at = gt_instant_now ();
    /* First, so that the deaths that follow are not taken for ends of their own accord. */
    order (family, "kill");
  }
  gt_cgroup_kill (&family->cgroup);
  if (family->command_pidfd >= 0)
    (void) gt_pidfd_signal (family->command_pidfd, SIGKILL);
  gt_family_continue_keeper (family);
  if (!again)
    hurry (family);
  gint64 waited = gt_instant_until (family->killed_at, gt_instant_now ());
  if (again && waited > HELP_AFTER_NS && gt_domain_is_pidns (family->report.domain))
    family->helped |= gt_pidfd_signal (family->keeper_pidfd, SIGKILL);
}

static gboolean
is_over (const GtFamily *family)
{
  return family->keeper_pidfd < 0 && family->state != GT_FAMILY_LOST;
}

static void
name_survivors (GtFamily *family, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  gt_family_name_below_keeper (family, names);
  if (names->len == 0)
    gt_family_search (family, names);
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT,
               "the family under process %d is not gone in time%s%s", (int) family->keeper_pid,
               names->len > 0 ? "; left: " : "", names->str);
}

gboolean
gt_family_end (GtFamily *family, GtInstant until, GError **error)
{
  gt_family_poll (family);
  for (gt_family_kill (family); !is_over (family); gt_family_poll (family)) {
    GtInstant help = gt_instant_add (gt_instant_now (), HELP_AFTER_NS + GT_NSEC_PER_MSEC);
    struct pollfd p = { .fd = family->epoll_fd, .events = POLLIN };
    int n = poll (&p, 1, gt_instant_poll_ms (help.ns < until.ns ? help : until));
    if (n == 0 && gt_instant_until (gt_instant_now (), until) == 0) {
      name_survivors (family, error);
      return FALSE;
    }
    if (n == 0)
      gt_family_kill (family);
  }
  return TRUE;
}

/* --- start ----------------------------------------------------------------------------- */

GtFamily *
gt_family_start (const GtFamilySpec *spec, GError **error)
{
  if (spec->domain != GT_DOMAIN_AUTO)
    return gt_family_start_in (spec, spec->domain, error);
  g_autoptr (GError) last = NULL;
  for (const GtDomain *d = gt_domain_candidates (spec->purpose); *d != GT_N_DOMAINS; d++) {
    g_clear_error (&last);
    GtFamily *family = gt_family_start_in (spec, *d, &last);
    if (family != NULL)
      return family;
    if (!g_error_matches (last, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE))
      break;
  }
  g_propagate_error (error, g_steal_pointer (&last));
  return NULL;
}

static GtFamily *
spawn_in (const GtFamilySpec *spec, GtDomain domain, GError **error)
{
  GtFamily *family = gt_family_start_in (spec, domain, error);
  if (family == NULL)
    return NULL;
  GtInstant until = gt_instant_add (gt_instant_now (), START_LIMIT_NS);
  while (gt_family_poll (family) == GT_FAMILY_STARTING) {
    struct pollfd p = { .fd = family->epoll_fd, .events = POLLIN };
    GtInstant nudge = gt_instant_add (gt_instant_now (), NUDGE_EVERY_NS);
    if (poll (&p, 1, gt_instant_poll_ms (nudge)) > 0)
      continue;
    gt_family_continue_keeper (family); /* stopped before it told of the start, perhaps */
    if (gt_instant_until (gt_instant_now (), until) == 0) {
      g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT, "%s: not started in 30 s",
                   family->exec_what);
      gt_family_free (family);
      return NULL;
    }
  }
  gboolean started = !family->has_command || family->report.started_ns != 0;
  if (started)
    return family;
  gt_family_start_error (family, error);
  gt_family_free (family);
  return NULL;
}

GtFamily *
gt_family_spawn (const GtFamilySpec *spec, GError **error)
{
  if (spec->domain != GT_DOMAIN_AUTO)
    return spawn_in (spec, spec->domain, error);
  g_autoptr (GError) last = NULL;
  for (const GtDomain *d = gt_domain_candidates (spec->purpose); *d != GT_N_DOMAINS; d++) {
    g_clear_error (&last);
    GtFamily *family = spawn_in (spec, *d, &last);
    if (family != NULL)
      return family;
    if (!g_error_matches (last, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE))
      break;
  }
  g_propagate_error (error, g_steal_pointer (&last));
  return NULL;
}

void
gt_family_free (GtFamily *family)
{
  if (family == NULL)
    return;
  g_autoptr (GError) error = NULL;
  if (family->keeper_pidfd >= 0
      && !gt_family_end (family, gt_instant_add (gt_instant_now (), FREE_LIMIT_NS), &error))
    g_warning ("%s", error->message);
  if (family->keeper_pid == 0)
    gt_cgroup_remove (&family->cgroup);
  close_fd (&family->keeper_pidfd);
  close_fd (&family->command_pidfd);
  close_fd (&family->channel_fd);
  close_fd (&family->search_fd);
  close_fd (&family->epoll_fd);
  gt_cgroup_clear (&family->cgroup);
  g_clear_pointer (&family->not_ours, g_hash_table_unref);
  g_free (family->mark);
  g_free (family->exec_what);
  g_free (family);
}
