/* The outcome record of `gilotine run`: --report. */
#pragma once

#include "deadline/outcome.h"
#include "os/family.h"

typedef struct {
  const char *target; /* as given; NULL: no report */
  int fd;             /* -1: target is a file */
  int mode;           /* its permissions are kept; -1: it is new */
} GtRunReport;

/* Before anything is started: a target that cannot be written is refused then and not after an
 * hour. A named pipe's reader is waited for, `until` then. FALSE and `error`. The descriptor no
 * longer passes to the command. */
gboolean gt_run_report_open (GtRunReport *report, const char *target, GtInstant until,
                             GError **error);

/* What the family knows into the record. */
void gt_run_record_family (GtOutcomeRecord *record, const GtFamily *family);

/* Finishes the record and writes it as one line; a file appears whole, under its name, or not at
 * all. FALSE and `error`; TRUE when no report was asked for. */
gboolean gt_run_report_write (const GtRunReport *report, GtOutcomeRecord *record, GError **error);

/* The same of a record that is JSON already; there is a target. */
gboolean gt_run_report_text (const GtRunReport *report, const char *json, GError **error);
