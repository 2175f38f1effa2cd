#include "lab/observer.h"

#include "lab/role.h"
#include "os/census.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

struct GtObserver {
  GtRaw *raw;
  GtCensus *census;
  const char *subject;
  GtCensusRoot root;
  pid_t subject_pid;    /* 0 until the task has started */
  GHashTable *commands; /* identity -> command line, as last recorded */
  GHashTable *before;   /* identities that were there when the task started */
  guint working;
};

GtObserver *
gt_observer_new (GtRaw *raw, GError **error)
{
  GtCensus *census = gt_census_new (NULL, error);
  if (census == NULL)
    return NULL;
  GtObserver *observer = g_new0 (GtObserver, 1);
  observer->raw = raw;
  observer->census = census;
  observer->commands = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  observer->before = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  return observer;
}

void
gt_observer_free (GtObserver *observer)
{
  if (observer == NULL)
    return;
  gt_census_free (observer->census);
  g_hash_table_unref (observer->commands);
  g_hash_table_unref (observer->before);
  g_free (observer);
}

/* Pids are below 2^22; start ticks of a year's uptime below 2^32. */
static gint64
identity (const GtProcess *process)
{
  return (gint64) (process->start_ticks << 22 | (guint64) process->pid);
}

static gint64 *
boxed (gint64 value)
{
  gint64 *box = g_new (gint64, 1);
  *box = value;
  return box;
}

gboolean
gt_observer_begin (GtObserver *observer, const char *subject, pid_t root_pid, GError **error)
{
  /* A census remembers its members: a new subject starts with a new one. */
  GtCensus *census = gt_census_new (NULL, error);
  if (census == NULL)
    return FALSE;
  gt_census_free (observer->census);
  observer->census = census;
  observer->subject = subject;
  observer->root = (GtCensusRoot){ .pid = root_pid };
  observer->subject_pid = 0;
  observer->working = 0;
  g_hash_table_remove_all (observer->commands);
  g_hash_table_remove_all (observer->before);
  return TRUE;
}

static const GtCensusResult *
take (GtObserver *observer, GError **error)
{
  const GtCensusOptions options = {
    .roots = &observer->root,
    .n_roots = 1,
    .flags = GT_CENSUS_CMDLINE | GT_CENSUS_SIGNALS,
  };
  return gt_census_take (observer->census, &options, error);
}

void
gt_observer_task_started (GtObserver *observer, pid_t subject_pid)
{
  observer->subject_pid = subject_pid;
  const GtCensusResult *seen = take (observer, NULL);
  for (gsize i = 0; seen != NULL && i < seen->n_processes; i++)
    g_hash_table_add (observer->before, boxed (identity (&seen->processes[i])));
}

/* "c", "i", "d" or "?": what SIGTERM would do. */
static const char *
sigterm_of (const GtProcess *process)
{
  const guint64 bit = G_GUINT64_CONSTANT (1) << (SIGTERM - 1);
  if (!process->signals_known)
    return "?";
  if (process->signals.caught & bit)
    return "c";
  return process->signals.ignored & bit ? "i" : "d";
}

/* Records the command line when the process is new or has executed another program. */
static gboolean
record_command (GtObserver *observer, const GtProcess *process, GError **error)
{
  const gint64 id = identity (process);
  const char *known = g_hash_table_lookup (observer->commands, &id);
  const char *cmdline
      = process->cmdline != NULL && *process->cmdline != '\0' ? process->cmdline : process->comm;
  /* A zombie has lost its command line; what it was is known already. */
  if (known != NULL && (process->zombie || strcmp (known, cmdline) == 0))
    return TRUE;
  g_hash_table_replace (observer->commands, boxed (id), g_strdup (cmdline));
  return gt_raw_write (observer->raw,
                       json_pack ("{ss ss sI sI ss}", "k", "proc", "s", observer->subject, "pid",
                                  (json_int_t) process->pid, "start",
                                  (json_int_t) process->start_ticks, "cmd", cmdline),
                       error);
}

static gboolean
is_work (const GtObserver *observer, const GtProcess *process)
{
  const gint64 id = identity (process);
  if (observer->subject_pid == 0 || process->pid == observer->root.pid
      || g_hash_table_contains (observer->before, &id))
    return FALSE;
  return !gt_role_is_helper (g_hash_table_lookup (observer->commands, &id), process->ppid,
                             observer->subject_pid, observer->root.pid);
}

gboolean
gt_observer_sample (GtObserver *observer, GError **error)
{
  const GtCensusResult *seen = take (observer, error);
  if (seen == NULL)
    return FALSE;
  json_t *rows = json_array ();
  gboolean ok = TRUE;
  observer->working = 0;
  for (gsize i = 0; i < seen->n_processes && ok; i++) {
    const GtProcess *p = &seen->processes[i];
    ok = record_command (observer, p, error);
    json_array_append_new (
        rows, json_pack ("[I I I s# I I i s]", (json_int_t) p->pid, (json_int_t) p->start_ticks,
                         (json_int_t) p->ppid, &p->state, (size_t) 1, (json_int_t) p->cpu_ns,
                         (json_int_t) p->rss_bytes, (int) p->threads, sigterm_of (p)));
    observer->working += !p->zombie && is_work (observer, p);
  }
  if (!ok) {
    json_decref (rows);
    return FALSE;
  }
  return gt_raw_write (observer->raw,
                       json_pack ("{ss ss sI si so}", "k", "sample", "s", observer->subject, "t",
                                  (json_int_t) seen->after.ns, "w", (int) observer->working, "p",
                                  rows),
                       error);
}

guint
gt_observer_working (const GtObserver *observer)
{
  return observer->working;
}

int
gt_observer_count_marked (const char *mark, GError **error)
{
  g_autoptr (GtCensus) census = gt_census_new (NULL, error);
  if (census == NULL)
    return -1;
  const GtCensusOptions options = { .mark = mark };
  const GtCensusResult *seen = gt_census_take (census, &options, error);
  return seen != NULL ? (int) seen->n_processes : -1;
}
