/* Parsers of /proc text: bytes in, struct out. No file is opened here, and nothing is assumed about
 * the text: it may be cut anywhere, and names hold any byte but NUL. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Long enough for kernel threads, whose names are not cut to 15 bytes as those of programs are. */
#define GT_PROC_COMM_MAX 64

/* /proc/PID/stat. Times in clock ticks (gt_proc_tick_ns), memory in pages. */
typedef struct {
  pid_t pid, ppid, pgrp, session;
  char state;
  guint flags; /* PF_* of the kernel */
  guint64 utime_ticks, stime_ticks, cutime_ticks, cstime_ticks;
  gint threads;
  guint64 start_ticks;
  gint64 rss_pages;
  /* Changes when the process executes a program: mixes addresses the kernel draws anew at each
   * exec. 0 when the process has no memory (zombie, kernel thread) or they are not ours to see. */
  guint64 image;
  gboolean
      has_environment; /* environ can be read and holds what it will hold until the next exec */
  char comm[GT_PROC_COMM_MAX + 1]; /* raw bytes, NUL-terminated, cut to fit */
} GtProcStat;

/* FALSE when the text is not a whole stat line; *out is then undefined. */
gboolean gt_proc_parse_stat (const char *text, gsize length, GtProcStat *out);

/* Bit n - 1 stands for signal n, as in /proc/PID/status. */
typedef struct {
  guint64 pending, pending_shared, blocked, ignored, caught;
} GtProcSignals;

/* /proc/PID/status. FALSE unless all five masks are there. */
gboolean gt_proc_parse_signals (const char *text, gsize length, GtProcSignals *out);

/* Proportional set size of /proc/PID/smaps_rollup in bytes; -1 when the text has none. */
gint64 gt_proc_parse_pss (const char *text, gsize length);

/* Value of NAME in the text of /proc/PID/environ: a pointer into it and its length, NULL when
 * there is none. The first of several counts, as for getenv. */
const char *gt_proc_find_env (const char *text, gsize length, const char *name,
                              gsize *value_length);

/* Replaces *out: arguments of /proc/PID/cmdline joined by spaces, escaped; at most about `limit`
 * bytes of the text, then "...". */
void gt_proc_join_cmdline (const char *text, gsize length, gsize limit, GString *out);

/* Appends bytes as valid UTF-8 fit for a terminal and for JSON: control and format characters, and
 * what is not UTF-8, as \n, \t, \xNN (one for each byte), and a backslash as two. */
void gt_proc_escape (const char *bytes, gsize length, GString *out);

/* "running", "sleeping", ... for a state letter; "unknown" for one the kernel has not had so far.
 */
const char *gt_proc_state_name (char state);

/* Nanoseconds of one tick of the kernel's accounting. */
gint64 gt_proc_tick_ns (void);
