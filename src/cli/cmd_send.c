/* gilotine send: a Celery task to one or more queues, and its results. */
#include "broker/broker.h"
#include "cli/cli.h"
#include "cli/send_options.h"
#include "cli/send_report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COMMAND "send"

#define UUID_TEXT_SIZE 37

/* Names of unanswered tasks that are listed at the end. */
#define MAX_NAMED 10

typedef struct {
  GtSendOptions options;
  GtSendReport report;
  GtBroker *broker;
  GtMessage *message;
  guint n_queues;
  /* Message number i (from 0) went to queue i % n_queues under the id at ids + i * id_size. */
  char *ids;
  gsize id_size;
  guint8 *answered;      /* one for each message; NULL without --wait */
  GHashTable *number_of; /* id -> number + 1; keys within ids; NULL without --wait */
} Send;

static volatile sig_atomic_t caught_signal;
static int cancel_fd = -1;

static void
on_signal (int number)
{
  int saved_errno = errno;
  guint64 one = 1;
  caught_signal = number;
  ssize_t n = write (cancel_fd, &one, sizeof one);
  (void) n; /* its counter is not at its end: it takes it */
  errno = saved_errno;
}

/* The first Ctrl-C ends all waits in good order; a second one kills, should that hang. */
static void
catch_signals (void)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  cancel_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND };
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++) {
    struct sigaction old;
    /* What the caller ignores (nohup) stays ignored. */
    if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction (signals[i], &action, NULL);
  }
}

static const char *
id_of (const Send *s, guint64 number)
{
  return s->ids + number * s->id_size;
}

static const char *
queue_of (const Send *s, guint64 number)
{
  return s->options.queues[number % s->n_queues];
}

static void
on_notice (const char *line, gpointer data)
{
  gt_send_report_note (data, line);
}

static void
on_confirmed (guint64 first, guint64 last, gpointer data)
{
  Send *s = data;
  for (guint64 i = first - 1; i < last; i++)
    gt_send_report_sent (&s->report, id_of (s, i), queue_of (s, i));
  s->report.counts.confirmed += last - first + 1;
}

static int
exit_code (const GError *error)
{
  if (error->domain != GT_BROKER_ERROR)
    return GT_EXIT_USAGE;
  switch ((GtBrokerError) error->code) {
  case GT_BROKER_ERROR_URL:
  case GT_BROKER_ERROR_NAME:
    return GT_EXIT_USAGE;
  case GT_BROKER_ERROR_UNCONSUMED:
  case GT_BROKER_ERROR_UNROUTABLE:
  case GT_BROKER_ERROR_NACK:
  case GT_BROKER_ERROR_QUEUE:
    return GT_EXIT_FAILED;
  case GT_BROKER_ERROR_CANCELLED:
    return 128 + caught_signal;
  case GT_BROKER_ERROR_REFUSED:
  case GT_BROKER_ERROR_UNREACHABLE:
  case GT_BROKER_ERROR_LOST:
  case GT_BROKER_ERROR_TIMEOUT:
  case GT_BROKER_ERROR_IO:
  case GT_BROKER_ERROR_PROTOCOL:
  default:
    return GT_EXIT_SYSTEM;
  }
}

/* What was wrong, and honestly how far it came. */
static int
fail (Send *s, const GError *error)
{
  const GtSendCounts *c = &s->report.counts;
  gt_send_report_end (&s->report, error->message);
  GString *text = g_string_new (error->message);
  if (c->sent > 0)
    g_string_append_printf (text,
                            "; %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                            " tasks sent, %" G_GUINT64_FORMAT " of them confirmed by the broker",
                            c->sent, c->total, c->confirmed);
  if (c->sent > 0 && s->options.wait)
    g_string_append_printf (text, ", %" G_GUINT64_FORMAT " answered", c->answered);
  int code = gt_cli_fail (exit_code (error), COMMAND, "%s", text->str);
  g_string_free (text, TRUE);
  return code;
}

/* All of them before one is declared: a queue that nobody knows must not come to be. */
static gboolean
await_consumers (Send *s, GError **error)
{
  const GtSeconds *longest = &s->options.await_consumer;
  if (longest->kind == GT_FIELD_VOID)
    return TRUE;
  GtInstant until
      = gt_instant_add (gt_instant_now (), (gint64) (longest->seconds * (double) GT_NSEC_PER_SEC));
  for (char **queue = s->options.queues; *queue != NULL; queue++)
    if (!gt_broker_await_consumer (s->broker, *queue, until, error))
      return FALSE;
  return TRUE;
}

static gboolean
open_broker (Send *s, GError **error)
{
  GtBrokerOptions options = {
    .attempts = s->options.attempts,
    .notice = on_notice,
    .notice_data = &s->report,
    .confirmed = on_confirmed,
    .confirmed_data = s,
    .cancel_fd = cancel_fd,
  };
  s->broker = gt_broker_open (s->options.broker, &options, error);
  if (s->broker == NULL || !await_consumers (s, error))
    return FALSE;
  for (char **queue = s->options.queues; !s->options.no_declare && *queue != NULL; queue++)
    if (!gt_broker_declare (s->broker, *queue, GT_NEVER, error))
      return FALSE;
  return TRUE;
}

static gboolean
build_message (Send *s, const char *reply_to, GError **error)
{
  const GtSendOptions *o = &s->options;
  g_autofree char *origin = g_strdup_printf ("gen%d@%s", (int) getpid (), g_get_host_name ());
  GtTask task = {
    .task = o->task_name,
    .id = o->id != NULL ? o->id : "-",
    .args = o->args,
    .kwargs = o->kwargs,
    .countdown = o->countdown,
    .expires = o->expires,
    .time_limit = o->time_limit,
    .soft_time_limit = o->soft_time_limit,
    .priority = o->priority,
    .reply_to = reply_to,
    .origin = origin,
    .now_unix_us = g_get_real_time (),
  };
  s->message = gt_message_new (&task, error);
  return s->message != NULL;
}

static gboolean
prepare (Send *s, GError **error)
{
  s->n_queues = g_strv_length (s->options.queues);
  s->report.counts.total = (guint64) s->options.count * s->n_queues;
  s->id_size = s->options.id != NULL ? strlen (s->options.id) + 1 : UUID_TEXT_SIZE;
  s->ids = g_malloc0_n (s->report.counts.total, s->id_size);
  const char *reply_to = s->options.reply_to;
  if (s->options.wait) {
    s->answered = g_malloc0 (s->report.counts.total);
    s->number_of = g_hash_table_new (g_str_hash, g_str_equal);
    reply_to = gt_broker_open_replies (s->broker, reply_to, GT_NEVER, error);
    if (reply_to == NULL)
      return FALSE;
  }
  return build_message (s, reply_to, error);
}

static gboolean
publish_one (Send *s, guint64 number, GError **error)
{
  char *id = s->ids + number * s->id_size;
  g_autofree char *unique = s->options.id == NULL ? g_uuid_string_random () : NULL;
  g_strlcpy (id, unique != NULL ? unique : s->options.id, s->id_size);
  gt_message_set_id (s->message, id);
  if (s->number_of != NULL)
    g_hash_table_insert (s->number_of, id, GSIZE_TO_POINTER (number + 1));
  /* Counted before the call: a confirm may come from within it. */
  s->report.counts.sent++;
  return gt_broker_publish (s->broker, queue_of (s, number), s->message, GT_NEVER, error);
}

static gboolean
publish_all (Send *s, GError **error)
{
  for (guint64 i = 0; i < s->report.counts.total; i++) {
    if (!publish_one (s, i, error))
      return FALSE;
    gt_send_report_progress (&s->report);
  }
  return gt_broker_flush (s->broker, GT_NEVER, error);
}

/* Counts a final answer once. `number`: message number + 1, 0 = none of ours. */
static void
count_answer (Send *s, gsize number, gboolean success)
{
  if (number == 0 || s->answered[number - 1])
    return;
  s->answered[number - 1] = TRUE;
  s->report.counts.answered++;
  s->report.counts.failed += !success;
}

static void
take_reply (Send *s, GtDelivery *delivery)
{
  g_autoptr (GError) problem = NULL;
  gsize len = 0;
  const char *body = g_bytes_get_data (delivery->body, &len);
  g_autoptr (GtResult) result = gt_result_decode (body, len, &problem);
  const char *id = result != NULL ? result->task_id : delivery->correlation_id;
  if (id == NULL)
    id = "?";
  gsize number = GPOINTER_TO_SIZE (g_hash_table_lookup (s->number_of, id));
  const char *queue = number != 0 ? queue_of (s, number - 1) : NULL;
  if (result == NULL) {
    gt_send_report_garbled (&s->report, id, queue, problem->message);
    count_answer (s, number, FALSE);
    return;
  }
  gt_send_report_reply (&s->report, result, queue);
  if (result->ready)
    count_answer (s, number, strcmp (result->status, "SUCCESS") == 0);
}

/* FALSE with TIMEOUT: `until` passed. */
static gboolean
wait_for_replies (Send *s, GtInstant until, GError **error)
{
  while (s->report.counts.answered < s->report.counts.total) {
    GtInstant next = s->report.next_progress;
    GtInstant wake = next.ns < until.ns ? next : until;
    g_autoptr (GError) problem = NULL;
    g_autoptr (GtDelivery) delivery = gt_broker_receive (s->broker, wake, &problem);
    gt_send_report_progress (&s->report);
    if (delivery != NULL) {
      take_reply (s, delivery);
      continue;
    }
    gboolean over = gt_instant_until (gt_instant_now (), until) == 0;
    if (over || !g_error_matches (problem, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT)) {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  }
  return TRUE;
}

static int
name_unanswered (Send *s)
{
  const GtSendCounts *c = &s->report.counts;
  GString *text = g_string_new (NULL);
  guint64 missing = c->total - c->answered;
  g_string_printf (text,
                   "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                   " tasks were not answered within %g s (is a worker consuming the queue?):",
                   missing, c->total, s->options.timeout.seconds);
  guint named = 0;
  for (guint64 i = 0; i < c->total && named < MAX_NAMED; i++)
    if (!s->answered[i]) {
      g_string_append_printf (text, " %s (%s)", id_of (s, i), queue_of (s, i));
      named++;
    }
  if (named < missing)
    g_string_append (text, " ...");
  gt_send_report_end (&s->report, "not answered in time");
  int code = gt_cli_fail (GT_EXIT_FAILED, COMMAND, "%s", text->str);
  g_string_free (text, TRUE);
  return code;
}

static int
finish (Send *s)
{
  gt_send_report_end (&s->report, NULL);
  if (fflush (stdout) != 0 || ferror (stdout))
    return gt_cli_fail (GT_EXIT_SYSTEM, COMMAND, "cannot write to standard output: %s",
                        g_strerror (errno));
  return s->report.counts.failed > 0 ? GT_EXIT_FAILED : GT_EXIT_OK;
}

static int
run (Send *s)
{
  g_autoptr (GError) error = NULL;
  if (!open_broker (s, &error) || !prepare (s, &error) || !publish_all (s, &error))
    return fail (s, error);
  if (!s->options.wait)
    return finish (s);
  fflush (stdout); /* what was sent, before a silence of unknown length */
  GtInstant until = GT_NEVER;
  if (s->options.timeout.kind != GT_FIELD_VOID)
    until = gt_instant_add (gt_instant_now (),
                            (gint64) (s->options.timeout.seconds * (double) GT_NSEC_PER_SEC));
  if (wait_for_replies (s, until, &error))
    return finish (s);
  if (g_error_matches (error, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT))
    return name_unanswered (s);
  return fail (s, error);
}

static void
send_clear (Send *s)
{
  if (s->broker != NULL)
    gt_broker_close (s->broker);
  if (s->message != NULL)
    gt_message_free (s->message);
  g_clear_pointer (&s->number_of, g_hash_table_unref);
  g_free (s->answered);
  g_free (s->ids);
  gt_send_options_clear (&s->options);
}

int
gt_cmd_send (int argc, char **argv)
{
  Send s = { 0 };
  int code = gt_send_options_parse (&s.options, argc, argv);
  if (code == GT_EXIT_OK) {
    catch_signals ();
    gt_send_report_init (&s.report, &s.options);
    code = run (&s);
  }
  send_clear (&s);
  return code;
}
