#include "os/census_private.h"
#include "os/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void
entry_free (gpointer data)
{
  GtCensusEntry *entry = (GtCensusEntry *) data;
  g_free (entry->comm);
  g_free (entry->cmdline);
  g_free (entry->mark);
  g_free (entry);
}

GtCensus *
gt_census_new (const char *proc_root, GError **error)
{
  GtProcReader reader;
  if (!gt_proc_reader_open (&reader, proc_root != NULL ? proc_root : "/proc", error))
    return NULL;
  GtCensus *census = g_new0 (GtCensus, 1);
  census->reader = reader;
  census->entries = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, entry_free);
  census->records = g_array_new (FALSE, FALSE, sizeof (GtCensusRecord));
  census->shown = g_array_new (FALSE, FALSE, sizeof (GtProcess));
  census->bound = g_array_new (FALSE, FALSE, sizeof (GtCensusRoot));
  census->text = g_string_new (NULL);
  census->mark = g_string_new (NULL);
  census->tick_ns = gt_proc_tick_ns ();
  census->page_bytes = sysconf (_SC_PAGESIZE);
  return census;
}

void
gt_census_free (GtCensus *census)
{
  if (census == NULL)
    return;
  gt_proc_reader_close (&census->reader);
  g_hash_table_unref (census->entries);
  g_array_unref (census->records);
  g_array_unref (census->shown);
  g_array_unref (census->bound);
  g_string_free (census->text, TRUE);
  g_string_free (census->mark, TRUE);
  g_free (census);
}

static GtCensusRecord *
record_at (const GtCensus *census, gint index)
{
  return &g_array_index (census->records, GtCensusRecord, index);
}

static gint64
saturating_product (guint64 count, gint64 unit)
{
  gint64 product;
  return __builtin_mul_overflow (count, unit, &product) ? G_MAXINT64 : product;
}

static gint64
own_cpu_ns (const GtCensus *census, const GtProcStat *stat)
{
  guint64 ticks;
  if (__builtin_add_overflow (stat->utime_ticks, stat->stime_ticks, &ticks))
    return G_MAXINT64;
  return saturating_product (ticks, census->tick_ns);
}

/* The process is not the one that was remembered under this pid, which is gone. */
static void
account_vanished (GtCensus *census, const GtCensusEntry *entry)
{
  if (!entry->counted)
    return;
  census->result.totals.vanished++;
  census->cpu_vanished_ns += entry->cpu_ns;
}

static GtCensusEntry *
find_entry (const GtCensus *census, pid_t pid)
{
  return (GtCensusEntry *) g_hash_table_lookup (census->entries, GINT_TO_POINTER (pid));
}

static void
set_comm (GtCensus *census, GtCensusEntry *entry, const GtProcStat *stat)
{
  g_strlcpy (entry->comm_raw, stat->comm, sizeof entry->comm_raw);
  g_string_truncate (census->text, 0);
  gt_proc_escape (stat->comm, strlen (stat->comm), census->text);
  g_free (entry->comm);
  entry->comm = g_strndup (census->text->str, census->text->len);
}

/* Meets the process of this stat line with what is known of it. A new image or, where images cannot
 * be seen, a new name means that it executed a program. A zombie has no image: it keeps what it
 * had. A new name alone does not touch the mark: who writes titles over the environment changes
 * both. */
static GtCensusEntry *
remember (GtCensus *census, const GtProcStat *stat)
{
  GtCensusEntry *entry = find_entry (census, stat->pid);
  if (entry == NULL || entry->start_ticks != stat->start_ticks) {
    if (entry != NULL)
      account_vanished (census, entry);
    entry = g_new0 (GtCensusEntry, 1);
    entry->pid = stat->pid;
    entry->start_ticks = stat->start_ticks;
    entry->image = stat->image;
    set_comm (census, entry, stat);
    g_hash_table_replace (census->entries, GINT_TO_POINTER (stat->pid), entry);
  }
  entry->pass = census->pass;
  gboolean renamed = strcmp (entry->comm_raw, stat->comm) != 0;
  gboolean executed = stat->image != 0 ? stat->image != entry->image : renamed && entry->image == 0;
  if (renamed)
    set_comm (census, entry, stat);
  if (stat->image != 0)
    entry->image = stat->image;
  if (executed)
    entry->mark_tried = FALSE;
  if ((executed || renamed) && !gt_census_is_zombie (stat))
    entry->cmdline_known = FALSE;
  return entry;
}

static gboolean
scan_process (GtCensus *census, pid_t pid, GError **error)
{
  GtCensusRecord record = { .parent = -1, .first_child = -1, .next_sibling = -1, .shown = -1 };
  switch (gt_proc_reader_stat (&census->reader, pid, &record.stat)) {
  case GT_PROC_READ_OK:
    break;
  case GT_PROC_READ_GONE:
    return TRUE;
  case GT_PROC_READ_DENIED: {
    /* Not to be taken for one that vanished. */
    GtCensusEntry *known = find_entry (census, pid);
    if (known != NULL)
      known->pass = census->pass;
    census->result.totals.denied++;
    return TRUE;
  }
  case GT_PROC_READ_FAILED:
    return gt_census_fail (pid, "stat", error);
  }
  record.entry = remember (census, &record.stat);
  record.entry->record = census->records->len;
  if (census->want_mark && !gt_census_read_mark (census, &record, error))
    return FALSE;
  g_array_append_val (census->records, record);
  return TRUE;
}

static gint
by_pid (gconstpointer a, gconstpointer b)
{
  const GtCensusRecord *left = (const GtCensusRecord *) a, *right = (const GtCensusRecord *) b;
  return (left->stat.pid > right->stat.pid) - (left->stat.pid < right->stat.pid);
}

/* The kernel lists pids in ascending order; a tree on a disk may not. */
static void
sort_by_pid (GtCensus *census)
{
  for (guint i = 1; i < census->records->len; i++)
    if (by_pid (record_at (census, (gint) i - 1), record_at (census, (gint) i)) > 0) {
      g_array_sort (census->records, by_pid);
      for (guint k = 0; k < census->records->len; k++)
        record_at (census, (gint) k)->entry->record = k;
      return;
    }
}

static gboolean
scan (GtCensus *census, GError **error)
{
  GtProcReader *reader = &census->reader;
  gboolean init_seen = FALSE;
  gt_proc_reader_rewind (reader);
  for (;;) {
    pid_t pid = gt_proc_reader_next (reader);
    if (pid == 0)
      break;
    if (pid < 0)
      return gt_os_fail (error, errno, "cannot list processes");
    init_seen |= pid == 1;
    if ((census->flags & GT_CENSUS_NOT_SELF) != 0 && pid == getpid ())
      continue;
    if (!scan_process (census, pid, error))
      return FALSE;
  }
  census->result.totals.hidden = !init_seen;
  census->result.totals.scanned = census->records->len;
  sort_by_pid (census);
  return TRUE;
}

/* A parent is never younger than its child: else the parent ended, and its pid was reused, between
 * the two looks. */
static gint
find_parent (const GtCensus *census, const GtCensusRecord *child)
{
  const GtCensusEntry *entry = find_entry (census, child->stat.ppid);
  if (entry == NULL || entry->pass != census->pass || entry == child->entry)
    return -1;
  if (entry->record >= census->records->len)
    return -1;
  const GtCensusRecord *parent = record_at (census, (gint) entry->record);
  if (parent->entry != entry || parent->stat.start_ticks > child->stat.start_ticks)
    return -1;
  return (gint) entry->record;
}

/* Records are looked at one after the other, so reused pids can make a ring of three or more that
 * never was. Cut where it closes. */
static void
cut_rings (GtCensus *census)
{
  gint n = (gint) census->records->len;
  for (gint i = 0; i < n; i++) {
    guint walk = (guint) i + 1;
    gint at = i, last = -1;
    while (at >= 0 && record_at (census, at)->visit == 0) {
      record_at (census, at)->visit = walk;
      last = at;
      at = record_at (census, at)->parent;
    }
    if (at >= 0 && last >= 0 && record_at (census, at)->visit == walk)
      record_at (census, last)->parent = -1;
  }
}

static void
link_tree (GtCensus *census)
{
  gint n = (gint) census->records->len;
  for (gint i = 0; i < n; i++)
    record_at (census, i)->parent = find_parent (census, record_at (census, i));
  cut_rings (census);
  for (gint i = n - 1; i >= 0; i--) { /* backwards, so that siblings end up by pid */
    GtCensusRecord *record = record_at (census, i);
    if (record->parent < 0)
      continue;
    GtCensusRecord *parent = record_at (census, record->parent);
    record->next_sibling = parent->first_child;
    parent->first_child = i;
  }
}

static gboolean
is_bound_to (GtCensus *census, const GtCensusRoot *root, guint64 start_ticks)
{
  if (root->start_ticks != 0)
    return root->start_ticks == start_ticks;
  for (guint i = 0; i < census->bound->len; i++) {
    const GtCensusRoot *bound = &g_array_index (census->bound, GtCensusRoot, i);
    if (bound->pid == root->pid)
      return bound->start_ticks == start_ticks;
  }
  GtCensusRoot bound = { .pid = root->pid, .start_ticks = start_ticks };
  g_array_append_val (census->bound, bound);
  return TRUE;
}

static void
find_roots (GtCensus *census, const GtCensusOptions *options)
{
  for (gsize i = 0; i < options->n_roots; i++) {
    const GtCensusEntry *entry = find_entry (census, options->roots[i].pid);
    if (entry == NULL || entry->pass != census->pass || entry->record >= census->records->len)
      continue;
    GtCensusRecord *record = record_at (census, (gint) entry->record);
    if (record->entry == entry && is_bound_to (census, &options->roots[i], entry->start_ticks))
      record->member |= GT_MEMBER_ROOT;
  }
}

/* The parent is a member, or was one when last seen and ended since: its child was still its child
 * when it was looked at. */
static const GtCensusEntry *
parent_member (const GtCensus *census, const GtCensusRecord *record)
{
  if (record->parent >= 0) {
    const GtCensusRecord *parent = record_at (census, record->parent);
    return parent->member != 0 ? parent->entry : NULL;
  }
  const GtCensusEntry *gone = find_entry (census, record->stat.ppid);
  if (gone == NULL || !gone->member || gone->pass == census->pass
      || gone->start_ticks > record->stat.start_ticks)
    return NULL;
  return gone;
}

/* Parents come first. A process keeps the root it was first attributed to, whoever adopts it later.
 */
static void
decide_membership (GtCensus *census, GtCensusRecord *record)
{
  GtCensusEntry *entry = record->entry;
  const GtCensusEntry *parent = parent_member (census, record);
  if (census->mark->len > 0 && entry->mark != NULL && strcmp (entry->mark, census->mark->str) == 0)
    record->member |= GT_MEMBER_MARK;
  if (parent != NULL)
    record->member |= GT_MEMBER_DESCENDANT;
  if (entry->member)
    record->member |= GT_MEMBER_REMEMBERED;
  if (record->member & GT_MEMBER_ROOT)
    entry->root = entry->pid;
  else if (entry->root == 0 && parent != NULL)
    entry->root = parent->root;
  entry->member = record->member != 0;
}

static void
fill (const GtCensus *census, const GtCensusRecord *record, GtProcess *out)
{
  const GtProcStat *stat = &record->stat;
  const GtCensusEntry *entry = record->entry;
  out->pid = stat->pid;
  out->ppid = stat->ppid;
  out->pgrp = stat->pgrp;
  out->session = stat->session;
  out->start_ticks = stat->start_ticks;
  out->state = stat->state;
  out->zombie = gt_census_is_zombie (stat);
  out->member = record->member;
  out->root = entry->root;
  out->parent = record->parent < 0 ? -1 : record_at (census, record->parent)->shown;
  out->depth
      = out->parent < 0 ? 0 : g_array_index (census->shown, GtProcess, out->parent).depth + 1;
  out->threads = stat->threads;
  out->children_cpu_ns
      = saturating_product (stat->cutime_ticks + stat->cstime_ticks, census->tick_ns);
  out->rss_bytes = saturating_product ((guint64) stat->rss_pages, census->page_bytes);
  if (out->zombie && (census->flags & GT_CENSUS_PSS) != 0)
    out->pss_bytes = 0;
  out->comm = entry->comm;
  out->cmdline = (census->flags & GT_CENSUS_CMDLINE) != 0 ? entry->cmdline : NULL;
  out->mark_known = census->want_mark && entry->mark_known;
  out->mark = out->mark_known ? entry->mark : NULL;
}

static void
add_to_totals (GtCensusTotals *totals, const GtProcess *process)
{
  totals->processes++;
  totals->zombies += process->zombie;
  totals->burning += process->state == 'R' && process->cpu_grown_ns != 0;
  totals->cpu_ns += process->cpu_ns;
  totals->rss_bytes += process->rss_bytes;
  totals->pss_bytes += MAX (process->pss_bytes, 0);
}

/* It ended while its record was being completed: gone in this pass already, so that its CPU time is
 * in one of the two sums in every pass. */
static void
drop (GtCensus *census, GtCensusEntry *entry)
{
  census->result.totals.vanished += entry->counted;
  census->cpu_vanished_ns += entry->cpu_ns;
  entry->counted = FALSE;
  entry->pass = 0;
}

static gboolean
show (GtCensus *census, GtCensusRecord *record, GError **error)
{
  GtCensusEntry *entry = record->entry;
  gint64 cpu_before = entry->cpu_ns;
  gboolean cpu_known = entry->cpu_known;
  decide_membership (census, record);
  gboolean shown = record->member != 0 || (census->flags & GT_CENSUS_ALL) != 0;
  GtProcess process = { .pss_bytes = -1, .cpu_grown_ns = -1 };
  GtProcRead result = shown ? gt_census_read_extras (census, record, &process) : GT_PROC_READ_OK;
  entry->cpu_ns = MAX (own_cpu_ns (census, &record->stat), cpu_before);
  entry->cpu_known = TRUE;
  if (result == GT_PROC_READ_FAILED)
    return gt_census_fail (entry->pid, "files", error);
  if (result == GT_PROC_READ_GONE)
    drop (census, entry);
  if (!shown || result == GT_PROC_READ_GONE)
    return TRUE;
  fill (census, record, &process);
  process.cpu_ns = entry->cpu_ns;
  if (cpu_known)
    process.cpu_grown_ns = entry->cpu_ns - cpu_before;
  census->result.totals.appeared += !entry->counted;
  entry->counted = TRUE;
  record->shown = (gint) census->shown->len;
  g_array_append_val (census->shown, process);
  add_to_totals (&census->result.totals, &process);
  return TRUE;
}

/* Depth first from every record without a parent; links instead of a stack, since trees can be as
 * deep as there are processes. */
static gboolean
show_tree (GtCensus *census, gint top, GError **error)
{
  gint at = top;
  for (;;) {
    GtCensusRecord *record = record_at (census, at);
    if (!show (census, record, error))
      return FALSE;
    if (record->first_child >= 0) {
      at = record->first_child;
      continue;
    }
    while (at != top && record_at (census, at)->next_sibling < 0)
      at = record_at (census, at)->parent;
    if (at == top)
      return TRUE;
    at = record_at (census, at)->next_sibling;
  }
}

static void
forget_vanished (GtCensus *census)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, census->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const GtCensusEntry *entry = (const GtCensusEntry *) value;
    if (entry->pass == census->pass)
      continue;
    account_vanished (census, entry);
    g_hash_table_iter_remove (&iter);
  }
}

static void
prepare (GtCensus *census, const GtCensusOptions *options)
{
  census->pass++;
  census->flags = options->flags;
  census->want_mark = options->mark != NULL || (options->flags & GT_CENSUS_MARK) != 0;
  g_string_truncate (census->mark, 0);
  if (options->mark != NULL)
    gt_proc_escape (options->mark, strlen (options->mark), census->mark);
  g_array_set_size (census->records, 0);
  g_array_set_size (census->shown, 0);
  census->result = (GtCensusResult){ .before = gt_instant_now () };
}

const GtCensusResult *
gt_census_take (GtCensus *census, const GtCensusOptions *options, GError **error)
{
  GtCensusResult *result = &census->result;
  prepare (census, options);
  if (!scan (census, error))
    return NULL;
  find_roots (census, options);
  link_tree (census);
  for (gint i = 0; i < (gint) census->records->len; i++)
    if (record_at (census, i)->parent < 0 && !show_tree (census, i, error))
      return NULL;
  forget_vanished (census);
  result->totals.cpu_vanished_ns = census->cpu_vanished_ns;
  if ((census->flags & GT_CENSUS_PSS) == 0)
    result->totals.pss_bytes = -1;
  result->processes = (const GtProcess *) (gconstpointer) census->shown->data;
  result->n_processes = census->shown->len;
  result->after = gt_instant_now ();
  return result;
}

const GtProcess *
gt_census_find (const GtCensusResult *result, pid_t pid)
{
  for (gsize i = 0; i < result->n_processes; i++)
    if (result->processes[i].pid == pid)
      return &result->processes[i];
  return NULL;
}
