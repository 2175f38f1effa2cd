#include "executor/init.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
append (Members *members, pid_t pid, pid_t parent)
{
  if (members->length == members->capacity) {
    size_t capacity = members->capacity > 0 ? members->capacity * 2 : 256;
    Member *items = realloc (members->items, capacity * sizeof *items);
    if (items == NULL)
      return; /* seen in the next round, when this one's are gone */
    members->items = items;
    members->capacity = capacity;
  }
  members->items[members->length++] = (Member){ pid, parent };
}

/* Numbers separated by anything, read in pieces: one may be cut by the end of a piece. */
static void
append_from (Members *members, int fd, pid_t parent)
{
  char piece[16384];
  long number = 0;
  bool in_number = false;
  for (ssize_t got; (got = read (fd, piece, sizeof piece)) > 0;)
    for (ssize_t i = 0; i < got; i++)
      if (piece[i] >= '0' && piece[i] <= '9') {
        number = number * 10 + (piece[i] - '0');
        in_number = true;
      } else if (in_number) {
        append (members, (pid_t) number, parent);
        number = 0;
        in_number = false;
      }
  if (in_number)
    append (members, (pid_t) number, parent);
}

static bool
append_numbers (Members *members, const char *path, pid_t parent)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  append_from (members, fd, parent);
  close (fd);
  return true;
}

pid_t
parent_of (pid_t pid)
{
  char dir[32], text[512];
  (void) snprintf (dir, sizeof dir, "/proc/%d", (int) pid);
  if (read_text (dir, "stat", text, sizeof text) <= 0)
    return -1;
  /* The name may hold anything, parentheses too: the fields go on behind the last one. */
  const char *end = strrchr (text, ')');
  return end != NULL && strlen (end) > strlen (") S ") ? (pid_t) strtol (end + 4, NULL, 10) : -1;
}

/* A kernel without /proc/PID/task/TID/children: every process's parent. `parent` 0 = of any. */
static bool
append_by_parent (Members *members, pid_t parent)
{
  DIR *proc = opendir ("/proc");
  if (proc == NULL)
    return false;
  const pid_t self = getpid ();
  for (struct dirent *entry; (entry = readdir (proc)) != NULL;) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
      continue;
    const pid_t pid = (pid_t) strtol (entry->d_name, NULL, 10);
    if (pid != self && (parent == 0 || parent_of (pid) == parent))
      append (members, pid, parent);
  }
  closedir (proc);
  return true;
}

int
open_own_children (void)
{
  return open ("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
}

bool
list_children (const Init *init, Members *members)
{
  members->length = 0;
  const pid_t self = getpid ();
  if (init->children_fd < 0)
    return append_by_parent (members, self);
  (void) lseek (init->children_fd, 0, SEEK_SET);
  append_from (members, init->children_fd, self);
  return true;
}

void
add_children (Members *members, pid_t pid, bool all_threads)
{
  char path[96];
  (void) snprintf (path, sizeof path, "/proc/%d/task/%d/children", (int) pid, (int) pid);
  append_numbers (members, path, pid);
  if (!all_threads)
    return;
  (void) snprintf (path, sizeof path, "/proc/%d/task", (int) pid);
  DIR *tasks = opendir (path);
  if (tasks == NULL)
    return;
  for (struct dirent *entry; (entry = readdir (tasks)) != NULL;) {
    if (entry->d_name[0] == '.' || strtol (entry->d_name, NULL, 10) == pid)
      continue;
    (void) snprintf (path, sizeof path, "/proc/%d/task/%.20s/children", (int) pid, entry->d_name);
    append_numbers (members, path, pid);
  }
  closedir (tasks);
}

void
list_members (const Init *init, Members *members)
{
  members->length = 0;
  if (init->is_pid1) {
    append_by_parent (members, 0);
    return;
  }
  char path[PATH_MAX];
  if (init->options.cgroup2 != NULL
      && snprintf (path, sizeof path, "%s/cgroup.procs", init->options.cgroup2) < PATH_MAX
      && append_numbers (members, path, 0))
    return;
  (void) list_children (init, members);
  /* The list grows while it is walked; a child that moves up to us meanwhile would be met again,
   * but only in the next list. */
  for (size_t i = 0; i < members->length; i++)
    add_children (members, members->items[i].pid, true);
}
