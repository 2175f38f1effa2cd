/* Raw samples: DIR/raw.jsonl, one JSON object a line, from which every figure is computed.
 *
 * "k" is the kind of a record; "t" a CLOCK_MONOTONIC instant in ns; "s" the subject's name.
 *   run      version, experiment, title, question, cpus, broker, started (wall clock, for people)
 *   subject  t, index, factors {}, settings {}, rows, python, duckdb, reaper (in a container)
 *   skip     why
 *   spawn    t, root (gilotine-init), worker
 *   sent     t, task (id)
 *   proc     pid, start, cmd          once for each process and each program it executes
 *   sample   t, w, p [[pid, start, ppid, state, cpu_ns, rss_bytes, threads, sigterm]]
 *            sigterm: c caught, i ignored, d default, ? not known; w: processes of the work alive
 *   trace    t (received), e {}       what the subject says of itself (docs/subject.md)
 *   log      t, line                  the worker's own log
 *   result   t, status, value | error, message
 *   exit     t, how                   the worker ended by itself
 *   end      t, left                  the family was ended; processes found afterwards
 *   final    t, left, interrupted, error   the run was torn down
 * Not thread-safe. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdio.h>

typedef struct GtRaw GtRaw;

/* Creates DIR if need be. Refuses one that holds a raw.jsonl already. */
GtRaw *gt_raw_create (const char *dir, GError **error);

/* Records of an observer on its own, to a stream, which is borrowed. */
GtRaw *gt_raw_stream (FILE *stream);

/* Writes a record; takes over the reference. Every failure is kept and also returned by
 * gt_raw_close(), so that a full disk cannot pass unseen. */
gboolean gt_raw_write (GtRaw *raw, json_t *record, GError **error);

/* Makes everything so far visible to readers. */
gboolean gt_raw_flush (GtRaw *raw, GError **error);

/* Removes the file again, and the folder when nothing else is in it: of a run that recorded
 * nothing. Closes and frees. */
void gt_raw_discard (GtRaw *raw);

/* Flushes, closes and frees. NULL is allowed. */
gboolean gt_raw_close (GtRaw *raw, GError **error);

typedef gboolean (*GtRawFunc) (const json_t *record, gpointer data, GError **error);

/* Calls `func` for each record of DIR/raw.jsonl; stops when it returns FALSE. An error names file
 * and line. A last line without its end (the lab was killed) is left out. */
gboolean gt_raw_read (const char *dir, GtRawFunc func, gpointer data, GError **error);
