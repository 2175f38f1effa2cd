/* The interpreters and the DuckDB library that tools/build-python and tools/fetch-duckdb prepared:
 * $CACHE/manifest.ini (docs/interpreters.md). */
#pragma once

#include "lab/experiment.h"

typedef struct GtRuntimes GtRuntimes;

/* Reads the manifest. A missing one is no error: then nothing is available, and
 * gt_runtimes_missing() says how to get it. */
GtRuntimes *gt_runtimes_load (GError **error);
void gt_runtimes_free (GtRuntimes *runtimes);

/* Why this subject cannot run here and what to do about it, in one line; NULL when it can.
 * Free with g_free(). */
char *gt_runtimes_missing (const GtRuntimes *runtimes, const GtSubject *subject);

/* Values of the manifest, NULL when absent. Owned by the runtimes. */
const char *gt_runtimes_python (const GtRuntimes *runtimes, const char *runtime);
const char *gt_runtimes_version (const GtRuntimes *runtimes, const char *runtime);
const char *gt_runtimes_duckdb_library (const GtRuntimes *runtimes);
/* Of the library for driver "capi", of the module for "module". */
const char *gt_runtimes_duckdb_version (const GtRuntimes *runtimes, const GtSubject *subject);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtRuntimes, gt_runtimes_free)
