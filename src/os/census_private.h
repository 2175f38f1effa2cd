/* What the two halves of the census share: census.c decides who belongs, census_read.c reads what
 * is more than a stat line. */
#pragma once

#include "os/census.h"
#include "os/proc_reader.h"

#define PF_KTHREAD 0x00200000u

/* What is remembered of a process from pass to pass, found by pid. */
typedef struct {
  pid_t pid;
  guint64 start_ticks;
  guint64 pass; /* last pass that saw it */
  guint record; /* index among this pass' records */
  pid_t root;
  gboolean member;  /* once a member, always a member */
  gboolean counted; /* its CPU time is part of the totals: member, or all were asked for */
  gboolean cpu_known;
  gint64 cpu_ns; /* when last seen */
  guint64 image; /* that mark and command line belong to */
  char comm_raw[GT_PROC_COMM_MAX + 1];
  char *comm;
  char *cmdline;
  char *mark;
  gboolean cmdline_known, mark_known;
  gboolean mark_tried; /* known, or known not to be readable */
} GtCensusEntry;

/* A process in this pass. Links are indices of records, -1 for none. */
typedef struct {
  GtProcStat stat;
  GtCensusEntry *entry;
  GtMember member;
  gint parent, first_child, next_sibling;
  gint shown; /* index in the result */
  guint visit;
} GtCensusRecord;

struct GtCensus {
  GtProcReader reader;
  GHashTable *entries; /* pid -> GtCensusEntry, owned */
  GArray *records;     /* GtCensusRecord, by pid */
  GArray *shown;       /* GtProcess */
  GArray *bound;       /* GtCensusRoot with the start time that was found */
  GString *text;       /* scratch */
  GString *mark;       /* the mark looked for, escaped as the entries' are */
  gboolean want_mark;
  guint flags; /* GtCensusFlags of this pass */
  guint64 pass;
  gint64 cpu_vanished_ns;
  gint64 tick_ns, page_bytes;
  GtCensusResult result;
};

static inline gboolean
gt_census_is_zombie (const GtProcStat *stat)
{
  return (stat->state == 'Z' || stat->state == 'X') && stat->threads <= 1;
}

/* Fills entry->mark unless that has been done since the process last executed a program. FALSE only
 * with an error; what vanished meanwhile stays among the records, and is dropped when it is to be
 * shown. */
gboolean gt_census_read_mark (GtCensus *census, GtCensusRecord *record, GError **error);

/* All that was asked for beyond the stat line, into the entry and `out`. GONE: drop the record. */
GtProcRead gt_census_read_extras (GtCensus *census, GtCensusRecord *record, GtProcess *out);

/* GT_OS_ERROR_SYSTEM from errno; returns FALSE. */
gboolean gt_census_fail (pid_t pid, const char *name, GError **error);
