#include "cli/query_holder.h"

#include "os/proc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_BYTES 120

/* What a process of /proc is called; NULL: it is gone or not ours to see. */
static char *
command_of (gint64 pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/cmdline", pid);
  g_autofree char *text = NULL;
  gsize length = 0;
  if (!g_file_get_contents (path, &text, &length, NULL) || length == 0)
    return NULL;
  g_autoptr (GString) line = g_string_new (NULL);
  gt_proc_join_cmdline (text, length, SHOWN_BYTES, line);
  return g_strdup (line->str);
}

static gint64
parent_of (gint64 pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/stat", pid);
  g_autofree char *text = NULL;
  gsize length = 0;
  GtProcStat stat;
  if (!g_file_get_contents (path, &text, &length, NULL)
      || !gt_proc_parse_stat (text, length, &stat))
    return 0;
  return stat.ppid;
}

/* An executor says little to people: whoever runs it, its keeper in between, says more. */
static char *
describe (gint64 pid)
{
  g_autofree char *command = command_of (pid);
  if (command == NULL)
    return g_strdup_printf ("pid %" G_GINT64_FORMAT, pid);
  if (strstr (command, "gilotine-duckdb") != NULL) {
    gint64 keeper = parent_of (pid);
    gint64 owner = keeper > 1 ? parent_of (keeper) : 0;
    g_autofree char *its = owner > 1 ? command_of (owner) : NULL;
    if (its != NULL)
      return g_strdup_printf ("pid %" G_GINT64_FORMAT ", gilotine-duckdb for pid %" G_GINT64_FORMAT
                              " (%s)",
                              pid, owner, its);
  }
  return g_strdup_printf ("pid %" G_GINT64_FORMAT " (%s)", pid, command);
}

gboolean
gt_query_holder_find (const char *path, GtQueryHolder *holder)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  *holder = (GtQueryHolder){ 0 };
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return FALSE;
  gboolean held = fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  (void) close (fd);
  if (!held)
    return FALSE;
  holder->pid = MAX (lock.l_pid, 0);
  holder->text = holder->pid > 0 ? describe (holder->pid)
                                 : g_strdup ("a process that cannot be seen from here (another "
                                             "container or machine)");
  return TRUE;
}

void
gt_query_holder_clear (GtQueryHolder *holder)
{
  g_clear_pointer (&holder->text, g_free);
  holder->pid = 0;
}
