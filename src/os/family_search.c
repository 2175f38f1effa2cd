/* Ending what a family left behind a keeper that it killed: found by its mark in the environment
 * and, when this process adopts, by being our child. Neither is proof against a program that clears
 * its environment and is adopted by somebody else: that is the gap of these domains. */
#include "os/error.h"
#include "os/family_private.h"
#include "os/pidfd.h"
#include "os/proc_reader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The kernel allows a third of the stack limit, usually 2 MiB, for arguments and environment. */
#define MAX_ENVIRON ((gsize) 8 * 1024 * 1024)

static GMutex keepers_mutex;
static GHashTable *keepers;

void
gt_family_remember_keeper (pid_t pid)
{
  g_mutex_lock (&keepers_mutex);
  if (keepers == NULL)
    keepers = g_hash_table_new (NULL, NULL);
  g_hash_table_add (keepers, GINT_TO_POINTER (pid));
  g_mutex_unlock (&keepers_mutex);
}

void
gt_family_forget_keeper (pid_t pid)
{
  g_mutex_lock (&keepers_mutex);
  g_hash_table_remove (keepers, GINT_TO_POINTER (pid));
  g_mutex_unlock (&keepers_mutex);
}

static gboolean
is_keeper (pid_t pid)
{
  g_mutex_lock (&keepers_mutex);
  gboolean found = keepers != NULL && g_hash_table_contains (keepers, GINT_TO_POINTER (pid));
  g_mutex_unlock (&keepers_mutex);
  return found;
}

gboolean
gt_family_prepare_search (GtFamily *family, GError **error)
{
  gboolean wanted = family->adopt && !gt_domain_is_pidns (family->report.domain);
  family->adopt = wanted;
  if (!wanted)
    return TRUE;
  if (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    return gt_os_fail (error, errno, "PR_SET_CHILD_SUBREAPER");
  family->not_ours = g_hash_table_new (NULL, NULL);
  GtProcReader reader;
  if (!gt_proc_reader_open (&reader, "/proc", error))
    return FALSE;
  const pid_t self = getpid ();
  gt_proc_reader_rewind (&reader);
  for (pid_t pid; (pid = gt_proc_reader_next (&reader)) > 0;) {
    GtProcStat stat;
    if (gt_proc_reader_stat (&reader, pid, &stat) == GT_PROC_READ_OK && stat.ppid == self)
      g_hash_table_insert (family->not_ours, GINT_TO_POINTER (pid),
                           GSIZE_TO_POINTER (stat.start_ticks));
  }
  gt_proc_reader_close (&reader);
  return TRUE;
}

static gboolean
was_here_before (const GtFamily *family, const GtProcStat *stat)
{
  gpointer start;
  return g_hash_table_lookup_extended (family->not_ours, GINT_TO_POINTER (stat->pid), NULL, &start)
         && GPOINTER_TO_SIZE (start) == stat->start_ticks;
}

static gboolean
is_adopted (const GtFamily *family, const GtProcStat *stat)
{
  return family->adopt && stat->ppid == getpid () && !was_here_before (family, stat)
         && !is_keeper (stat->pid);
}

static gboolean
has_mark (const GtFamily *family, GtProcReader *reader, gboolean *unseen)
{
  if (family->mark == NULL)
    return FALSE;
  GtProcRead got = gt_proc_reader_file (reader, "environ", MAX_ENVIRON);
  *unseen = got == GT_PROC_READ_FAILED;
  return got == GT_PROC_READ_OK
         && memmem (reader->buffer, reader->length, family->mark, strlen (family->mark)) != NULL;
}

static gboolean
visit_open (const GtFamily *family, GtProcReader *reader, pid_t pid, int pidfd, GString *names)
{
  GtProcStat stat;
  GtProcRead got = gt_proc_reader_enter (reader, pid, &stat);
  if (got != GT_PROC_READ_OK)
    return got == GT_PROC_READ_FAILED;
  gboolean unseen = FALSE;
  gboolean adopted = is_adopted (family, &stat);
  gboolean dead = stat.state == 'Z' || stat.state == 'X';
  gboolean member = adopted || (!dead && has_mark (family, reader, &unseen));
  gt_proc_reader_leave (reader);
  if (member && !dead) {
    (void) gt_pidfd_signal (pidfd, SIGKILL);
    if (names != NULL)
      g_string_append_printf (names, "%s%d (%s)", names->len > 0 ? ", " : "", (int) pid, stat.comm);
  }
  GtReaped reaped;
  if (adopted && dead)
    (void) gt_pidfd_reap (pidfd, &reaped);
  return member || unseen;
}

/* TRUE when it was a member, or may be one: who is short of descriptors has not looked. The handle
 * is opened before the process is looked at: what is killed is what was seen. */
static gboolean
visit (const GtFamily *family, GtProcReader *reader, pid_t pid, GString *names)
{
  int pidfd = gt_pidfd_open (pid);
  if (pidfd < 0)
    return errno != ESRCH && errno != EINVAL; /* EINVAL: a thread's number, no process */
  gboolean found = visit_open (family, reader, pid, pidfd, names);
  close (pidfd);
  return found;
}

/* Of the processes above `pid`, whether one is the keeper. */
static gboolean
is_below_keeper (const GtFamily *family, GHashTable *parents, pid_t pid)
{
  for (int depth = 0; pid > 1 && depth < 100000; depth++) {
    if (pid == family->keeper_pid)
      return TRUE;
    pid = GPOINTER_TO_INT (g_hash_table_lookup (parents, GINT_TO_POINTER (pid)));
  }
  return FALSE;
}

void
gt_family_name_below_keeper (const GtFamily *family, GString *names)
{
  GtProcReader reader;
  if (family->keeper_pidfd < 0 || !gt_proc_reader_open (&reader, "/proc", NULL))
    return;
  g_autoptr (GHashTable) parents = g_hash_table_new (NULL, NULL);
  g_autoptr (GArray) stats = g_array_new (FALSE, FALSE, sizeof (GtProcStat));
  GtProcStat stat;
  gt_proc_reader_rewind (&reader);
  for (pid_t pid; (pid = gt_proc_reader_next (&reader)) > 0;)
    if (gt_proc_reader_stat (&reader, pid, &stat) == GT_PROC_READ_OK) {
      g_hash_table_insert (parents, GINT_TO_POINTER (pid), GINT_TO_POINTER (stat.ppid));
      g_array_append_val (stats, stat);
    }
  gt_proc_reader_close (&reader);
  for (guint i = 0; i < stats->len; i++) {
    const GtProcStat *s = &g_array_index (stats, GtProcStat, i);
    if (s->pid != family->keeper_pid && s->state != 'Z'
        && is_below_keeper (family, parents, s->pid))
      g_string_append_printf (names, "%s%d (%s, %s)", names->len > 0 ? ", " : "", (int) s->pid,
                              s->comm, gt_proc_state_name (s->state));
  }
}

guint
gt_family_search (GtFamily *family, GString *names)
{
  GtProcReader reader;
  if (!gt_proc_reader_open (&reader, "/proc", NULL))
    return 1;
  guint found = 0;
  const pid_t self = getpid ();
  gt_proc_reader_rewind (&reader);
  for (pid_t pid; (pid = gt_proc_reader_next (&reader)) > 0;)
    if (pid != self && pid != family->keeper_pid)
      found += visit (family, &reader, pid, names);
  gt_proc_reader_close (&reader);
  return found;
}
