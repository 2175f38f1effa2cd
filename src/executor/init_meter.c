/* What a family uses: its limits where no cgroup holds them, and the last account. */
#include "executor/init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How fast a family is taken to fill memory: no look comes later than the limit could be reached.
 */
#define FILL_BYTES_PER_NS 10
#define MIN_LOOK_NS       (2 * NS_PER_MS)
#define MEMORY_LOOK_NS    (50 * NS_PER_MS)
#define COUNT_LOOK_NS     (10 * NS_PER_MS)
#define CPU_LOOK_NS       NS_PER_S

typedef struct {
  uint64_t rss_bytes;
  uint64_t processes;
  int64_t cpu_ns;
} Usage;

static int64_t
timeval_ns (struct timeval tv)
{
  return (int64_t) tv.tv_sec * NS_PER_S + (int64_t) tv.tv_usec * 1000;
}

static int64_t
reaped_cpu_ns (void)
{
  struct rusage usage;
  getrusage (RUSAGE_CHILDREN, &usage);
  return timeval_ns (usage.ru_utime) + timeval_ns (usage.ru_stime);
}

/* Fields 14 to 17 (user and system time, its own and of its reaped children) and 24 of stat. */
static void
add_member (pid_t pid, Usage *usage)
{
  char dir[32], text[1024];
  (void) snprintf (dir, sizeof dir, "/proc/%d", (int) pid);
  if (read_text (dir, "stat", text, sizeof text) <= 0)
    return;
  char *save = NULL, *end = strrchr (text, ')');
  if (end == NULL)
    return;
  const long tick_ns = NS_PER_S / sysconf (_SC_CLK_TCK), page = sysconf (_SC_PAGESIZE);
  const char *field = strtok_r (end + 1, " ", &save);
  if (field == NULL || *field == 'X')
    return;
  /* One that has ended still counts its time until it is reaped, but is nobody any more. */
  usage->processes += *field != 'Z';
  for (int n = 4; (field = strtok_r (NULL, " ", &save)) != NULL && n <= 24; n++)
    if (n >= 14 && n <= 17)
      usage->cpu_ns += strtoll (field, NULL, 10) * tick_ns;
    else if (n == 24)
      usage->rss_bytes += (uint64_t) strtoll (field, NULL, 10) * (uint64_t) page;
}

/* Shared pages counted once: only when the cheap sum is over the limit. */
static uint64_t
proportional_bytes (const Members *members, uint64_t otherwise)
{
  uint64_t sum = 0;
  for (size_t i = 0; i < members->length; i++) {
    char dir[32];
    uint64_t kib = 0;
    (void) snprintf (dir, sizeof dir, "/proc/%d", (int) members->items[i].pid);
    if (read_number (dir, "smaps_rollup", "Pss:", &kib))
      sum += kib * 1024;
    else if (access (dir, F_OK) == 0 && geteuid () != 0)
      return otherwise; /* not ours to see: the sum that counts too much is the safe one */
  }
  return sum;
}

/* From the command's execution on; `watched_ns` is what those have used that are not reaped. */
static int64_t
family_cpu_ns (const Init *init, int64_t watched_ns)
{
  uint64_t usec;
  int64_t used_ns = watched_ns + reaped_cpu_ns ();
  if (init->options.cgroup2 != NULL
      && read_number (init->options.cgroup2, "cpu.stat", "usage_usec", &usec))
    used_ns = (int64_t) usec * 1000;
  return used_ns > init->set_up_ns ? used_ns - init->set_up_ns : 0;
}

static uint64_t
oom_count (const Init *init)
{
  const Options *o = &init->options;
  uint64_t count = 0;
  if (o->memory1 != NULL)
    (void) read_number (o->memory1, "memory.oom_control", "oom_kill", &count);
  else if (o->cgroup2 != NULL)
    (void) read_number (o->cgroup2, "memory.events", "oom_kill", &count);
  return count;
}

void
check_oom (Init *init)
{
  const Options *o = &init->options;
  if (!init->ending && (o->memory1 != NULL || o->cgroup2 != NULL) && oom_count (init) > 0)
    end_now (init, GT_FAMILY_CAUSE_MEMORY);
}

bool
is_cpu_spent (const Init *init)
{
  const int64_t limit_ns = init->options.cpu_ns;
  return limit_ns != 0 && family_cpu_ns (init, 0) >= limit_ns;
}

static int64_t
clamp (int64_t value, int64_t low, int64_t high)
{
  return value < low ? low : value > high ? high : value;
}

static void
look_again_in (const Init *init, int64_t ns)
{
  const struct itimerspec timer
      = { .it_value = { .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S } };
  timerfd_settime (init->watch_fd, 0, &timer, NULL);
}

static int64_t
check_memory (Init *init, const Members *members, const Usage *usage)
{
  const uint64_t limit = init->options.memory_bytes;
  uint64_t used = usage->rss_bytes;
  if (used > limit)
    used = proportional_bytes (members, used);
  if (used > init->peak_bytes)
    init->peak_bytes = used;
  if (used > limit) {
    end_now (init, GT_FAMILY_CAUSE_MEMORY);
    return MIN_LOOK_NS;
  }
  return clamp ((int64_t) ((limit - used) / FILL_BYTES_PER_NS), MIN_LOOK_NS, MEMORY_LOOK_NS);
}

static int64_t
check_cpu (Init *init, int64_t used_ns)
{
  const int64_t left = init->options.cpu_ns - used_ns;
  if (left <= 0)
    end_now (init, GT_FAMILY_CAUSE_CPU);
  const long processors = sysconf (_SC_NPROCESSORS_ONLN);
  return clamp (left / (processors > 0 ? processors : 1), MIN_LOOK_NS, CPU_LOOK_NS);
}

void
watch_limits (Init *init)
{
  static Members members;
  const Options *o = &init->options;
  int64_t next = COUNT_LOOK_NS * 2;
  Usage usage = { 0 };
  check_oom (init);
  if (o->memory_bytes != 0 || o->processes != 0 || (o->cpu_ns != 0 && o->cgroup2 == NULL)) {
    list_members (init, &members);
    for (size_t i = 0; i < members.length; i++)
      if (members.items[i].pid != getpid ())
        add_member (members.items[i].pid, &usage);
  } else if (o->cpu_ns != 0 && o->memory1 == NULL)
    next = CPU_LOOK_NS;
  if (o->memory_bytes != 0)
    next = check_memory (init, &members, &usage);
  if (o->cpu_ns != 0 && !init->ending) {
    const int64_t wait = check_cpu (init, family_cpu_ns (init, usage.cpu_ns));
    next = wait < next ? wait : next;
  }
  if (o->processes != 0 && !init->ending) {
    if (usage.processes > o->processes)
      end_now (init, GT_FAMILY_CAUSE_PROCESSES);
    next = COUNT_LOOK_NS < next ? COUNT_LOOK_NS : next;
  }
  if (!init->ending)
    look_again_in (init, next);
}

void
start_watch (Init *init)
{
  const Options *o = &init->options;
  uint64_t ignored;
  const bool oom
      = o->memory1 != NULL
        || (o->cgroup2 != NULL && read_number (o->cgroup2, "memory.events", "oom_kill", &ignored));
  init->watch_fd = -1;
  if (o->memory_bytes == 0 && o->processes == 0 && o->cpu_ns == 0 && !oom)
    return;
  init->watch_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  look_again_in (init, MIN_LOOK_NS);
}

static GtMeter
peak_bytes (const Init *init, uint64_t *bytes)
{
  const Options *o = &init->options;
  if (o->memory1 != NULL && read_number (o->memory1, "memory.max_usage_in_bytes", "", bytes))
    return GT_METER_CGROUP1;
  if (o->cgroup2 != NULL && read_number (o->cgroup2, "memory.peak", "", bytes))
    return GT_METER_CGROUP2;
  struct rusage usage;
  getrusage (RUSAGE_CHILDREN, &usage);
  *bytes = (uint64_t) usage.ru_maxrss * 1024;
  if (init->peak_bytes <= *bytes)
    return GT_METER_PROCESS;
  *bytes = init->peak_bytes;
  return GT_METER_WATCH;
}

void
tell_usage (Init *init)
{
  const int64_t empty_ns = now_ns ();
  uint64_t peak = 0;
  const GtMeter meter = peak_bytes (init, &peak);
  tell (init, "usage %lld %llu %d %llu %llu %lld", (long long) family_cpu_ns (init, 0),
        (unsigned long long) peak, (int) meter, (unsigned long long) oom_count (init),
        (unsigned long long) init->killed, (long long) empty_ns);
}

void
remove_cgroups (const Init *init)
{
  const char *const dirs[] = { init->options.cgroup2, init->options.memory1, init->options.pids1 };
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (dirs[i] != NULL)
      remove_cgroup (dirs[i]);
}
