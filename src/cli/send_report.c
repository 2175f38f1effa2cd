#include "cli/send_report.h"

#include <stdio.h>
#include <unistd.h>

#define FIRST_PROGRESS_NS (2 * GT_NSEC_PER_SEC)
#define TTY_PROGRESS_NS   (GT_NSEC_PER_SEC / 2)
#define LOG_PROGRESS_NS   (10 * GT_NSEC_PER_SEC)

void
gt_send_report_init (GtSendReport *report, const GtSendOptions *options)
{
  *report = (GtSendReport){ .options = options, .start = gt_instant_now () };
  report->next_progress = gt_instant_add (report->start, FIRST_PROGRESS_NS);
  report->tty = isatty (STDERR_FILENO) != 0;
}

/* Takes the line of progress away, so that others begin at the left. */
static void
clear_progress (GtSendReport *report)
{
  if (report->open)
    fputs ("\r\033[K", stderr);
  report->open = FALSE;
}

static void
print_json (json_t *event)
{
  json_dumpf (event, stdout, JSON_COMPACT);
  putchar ('\n');
  json_decref (event);
}

void
gt_send_report_sent (GtSendReport *report, const char *id, const char *queue)
{
  const GtSendOptions *o = report->options;
  if (o->quiet)
    return;
  if (o->json)
    print_json (json_pack ("{s:s, s:s, s:s, s:s}", "event", "sent", "task_id", id, "queue", queue,
                           "task", o->task_name));
  else if (!o->wait)
    printf ("%s %s %s\n", id, queue, o->task_name);
}

static json_t *
text_or_null (const char *text)
{
  return text != NULL ? json_string (text) : json_null ();
}

static void
print_reply_json (const GtResult *r, const char *queue)
{
  json_t *children = r->children != NULL ? json_array () : json_null ();
  for (char **id = r->children; id != NULL && *id != NULL; id++)
    json_array_append_new (children, json_string (*id));
  print_json (json_pack ("{s:s, s:s, s:o, s:s, s:b, s:O, s:o, s:o, s:o, s:o, s:o}", "event",
                         "reply", "task_id", r->task_id, "queue", text_or_null (queue), "status",
                         r->status, "ready", r->ready, "result", r->result, "exc_type",
                         text_or_null (r->exc_type), "exc_module", text_or_null (r->exc_module),
                         "exc_message", text_or_null (r->exc_message), "traceback",
                         text_or_null (r->traceback), "children", children));
}

/* One line: task id, queue, status, and the result as JSON or the exception. */
static void
print_reply_text (const GtResult *r, const char *queue)
{
  const char *shown_queue = queue != NULL ? queue : "-";
  if (r->exc_type != NULL) {
    g_autofree char *message = g_strdup (r->exc_message);
    g_strdelimit (message, "\r\n", ' ');
    printf ("%s %s %s %s: %s\n", r->task_id, shown_queue, r->status, r->exc_type, message);
    return;
  }
  char *result = json_dumps (r->result, JSON_ENCODE_ANY | JSON_COMPACT);
  printf ("%s %s %s %s\n", r->task_id, shown_queue, r->status, result);
  free (result);
}

void
gt_send_report_reply (GtSendReport *report, const GtResult *result, const char *queue)
{
  if (report->options->quiet)
    return;
  clear_progress (report);
  if (report->options->json)
    print_reply_json (result, queue);
  else
    print_reply_text (result, queue);
  fflush (stdout);
}

void
gt_send_report_garbled (GtSendReport *report, const char *id, const char *queue,
                        const char *problem)
{
  g_autofree char *line = g_strdup_printf ("the result of task %s (queue %s) cannot be read: %s",
                                           id, queue != NULL ? queue : "-", problem);
  gt_send_report_note (report, line);
}

void
gt_send_report_note (GtSendReport *report, const char *line)
{
  clear_progress (report);
  fflush (stdout);
  fprintf (stderr, "gilotine send: %s\n", line);
}

void
gt_send_report_progress (GtSendReport *report)
{
  GtInstant now = gt_instant_now ();
  if (report->options->quiet || gt_instant_until (now, report->next_progress) > 0)
    return;
  const GtSendCounts *c = &report->counts;
  report->next_progress = gt_instant_add (now, report->tty ? TTY_PROGRESS_NS : LOG_PROGRESS_NS);
  fflush (stdout);
  fprintf (stderr, "%sgilotine send: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " sent",
           report->tty ? "\r\033[K" : "", c->confirmed, c->total);
  if (report->options->wait)
    fprintf (stderr, ", %" G_GUINT64_FORMAT " answered, %" G_GUINT64_FORMAT " failed", c->answered,
             c->failed);
  fprintf (stderr, ", %.0f s%s", (double) (now.ns - report->start.ns) / (double) GT_NSEC_PER_SEC,
           report->tty ? "" : "\n");
  fflush (stderr);
  report->open = report->tty;
}

void
gt_send_report_end (GtSendReport *report, const char *problem)
{
  const GtSendCounts *c = &report->counts;
  clear_progress (report);
  if (report->options->quiet)
    return;
  double elapsed = (double) (gt_instant_now ().ns - report->start.ns) / (double) GT_NSEC_PER_SEC;
  if (report->options->json) {
    print_json (json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "event", "end", "total",
                           (json_int_t) c->total, "sent", (json_int_t) c->sent, "confirmed",
                           (json_int_t) c->confirmed, "answered", (json_int_t) c->answered,
                           "failed", (json_int_t) c->failed, "elapsed", elapsed, "error",
                           text_or_null (problem)));
    return;
  }
  if (problem != NULL)
    return;
  fflush (stdout);
  g_autofree char *queues = g_strjoinv (", ", report->options->queues);
  fprintf (stderr, "gilotine send: sent %" G_GUINT64_FORMAT " x %s to %s in %.2f s", c->confirmed,
           report->options->task_name, queues, elapsed);
  if (report->options->wait)
    fprintf (stderr, "; %" G_GUINT64_FORMAT " answered, %" G_GUINT64_FORMAT " failed", c->answered,
             c->failed);
  fputc ('\n', stderr);
}
