#include "os/census_private.h"

#include "os/error.h"

#include <errno.h>
#include <string.h>

#define MARK_VARIABLE "GILOTINE_MARK"

/* An argument list may be 2 MiB long; what people read of it is the beginning. */
#define CMDLINE_SHOWN 4096

/* The kernel allows an environment of a quarter of the stack limit at most, 6 MiB. */
#define ENVIRON_LIMIT (8u << 20)
#define FILE_LIMIT    (64u << 10)

gboolean
gt_census_fail (pid_t pid, const char *name, GError **error)
{
  return gt_os_fail (error, errno, "cannot read %s of process %d", name, (int) pid);
}

/* Another file of the process whose folder is open. DENIED: it lives, but this cannot be known.
 * GONE: it ended. A zombie has its stat line still, and nothing else: then the record becomes one.
 */
static GtProcRead
read_extra (GtCensus *census, GtCensusRecord *record, const char *name, gsize limit)
{
  GtProcStat stat;
  GtProcRead result = gt_proc_reader_file (&census->reader, name, limit);
  if (result != GT_PROC_READ_GONE)
    return result;
  result = gt_proc_reader_stat_again (&census->reader, &stat);
  if (result != GT_PROC_READ_OK)
    return result;
  record->stat = stat;
  return GT_PROC_READ_DENIED;
}

/* In the middle of an exec the environment is empty for a moment: then the next pass looks again.
 */
static GtProcRead
read_mark (GtCensus *census, GtCensusRecord *record)
{
  const GtProcReader *reader = &census->reader;
  GtCensusEntry *entry = record->entry;
  GtProcRead result = read_extra (census, record, "environ", ENVIRON_LIMIT);
  if (result == GT_PROC_READ_DENIED)
    entry->mark_tried = TRUE;
  if (result != GT_PROC_READ_OK)
    return result;
  if (reader->length == 0 && !record->stat.has_environment && record->stat.image != 0)
    return GT_PROC_READ_OK;
  gsize length = 0;
  const char *value = gt_proc_find_env (reader->buffer, reader->length, MARK_VARIABLE, &length);
  g_clear_pointer (&entry->mark, g_free);
  if (value != NULL) {
    g_string_truncate (census->text, 0);
    gt_proc_escape (value, length, census->text);
    entry->mark = g_strndup (census->text->str, census->text->len);
  }
  entry->mark_known = entry->mark_tried = TRUE;
  return GT_PROC_READ_OK;
}

static GtProcRead
read_cmdline (GtCensus *census, GtCensusRecord *record)
{
  const GtProcReader *reader = &census->reader;
  GtCensusEntry *entry = record->entry;
  GtProcRead result = read_extra (census, record, "cmdline", FILE_LIMIT);
  if (result != GT_PROC_READ_OK)
    return result;
  /* Empty for a program: it is about to become a zombie, or to execute another. */
  if (reader->length == 0 && entry->cmdline != NULL)
    return result;
  gt_proc_join_cmdline (reader->buffer, reader->length, CMDLINE_SHOWN, census->text);
  g_free (entry->cmdline);
  entry->cmdline = g_strndup (census->text->str, census->text->len);
  entry->cmdline_known = reader->length > 0 || (record->stat.flags & PF_KTHREAD) != 0;
  return result;
}

/* Opens the process of this record for more than its stat line. GONE when the pid now belongs to
 * another process. */
static GtProcRead
enter_again (GtCensus *census, GtCensusRecord *record)
{
  GtProcStat stat;
  GtProcRead result = gt_proc_reader_enter (&census->reader, record->stat.pid, &stat);
  if (result == GT_PROC_READ_OK && stat.start_ticks != record->stat.start_ticks)
    result = GT_PROC_READ_GONE;
  if (result == GT_PROC_READ_OK)
    record->stat = stat;
  else
    gt_proc_reader_leave (&census->reader);
  return result;
}

/* The mark of a process not looked at since it last executed a program. FALSE only with an error;
 * what vanished meanwhile stays among the records, and is dropped when it is to be shown. */
gboolean
gt_census_read_mark (GtCensus *census, GtCensusRecord *record, GError **error)
{
  GtCensusEntry *entry = record->entry;
  if (entry->mark_tried || gt_census_is_zombie (&record->stat))
    return TRUE;
  if (record->stat.flags & PF_KTHREAD) {
    entry->mark_known = entry->mark_tried = TRUE;
    return TRUE;
  }
  GtProcRead result = enter_again (census, record);
  if (result == GT_PROC_READ_OK)
    result = read_mark (census, record);
  gt_proc_reader_leave (&census->reader);
  return result != GT_PROC_READ_FAILED || gt_census_fail (entry->pid, "environ", error);
}

GtProcRead
gt_census_read_extras (GtCensus *census, GtCensusRecord *record, GtProcess *out)
{
  const GtProcReader *reader = &census->reader;
  gboolean cmdline = (census->flags & GT_CENSUS_CMDLINE) != 0 && !record->entry->cmdline_known;
  gboolean pss = (census->flags & GT_CENSUS_PSS) != 0;
  gboolean signals = (census->flags & GT_CENSUS_SIGNALS) != 0;
  if (gt_census_is_zombie (&record->stat))
    cmdline = pss = FALSE;
  if (!cmdline && !pss && !signals)
    return GT_PROC_READ_OK;
  GtProcRead result = enter_again (census, record);
  if (result == GT_PROC_READ_OK && cmdline)
    result = read_cmdline (census, record);
  if (result != GT_PROC_READ_GONE && result != GT_PROC_READ_FAILED && pss) {
    result = read_extra (census, record, "smaps_rollup", FILE_LIMIT);
    if (result == GT_PROC_READ_OK)
      out->pss_bytes = reader->length == 0 ? 0 : gt_proc_parse_pss (reader->buffer, reader->length);
  }
  if (result != GT_PROC_READ_GONE && result != GT_PROC_READ_FAILED && signals) {
    result = read_extra (census, record, "status", FILE_LIMIT);
    out->signals_known = result == GT_PROC_READ_OK
                         && gt_proc_parse_signals (reader->buffer, reader->length, &out->signals);
  }
  gt_proc_reader_leave (&census->reader);
  return result == GT_PROC_READ_DENIED ? GT_PROC_READ_OK : result;
}
