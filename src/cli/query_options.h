/* What `gilotine query` was asked for. */
#pragma once

#include "cli/query_format.h"
#include "deadline/limits.h"
#include "os/domain.h"

#include <jansson.h>

typedef struct {
  char *sql;
  char *database;  /* absolute; NULL: in memory */
  char *temp_root; /* NULL: the system's */
  char *output;    /* NULL: standard output */
  char *report;    /* NULL: none */
  json_t *params;  /* NULL: none */
  GtLimitsAsked asked;
  gint64 threads;          /* 0: one for each CPU that we may use */
  gint64 max_result_bytes; /* 0: no limit */
  GtDomain domain;
  GtQueryFormat format;
  gboolean read_only, explain_limits, no_progress;
} GtQueryOptions;

/* Parses argv and reads the SQL, from a file or standard input where that is asked for. FALSE:
 * `*code` is the exit code, all has been said. */
gboolean gt_query_options_parse (GtQueryOptions *options, int argc, char **argv, int *code);
void gt_query_options_clear (GtQueryOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtQueryOptions, gt_query_options_clear)
