/* The end of a family: SIGKILL until waitid() says ECHILD, the kernel's own word that nothing is
 * left. */
#include "executor/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched/types.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILL_SLICE_NS (10 * NS_PER_MS)

/* Linux numbers no process above this. */
#define PID_LIMIT (4 * 1024 * 1024)

/* A set of PIDs; zero pages until they are touched. */
typedef unsigned char PidSet[PID_LIMIT / 8];

/* Our children that were killed and not reaped yet: exact, because only we reap them. */
static PidSet dying;
/* Processes further down that were killed once. Their parents may reap them and the number may come
 * again: so this only saves work, and whoever is skipped here becomes our child soon. */
static PidSet met;

static bool
contains (const PidSet set, pid_t pid)
{
  return pid > 0 && pid < PID_LIMIT && (set[pid / 8] & (1U << (pid % 8))) != 0;
}

static void
put (PidSet set, pid_t pid, bool member)
{
  if (pid <= 0 || pid >= PID_LIMIT)
    return;
  const unsigned bit = 1U << (pid % 8);
  set[pid / 8] = (unsigned char) (member ? set[pid / 8] | bit : set[pid / 8] & ~bit);
}

static void
on_command_end (Init *init, const siginfo_t *info)
{
  init->command_pid = 0;
  /* An order that was given before this death must not find us believing it came by itself. */
  take_orders (init);
  const bool by_itself = !init->ending;
  const bool exited = info->si_code == CLD_EXITED;
  init->command_status = exited ? info->si_status << 8 : info->si_status;
  const long long ended_ns = now_ns ();
  /* Whatever lives when the command has ended by itself was left by it. */
  const uint64_t leftovers = by_itself && !init->options.pgroup ? count_living (init) : 0;
  tell (init, "%s %d %lld %llu %d", exited ? "exited" : "signaled", info->si_status, ended_ns,
        (unsigned long long) leftovers, info->si_code == CLD_DUMPED);
  check_oom (init);
  if (!by_itself || init->ending)
    return;
  if (is_cpu_spent (init)) {
    end_now (init, GT_FAMILY_CAUSE_CPU);
    return;
  }
  if (init->options.command_end == GT_COMMAND_END_KILL)
    end_now (init, GT_FAMILY_CAUSE_COMMAND);
  else if (init->options.command_end == GT_COMMAND_END_RELEASE) {
    end_now (init, GT_FAMILY_CAUSE_COMMAND);
    init->released = true;
  }
}

/* Without a subreaper there is the command alone to reap, and its group is reached by its number,
 * which is the group's own until then: what was ordered before the command's death comes first. */
static bool
may_reap_ended (Init *init)
{
  siginfo_t info = { 0 };
  if (!init->options.pgroup || init->command_pid == 0 || init->command_group == 0)
    return true;
  if (waitid (P_PID, (id_t) init->command_pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0
      || info.si_pid == 0)
    return false;
  take_orders (init);
  if (init->ending || init->options.command_end == GT_COMMAND_END_KILL)
    (void) kill (-init->command_group, SIGKILL);
  return true;
}

/* waitid (P_ALL) is right here and nowhere else: this process does nothing but own its children,
 * adopted ones included, whose pids it cannot know. */
bool
reap (Init *init)
{
  for (;;) {
    siginfo_t info = { 0 };
    const int ended = may_reap_ended (init) ? WEXITED : 0;
    if (waitid (P_ALL, 0, &info, ended | WSTOPPED | WCONTINUED | WNOHANG) < 0) {
      if (ended == 0)
        continue; /* it has ended since */
      return errno != ECHILD;
    }
    if (info.si_pid == 0)
      return true;
    const bool command = info.si_pid == init->command_pid;
    switch (info.si_code) {
    case CLD_STOPPED:
    case CLD_TRAPPED:
      if (command)
        tell (init, "stopped %d", info.si_status);
      break;
    case CLD_CONTINUED:
      if (command)
        tell (init, "continued 0");
      break;
    default:
      put (dying, info.si_pid, false);
      put (met, info.si_pid, false);
      if (command)
        on_command_end (init, &info);
      else if (init->ending && info.si_code == CLD_KILLED && info.si_status == SIGKILL)
        init->killed++;
    }
  }
}

uint64_t
count_living (const Init *init)
{
  static Members members;
  uint64_t living = 0;
  list_members (init, &members);
  for (size_t i = 0; i < members.length; i++) {
    char dir[32], text[512];
    (void) snprintf (dir, sizeof dir, "/proc/%d", (int) members.items[i].pid);
    if (members.items[i].pid == getpid () || read_text (dir, "stat", text, sizeof text) <= 0)
      continue;
    const char *end = strrchr (text, ')');
    living += end != NULL && strlen (end) > 2 && end[2] != 'Z' && end[2] != 'X';
  }
  return living;
}

/* A process that is not our child: its own parent may reap it and its number may come again. The
 * handle is opened first, so the parent that is seen afterwards is that of the process it stands
 * for. */
static bool
kill_grandchild (const Member *member)
{
  int pidfd = (int) syscall (SYS_pidfd_open, member->pid, 0);
  if (pidfd < 0)
    return false;
  const pid_t parent = parent_of (member->pid);
  bool hit = parent == member->parent || parent == getpid ();
  hit = hit && syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
  close (pidfd);
  return hit;
}

/* One of our children and, in one atomic step that no fork slips through, its whole process group.
 * The group is the family's own: nobody can join a session from outside, so every member of one
 * that was made below us descends from us. Our own session may be the owner's, and our own group
 * holds us. The child is not reaped, so the number of its group is not anybody else's. */
static void
kill_child (pid_t pid, pid_t *last_group)
{
  const pid_t group = getpgid (pid), session = getsid (pid);
  const bool foreign = session == getsid (0) && session != getpid ();
  if (group > 1 && !foreign && group != getpgrp () && group != *last_group) {
    (void) kill (-group, SIGKILL);
    *last_group = group;
  }
  (void) kill (pid, SIGKILL);
}

/* True when a child was found that was not dying already. */
static bool
kill_children (const Init *init, Members *members)
{
  bool news = false;
  pid_t last_group = 0;
  if (!list_children (init, members))
    return false;
  for (size_t i = 0; i < members->length; i++) {
    const pid_t pid = members->items[i].pid;
    if (contains (dying, pid))
      continue;
    kill_child (pid, &last_group);
    put (dying, pid, true);
    news = true;
  }
  return news;
}

/* Those further down come to us as their parents die; meeting them now saves a round for each
 * generation of a deep family. */
static bool
kill_below (Members *members)
{
  bool news = false;
  const size_t children = members->length;
  for (size_t i = 0; i < members->length; i++) {
    if (i >= children && !contains (met, members->items[i].pid)) {
      put (met, members->items[i].pid, true);
      news |= kill_grandchild (&members->items[i]);
    }
    add_children (members, members->items[i].pid, false);
  }
  return news;
}

/* A quiet round found nobody new. The walk down the tree costs tens of microseconds a process, so
 * it is taken in the first of them, and then now and then. */
static bool
kill_tree (const Init *init)
{
  enum { WALK_EVERY = 8 };
  static Members members;
  static unsigned quiet;
  const bool news
      = kill_children (init, &members) || (quiet++ % WALK_EVERY == 0 && kill_below (&members));
  quiet = news ? 0 : quiet;
  return news;
}

static bool
kill_round (const Init *init)
{
  if (init->options.cgroup2 != NULL)
    (void) write_text (init->options.cgroup2, "cgroup.kill", "1");
  if (init->options.pgroup && init->command_pid > 0 && init->command_group > 0)
    (void) kill (-init->command_group, SIGKILL);
  if (!init->is_pid1)
    return kill_tree (init);
  (void) kill (-1, SIGKILL);
  return false;
}

/* For as long as the kill takes: before those who are to die, and not put off by each that wakes.
 * (The short slice of the time before is for waking promptly; with it every waking member
 * interrupts us.) And the dying before everybody else: whoever waits for a CPU dies when he gets
 * it. The kernel gives each session its share of a CPU: ours is told to hurry, by the owner when it
 * kills (family.c), here when the keeper ends the family itself. */
static void
go_first (const Init *init)
{
  struct sched_attr attr = { .size = sizeof attr };
  (void) setpriority (PRIO_PROCESS, 0, -20);
  if (init->options.session == SESSION_OWN)
    (void) write_text ("/proc/self", "autogroup", GT_DYING_SESSION_NICE);
  if (syscall (SYS_sched_getattr, 0, &attr, sizeof attr, 0) == 0) {
    attr.sched_runtime = KILL_SLICE_NS;
    (void) syscall (SYS_sched_setattr, 0, &attr, 0);
  }
}

void
end_family (Init *init)
{
  struct pollfd wait = { .fd = init->signal_fd, .events = POLLIN };
  if (reap (init))
    go_first (init);
  while (reap (init)) {
    /* While new ones keep coming there is no pause: whoever forks and exits must lose the race. */
    const int pause_ms = kill_round (init) ? 0 : 1;
    if (poll (&wait, 1, pause_ms) > 0) {
      struct signalfd_siginfo ignored[16];
      (void) !read (init->signal_fd, ignored, sizeof ignored);
    }
  }
}

/* Out of our cgroups, which end with us, into those above them. */
static void
move_up (const char *dir)
{
  char up[4096], text[65536];
  const char *slash = dir != NULL ? strrchr (dir, '/') : NULL;
  if (slash == NULL || (size_t) (slash - dir) >= sizeof up)
    return;
  memcpy (up, dir, (size_t) (slash - dir));
  up[slash - dir] = '\0';
  for (int round = 0; round < 100 && read_text (dir, "cgroup.procs", text, sizeof text) > 0;
       round++)
    for (char *save = NULL, *pid = strtok_r (text, "\n", &save); pid != NULL;
         pid = strtok_r (NULL, "\n", &save))
      (void) write_text (up, "cgroup.procs", pid);
}

void
release_family (Init *init)
{
  move_up (init->options.cgroup2);
  move_up (init->options.memory1);
  move_up (init->options.pids1);
}
