/* The files that a query is given: none may be lost because another one replaces it. */
#pragma once

#include <glib.h>

/* As they were given; NULL: none. */
typedef struct {
  const char *database;
  const char *sql;    /* "-": standard input */
  const char *output; /* NULL: standard output */
  const char *report; /* a file or the number of a descriptor */
} GtQueryFiles;

/* FALSE and `error` (G_OPTION_ERROR) when the output or the report would replace another of them,
 * by whatever name. Devices and pipes replace nothing. */
gboolean gt_query_files_differ (const GtQueryFiles *files, GError **error);
