/* A family of processes, seen from outside through /proc only.
 *
 *   g_autoptr (GtCensus) census = gt_census_new (NULL, &error);
 *   GtCensusRoot root = { .pid = worker };
 *   GtCensusOptions options = { .roots = &root, .n_roots = 1, .mark = "f00d" };
 *   const GtCensusResult *seen = gt_census_take (census, &options, &error);   // again and again
 *
 * A process belongs to the family when it is a root, descends from a member, carries the mark in
 * its environment, or belonged in an earlier pass of the same census. So what left the tree by
 * setsid, a double fork or the death of its parent is still attributed. What forks and loses its
 * parent between two passes is found by the mark alone, or by its adopter when that is a member (a
 * subreaper).
 *
 * A process is its pid and its start time: a reused pid is another process. A pass is not a
 * snapshot (the kernel offers none): each record is true at some instant between `before` and
 * `after`, and a process that ends in the middle is either whole or absent.
 *
 * One census belongs to one thread at a time; different censuses are independent. */
#pragma once

#include "os/clock.h"
#include "os/proc.h"

#include <glib.h>
#include <sys/types.h>

typedef struct GtCensus GtCensus;

/* What is worth its cost only when asked for. Kept for a process until it executes another
 * program: MARK, CMDLINE. Read again in every pass, members only: PSS (slow: it walks the whole
 * address space), SIGNALS. */
typedef enum {
  GT_CENSUS_CMDLINE = 1 << 0,
  GT_CENSUS_MARK = 1 << 1, /* fills GtProcess.mark; implied by GtCensusOptions.mark */
  GT_CENSUS_PSS = 1 << 2,
  GT_CENSUS_SIGNALS = 1 << 3,
  GT_CENSUS_ALL = 1 << 4,      /* every process of the machine is shown */
  GT_CENSUS_NOT_SELF = 1 << 5, /* the calling process is not looked at */
} GtCensusFlags;

/* start_ticks 0: whoever has the pid when this census first sees it; remembered from then on. */
typedef struct {
  pid_t pid;
  guint64 start_ticks;
} GtCensusRoot;

/* All borrowed for the call. Roots, mark and flags may change from pass to pass. */
typedef struct {
  const GtCensusRoot *roots;
  gsize n_roots;
  const char *mark; /* value of GILOTINE_MARK; NULL: do not look for a mark */
  guint flags;      /* GtCensusFlags */
} GtCensusOptions;

/* Why a process belongs; more than one may hold, none when only GT_CENSUS_ALL includes it. */
typedef enum {
  GT_MEMBER_ROOT = 1 << 0,
  GT_MEMBER_DESCENDANT = 1 << 1, /* its parent is a member now */
  GT_MEMBER_MARK = 1 << 2,
  GT_MEMBER_REMEMBERED = 1 << 3, /* was a member in an earlier pass */
} GtMember;

/* Sizes, times: -1 means not asked for or not known (no permission), never "none".
 * Strings are valid UTF-8 without control characters (see gt_proc_escape). */
typedef struct {
  pid_t pid, ppid, pgrp, session;
  guint64 start_ticks; /* since boot; with pid the identity of the process */
  char state;          /* letter of /proc/PID/stat: R S D Z T t X I ... */
  gboolean zombie;     /* dead and not reaped; a leader that ended before its threads is not */
  GtMember member;
  pid_t root;  /* the root it descends from or once descended from; 0: known by its mark alone */
  gint parent; /* index in the same result, -1 when its parent is not in it */
  guint depth; /* 0 when parent is -1 */
  gint threads;
  gint64 cpu_ns;          /* own user + system time, all threads; resolution: one tick (10 ms) */
  gint64 cpu_grown_ns;    /* since the previous pass; -1 when it was not seen then */
  gint64 children_cpu_ns; /* of children it has waited for, and of theirs */
  gint64 rss_bytes;       /* 0 for zombies and kernel threads */
  gint64 pss_bytes;
  gboolean signals_known;
  GtProcSignals signals;
  const char *comm;
  /* Arguments joined by spaces; "" for kernel threads; a zombie has none any more, so that of its
   * life, when it was seen then. NULL: not asked, not known. */
  const char *cmdline;
  gboolean mark_known; /* FALSE: not asked, no permission, or dead before the first look */
  const char *mark;    /* NULL: has none (when mark_known) */
} GtProcess;

typedef struct {
  guint processes; /* members, zombies included */
  guint zombies;
  /* Running now, and its CPU time grew since the previous pass (seen for the first time: running).
   */
  guint burning;
  guint appeared; /* members that were not members in the previous pass */
  guint vanished; /* members of the previous pass that are gone */
  gint64 cpu_ns;  /* own time of all members */
  /* Of all members that ever vanished, as last seen. cpu_ns + this never falls, and is a lower
   * bound: what ran after its last look is not in it. */
  gint64 cpu_vanished_ns;
  gint64 rss_bytes; /* shared pages count once for each */
  gint64 pss_bytes; /* of those where it is known; -1 when not asked */
  guint scanned;    /* processes looked at */
  guint denied;     /* could not be looked at: no permission */
  gboolean hidden;  /* /proc hides processes of other users (hidepid) */
} GtCensusTotals;

/* Owned by the census, valid until its next pass or its end. Processes are in tree order: a parent
 * before its children, siblings by pid. */
typedef struct {
  GtInstant before, after;
  const GtProcess *processes;
  gsize n_processes;
  GtCensusTotals totals;
} GtCensusResult;

/* proc_root: NULL for /proc; tests point it at a tree of their own. Fails with GT_OS_ERROR when
 * that is no readable /proc. Holds one file descriptor. */
GtCensus *gt_census_new (const char *proc_root, GError **error);
void gt_census_free (GtCensus *census);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtCensus, gt_census_free)

/* One pass. NULL and GT_OS_ERROR only when /proc itself cannot be read; a family of which nobody
 * is left is a result with no processes. Allocates only when the machine has more processes, or
 * processes unseen before, than in earlier passes. */
const GtCensusResult *gt_census_take (GtCensus *census, const GtCensusOptions *options,
                                      GError **error);

/* Record of this pid in the last pass, or NULL. */
const GtProcess *gt_census_find (const GtCensusResult *result, pid_t pid);
