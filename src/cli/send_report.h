/* What `gilotine send` tells: lines on standard output, progress on standard error. */
#pragma once

#include "celery/result.h"
#include "cli/send_options.h"

typedef struct {
  guint64 total; /* to be sent */
  guint64 sent;
  guint64 confirmed;
  guint64 answered; /* tasks with a final answer */
  guint64 failed;   /* those of them that did not succeed */
} GtSendCounts;

typedef struct {
  const GtSendOptions *options;
  GtSendCounts counts;
  GtInstant start;
  GtInstant next_progress;
  gboolean tty;  /* progress is one line that is written over */
  gboolean open; /* such a line is shown now */
} GtSendReport;

void gt_send_report_init (GtSendReport *report, const GtSendOptions *options);

void gt_send_report_sent (GtSendReport *report, const char *id, const char *queue);
void gt_send_report_reply (GtSendReport *report, const GtResult *result, const char *queue);

/* A reply that cannot be read: its task counts as failed. */
void gt_send_report_garbled (GtSendReport *report, const char *id, const char *queue,
                             const char *problem);

/* A line for the user on standard error. */
void gt_send_report_note (GtSendReport *report, const char *line);

/* After two seconds, and then now and again, says how far it is. */
void gt_send_report_progress (GtSendReport *report);

/* The counts at the end; `problem` NULL = all went well. */
void gt_send_report_end (GtSendReport *report, const char *problem);
