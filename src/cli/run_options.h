/* The options of `gilotine run`: those of timeout(1), and more. */
#pragma once

#include "os/clock.h"
#include "os/domain.h"

/* As timeout(1); docs/man/gilotine-run.1 lists them. */
enum {
  GT_RUN_TIMED_OUT = 124,
  GT_RUN_FAILED = 125,
  GT_RUN_CANNOT_EXEC = 126,
  GT_RUN_NOT_FOUND = 127,
  GT_RUN_SIGNALED = 128, /* + signal number */
};

typedef struct {
  gint64 duration_ns;  /* GT_DURATION_NONE: no limit */
  gint64 grace_ns;     /* from the first signal to the kill; GT_DURATION_NONE: no kill by time */
  gboolean kill_after; /* -k was given: a forwarded signal starts the grace as well */
  int signo;           /* first signal */
  gboolean verbose;
  gboolean preserve_status;
  gboolean foreground;
  gboolean keep_descendants;
  guint64 memory_bytes; /* limits of the family; 0: none */
  guint64 processes;
  gint64 cpu_ns;
  const char *on_soft; /* shell command; NULL: none */
  const char *report;  /* file, or number of a descriptor; NULL: none */
  GtDomain domain;
  char **command; /* argv of the command, inside the argv that was parsed */
} GtRunOptions;

/* `text` of the caller's for a message: in quotes, nothing in it that a terminal or a log would
 * obey. To be freed. */
char *gt_run_quote (const char *text);

/* FALSE: the command is to return *code; what there was to say has been said. */
gboolean gt_run_options_parse (GtRunOptions *options, int argc, char **argv, int *code);
