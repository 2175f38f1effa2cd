/* What /proc says about an executor and its family. Folders of /proc are kept open: they stand for
 * the process, not for its number. Nothing here can block: these files are made from the kernel's
 * own memory, also for a process in state D. */
#include "deadline/engine_private.h"

#include "os/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Deep or wide beyond this is counted no further: whatever limit there is, it is passed. */
#define MOST_MEMBERS 4096

static int
process_folder (pid_t pid)
{
  char path[32];
  (void) g_snprintf (path, sizeof path, "/proc/%d", (int) pid);
  return open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int
folder_of (int *kept, pid_t pid)
{
  if (*kept < 0 && pid > 0)
    *kept = process_folder (pid);
  return *kept;
}

/* A text that fits into `room`, which is so for all that is read here but children of very large
 * families. -1: no such file, or the process has ended. */
static ssize_t
read_text (int folder, const char *name, char *text, gsize room)
{
  int fd = openat (folder, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t n = read (fd, text, room - 1);
  close (fd);
  text[MAX (n, 0)] = '\0';
  return n;
}

/* --- the tree --- */

typedef void (*ChildFunc) (pid_t pid, gpointer data);

static gboolean
each_child_of_thread (int folder, const char *tid, ChildFunc func, gpointer data)
{
  char name[64], text[4096];
  (void) g_snprintf (name, sizeof name, "task/%.20s/children", tid);
  if (read_text (folder, name, text, sizeof text) < 0)
    return FALSE;
  char *save = NULL;
  for (char *word = strtok_r (text, " ", &save); word != NULL; word = strtok_r (NULL, " ", &save))
    func ((pid_t) strtol (word, NULL, 10), data);
  return TRUE;
}

/* Calls func for each child of each thread; returns how many threads there are, 0 when it has
 * ended, -1 when this kernel does not list children. */
static gint64
each_child (int folder, ChildFunc func, gpointer data)
{
  int fd = openat (folder, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *tasks = fd >= 0 ? fdopendir (fd) : NULL;
  if (tasks == NULL) {
    if (fd >= 0)
      close (fd);
    return 0;
  }
  gint64 threads = 0, listed = 0;
  for (struct dirent *entry; (entry = readdir (tasks)) != NULL;) {
    if (entry->d_name[0] == '.')
      continue;
    threads++;
    listed += each_child_of_thread (folder, entry->d_name, func, data);
  }
  closedir (tasks);
  return threads > 0 && listed == 0 ? -1 : threads;
}

static void
count_child (pid_t pid, gpointer data)
{
  (void) pid;
  ++*(gint64 *) data;
}

typedef struct {
  gint64 memory_bytes, cpu_ns;
} Sum;

static void
add_stat (Sum *sum, int folder)
{
  char text[1024];
  GtProcStat stat;
  ssize_t n = read_text (folder, "stat", text, sizeof text);
  if (n <= 0 || !gt_proc_parse_stat (text, (gsize) n, &stat))
    return;
  sum->memory_bytes += stat.rss_pages * sysconf (_SC_PAGESIZE);
  /* What it has waited for counts as well, or short-lived children would be free. */
  guint64 ticks = stat.utime_ticks + stat.stime_ticks + stat.cutime_ticks + stat.cstime_ticks;
  sum->cpu_ns += (gint64) ticks * gt_proc_tick_ns ();
}

static void
add_pid (pid_t pid, gpointer data)
{
  g_array_append_val ((GArray *) data, pid);
}

/* All below the keeper; returns how many there are. A list that grows while it is walked: a tree
 * may be deeper than a stack. */
static gint64
each_member (int keeper, void (*visit) (Sum *sum, int folder), Sum *sum)
{
  g_autoptr (GArray) pids = g_array_new (FALSE, FALSE, sizeof (pid_t));
  (void) each_child (keeper, add_pid, pids);
  for (guint i = 0; i < pids->len && i < MOST_MEMBERS; i++) {
    int folder = process_folder (g_array_index (pids, pid_t, i));
    if (folder < 0)
      continue;
    visit (sum, folder);
    (void) each_child (folder, add_pid, pids);
    close (folder);
  }
  return pids->len;
}

/* --- a kernel without the list of children --- */

static pid_t
parent_in (const GArray *stats, guint i)
{
  return g_array_index (stats, GtProcStat, i).ppid;
}

static GArray *
all_stats (void)
{
  GArray *stats = g_array_new (FALSE, FALSE, sizeof (GtProcStat));
  GDir *proc = g_dir_open ("/proc", 0, NULL);
  for (const char *name; proc != NULL && (name = g_dir_read_name (proc)) != NULL;) {
    int folder = g_ascii_isdigit (name[0]) ? process_folder ((pid_t) strtol (name, NULL, 10)) : -1;
    char text[1024];
    GtProcStat stat;
    ssize_t n = folder >= 0 ? read_text (folder, "stat", text, sizeof text) : 0;
    if (n > 0 && gt_proc_parse_stat (text, (gsize) n, &stat))
      g_array_append_val (stats, stat);
    if (folder >= 0)
      close (folder);
  }
  if (proc != NULL)
    g_dir_close (proc);
  return stats;
}

/* Milliseconds on a machine with many processes. */
static gint64
count_by_parents (pid_t keeper, pid_t executor)
{
  g_autoptr (GArray) stats = all_stats ();
  gint64 n = 0;
  for (guint i = 0; i < stats->len; i++)
    n += parent_in (stats, i) == keeper || parent_in (stats, i) == executor;
  return n;
}

/* --- looks --- */

static gint64
fds_of (int folder)
{
  struct stat st;
  /* Since Linux 6.2 the folder's size is how many are open; before it is 0. */
  return fstatat (folder, "fd", &st, 0) == 0 && st.st_size > 0 ? (gint64) st.st_size : -1;
}

static gint64
resident_of (int folder)
{
  char text[128];
  if (read_text (folder, "statm", text, sizeof text) <= 0)
    return -1;
  const char *second = strchr (text, ' ');
  return second != NULL ? strtoll (second, NULL, 10) * sysconf (_SC_PAGESIZE) : -1;
}

static void
look_at_status (int folder, GtUsage *usage)
{
  char text[2048];
  if (read_text (folder, "status", text, sizeof text) <= 0)
    return;
  const char *peak = strstr (text, "\nVmHWM:");
  if (peak != NULL)
    usage->peak_bytes = strtoll (peak + sizeof "\nVmHWM:" - 1, NULL, 10) * 1024;
  const char *state = strstr (text, "\nState:\t");
  usage->stopped = state != NULL && state[sizeof "\nState:\t" - 1] == 'T';
}

static void
look_at_all (GtLink *link, int keeper, GtUsage *usage)
{
  Sum sum = { 0 };
  gint64 members = each_member (keeper, add_stat, &sum);
  if (members == 0)
    return;
  usage->processes = members;
  usage->memory_bytes = sum.memory_bytes;
  /* Ticks are coarse; the executor's own clock is not. */
  usage->cpu_ns = MAX (sum.cpu_ns, gt_link_cpu_ns (link));
}

void
gt_link_look (GtLink *link, gboolean whole, GtUsage *usage)
{
  *usage = (GtUsage) GT_USAGE_UNKNOWN;
  if (link->with_helper || link->family == NULL)
    return;
  pid_t keeper_pid = gt_family_root_pid (link->family);
  pid_t pid = gt_family_command_pid (link->family);
  int keeper = folder_of (&link->keeper_folder, keeper_pid);
  int executor = folder_of (&link->executor_folder, pid);
  if (keeper < 0 || executor < 0)
    return;
  gint64 children = 0;
  usage->threads = each_child (executor, count_child, &children);
  gboolean listed = usage->threads > 0;
  (void) each_child (keeper, count_child, &children);
  usage->processes = listed ? children : count_by_parents (keeper_pid, pid);
  usage->fds = fds_of (executor);
  usage->memory_bytes = resident_of (executor);
  if (!whole)
    return;
  look_at_status (executor, usage);
  if (listed)
    look_at_all (link, keeper, usage);
}

gint64
gt_link_cpu_ns (GtLink *link)
{
  clockid_t clock;
  struct timespec ts;
  if (link->with_helper || link->family == NULL
      || clock_getcpuclockid (gt_family_command_pid (link->family), &clock) != 0
      || clock_gettime (clock, &ts) != 0)
    return -1;
  return (gint64) ts.tv_sec * GT_NSEC_PER_SEC + ts.tv_nsec;
}

gint64
gt_link_resident_bytes (GtLink *link)
{
  if (link->with_helper || link->family == NULL)
    return -1;
  int executor = folder_of (&link->executor_folder, gt_family_command_pid (link->family));
  return executor >= 0 ? resident_of (executor) : -1;
}

/* --- shared pages in parts, on the helper thread --- */

static void
add_proportion (Sum *sum, int folder)
{
  char text[4096];
  ssize_t n = read_text (folder, "smaps_rollup", text, sizeof text);
  gint64 bytes = n > 0 ? gt_proc_parse_pss (text, (gsize) n) : -1;
  /* Not ours to see: what counts too much is the safe one. */
  sum->memory_bytes += bytes >= 0 ? bytes : MAX (resident_of (folder), 0);
}

gint64
gt_link_weigh (const GtLink *link)
{
  Sum sum = { 0 };
  int keeper = process_folder (gt_family_root_pid (link->family));
  if (keeper < 0)
    return -1;
  gint64 members = each_member (keeper, add_proportion, &sum);
  close (keeper);
  return members > 0 ? sum.memory_bytes : -1;
}
