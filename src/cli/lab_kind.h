/* The kinds of experiments of gilotine lab: [experiment] kind = NAME. */
#pragma once

#include "cli/cli.h"

#include <jansson.h>

typedef struct {
  gboolean list, quick, json, keep, detail, quiet, compose;
  char **only;
  char *broker;
  char *out_dir;
  char *from_dir;
  char *project_dir;
  char *observe;
  char **experiment; /* remaining arguments */
} GtLabOptions;

/* Functions return the exit code; `path` is that of the .ini file. */
typedef struct {
  const char *name;
  /* One line of --list. FALSE with `error` when the file is wrong. */
  gboolean (*describe) (const char *path, const GtLabOptions *options, GError **error);
  int (*list) (const char *path, const GtLabOptions *options);
  int (*run) (const char *path, const GtLabOptions *options);
  int (*show) (const char *dir, const GtLabOptions *options); /* --from */
} GtLabKind;

/* For kinds: what is not their own. */

/* Says the error; the exit code for it. */
int gt_lab_fail (const GError *error);

/* The --out folder, or a new one with a name of the experiment and the time. Free with g_free(). */
char *gt_lab_out_dir (const char *experiment, const GtLabOptions *options, GError **error);

/* Computes everything from the raw samples in `dir` and prints it; `write`: into files there too.
 */
typedef int (*GtLabShow) (const char *dir, const GtLabOptions *options, gboolean write);

/* After a run that ended with `error` (NULL: well): whatever ended it, what was recorded until then
 * is whole, and shown. Returns the exit code. */
int gt_lab_conclude (const char *dir, const GtLabOptions *options, const GError *error,
                     GtLabShow show);

/* Prints `json` (taken over) or `shown`, as asked; writes the files table.txt (of `kept`) and
 * result.json first if `write`. Returns GT_EXIT_OK or what gt_lab_fail() does. */
int gt_lab_print (const char *dir, const GtLabOptions *options, gboolean write, const char *shown,
                  const char *kept, json_t *json);

/* Whether standard output takes colours. */
gboolean gt_lab_colour (void);

extern const GtLabKind gt_lab_kind_run_tools;
extern const GtLabKind gt_lab_kind_interrupt;
