/* Rows for a query that takes a wanted time on this machine. */
#pragma once

#include "lab/runtime.h"
#include "os/clock.h"

/* Subjects of one key need the same rows: query, threads, driver (another DuckDB), wanted time.
 * Free with g_free(). */
char *gt_calibrate_key (const GtSubject *subject);

/* The rows in calibrate.py's output; -1 and `error` when it has none. */
gint64 gt_calibrate_parse (const char *output, GError **error);

/* Runs lab/subject/calibrate.py with an interpreter of the manifest, output below `work_dir`. -1
 * and `error` when it fails, ends after `until`, or cancel_fd becomes readable. Blocks for about a
 * second. */
gint64 gt_calibrate_rows (const GtRuntimes *runtimes, const GtSubject *subject,
                          const char *subject_dir, const char *work_dir, const char *const *env,
                          int cancel_fd, GtInstant until, GError **error);
