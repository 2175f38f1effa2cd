#include "cli/send_options.h"

#include "cli/cli.h"

#include <math.h>
#include <string.h>

#define COMMAND        "send"
#define DEFAULT_BROKER "amqp://guest:guest@localhost:5672//"
#define DEFAULT_QUEUES "gil,nogil"
#define PRODUCER_TASK  "tasks.leak_demo"

/* The experiment's task, which is sent when none is named: X (environment, kwarg, default, kind) */
#define PRODUCER(X)                                                                                \
  X ("ITERATIONS", "iterations", "10", NUMBER_INT)                                                 \
  X ("DUCKDB_ROWS", "rows", "500000000", NUMBER_INT)                                               \
  X ("DUCKDB_TIMEOUT", "timeout_sec", "2", NUMBER_REAL)

typedef enum { NUMBER_INT, NUMBER_REAL } NumberKind;

static const char summary[]
    = "Sends a Celery task (protocol 2) and waits until the broker has confirmed it.\n"
      "Without --task it sends the experiment's task, " PRODUCER_TASK ", with ITERATIONS (10),\n"
      "DUCKDB_ROWS (500000000) and DUCKDB_TIMEOUT (2) from the environment.";

static const char description[]
    = "Environment:\n"
      "  CELERY_BROKER_URL  the broker when --broker is not given\n"
      "  TARGET_QUEUES      the queues when --queue is not given (else " DEFAULT_QUEUES ")\n\n"
      "Brokers:\n"
      "  amqp://USER:PASSWORD@HOST:PORT/VHOST?heartbeat=S&connect_timeout=S\n"
      "  amqps://...?cacert=FILE&cert=FILE&key=FILE&verify=peer|none\n"
      "  filesystem:///DIR  kombu's folders in DIR; no server needed\n\n"
      "Examples:\n"
      "  gilotine send --task tasks.add --args '[2, 3]' --queue celery --wait\n"
      "  gilotine send --task tasks.report --kwargs @big.json --time-limit 60 --json\n"
      "  gilotine send --queue gil --await-consumer 30\n"
      "  ITERATIONS=3 gilotine send --broker filesystem:///tmp/spool --wait --timeout 60\n\n"
      "Exit codes:\n"
      "  0    sent, and with --wait every task succeeded\n"
      "  1    a task failed or was not answered in time, no queue took it, or nobody consumes it\n"
      "  2    wrong option or input\n"
      "  111  the broker cannot be reached, refused us or failed\n"
      "  130  interrupted";

static GtExit bad (const char *format, ...) G_GNUC_PRINTF (1, 2);

static GtExit
bad (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);
  return (GtExit) gt_cli_fail (GT_EXIT_USAGE, COMMAND, "%s", message);
}

/* The text of --args or --kwargs: given as it is, or @FILE, since one argument of a command line
 * holds 128 KiB. */
static char *
json_text (const char *option, const char *value, gsize *len)
{
  if (value[0] != '@') {
    *len = strlen (value);
    return g_strdup (value);
  }
  char *text = NULL;
  g_autoptr (GError) error = NULL;
  if (!g_file_get_contents (value + 1, &text, len, &error))
    bad ("--%s: %s", option, error->message);
  return text;
}

static GtExit
parse_json (const char *option, const char *value, json_type wanted, json_t **out)
{
  if (value == NULL)
    return GT_EXIT_OK;
  gsize len = 0;
  g_autofree char *text = json_text (option, value, &len);
  if (text == NULL)
    return GT_EXIT_USAGE;
  json_error_t problem;
  *out
      = json_loadb (text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &problem);
  if (*out == NULL)
    return bad ("--%s is not JSON: %s (line %d, column %d)", option, problem.text, problem.line,
                problem.column);
  if (json_typeof (*out) != wanted)
    return bad ("--%s must be a JSON %s", option,
                wanted == JSON_ARRAY ? "array, like '[2, 3]'" : "object, like '{\"x\": 2}'");
  return GT_EXIT_OK;
}

/* 20 is an integer for Celery, 20.5 a float. */
static gboolean
parse_seconds (const char *text, GtSeconds *out)
{
  char *end = NULL;
  gint64 integer = g_ascii_strtoll (text, &end, 10);
  if (end != text && *end == '\0' && ABS (integer) <= G_MAXINT32) {
    *out = (GtSeconds){ GT_FIELD_INT, (double) integer };
    return TRUE;
  }
  double real = g_ascii_strtod (text, &end);
  if (end == text || *end != '\0' || !isfinite (real) || fabs (real) > G_MAXINT32)
    return FALSE;
  *out = (GtSeconds){ GT_FIELD_DOUBLE, real };
  return TRUE;
}

static GtExit
check_seconds (const char *option, const char *text, gboolean zero, GtSeconds *out)
{
  if (text == NULL)
    return GT_EXIT_OK;
  if (parse_seconds (text, out) && (zero ? out->seconds >= 0 : out->seconds > 0))
    return GT_EXIT_OK;
  return bad ("--%s must be a number of seconds %s, not '%s'", option,
              zero ? "from 0 up" : "above 0", text);
}

static GtExit
check_integer (const char *option, const char *text, guint64 least, guint64 most, guint *out)
{
  guint64 value = 0;
  if (text == NULL)
    return GT_EXIT_OK;
  if (!g_ascii_string_to_unsigned (text, 10, least, most, &value, NULL))
    return bad ("--%s must be a whole number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                ", not '%s'",
                option, least, most, text);
  *out = (guint) value;
  return GT_EXIT_OK;
}

/* Each may be a list; empty parts are dropped, repeated names kept once. */
static GStrv
split_queues (const char *const *lists)
{
  g_autoptr (GStrvBuilder) queues = g_strv_builder_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (; lists != NULL && *lists != NULL; lists++) {
    g_auto (GStrv) parts = g_strsplit (*lists, ",", -1);
    for (char **part = parts; *part != NULL; part++)
      if (*g_strstrip (*part) != '\0' && g_hash_table_add (seen, g_strdup (*part)))
        g_strv_builder_add (queues, *part);
  }
  return g_strv_builder_end (queues);
}

static void
choose_queues (GtSendOptions *o, const char *const *given)
{
  const char *environment[] = { g_getenv ("TARGET_QUEUES"), NULL };
  static const char *const defaults[] = { DEFAULT_QUEUES, NULL };
  const char *const *const sources[] = { given, environment, defaults };
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++) {
    g_strfreev (o->queues);
    o->queues = split_queues (sources[i]);
    if (o->queues[0] != NULL)
      return;
  }
}

static GtExit
use_producer (GtSendOptions *o)
{
  static const struct {
    const char *variable;
    const char *kwarg;
    const char *fallback;
    NumberKind kind;
  } rows[] = {
#define X(variable, kwarg, fallback, kind) { variable, kwarg, fallback, kind },
    PRODUCER (X)
#undef X
  };
  if (o->args != NULL || o->kwargs != NULL)
    return bad ("--args and --kwargs need --task");
  o->task_name = g_strdup (PRODUCER_TASK);
  o->kwargs = json_object ();
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    const char *text = g_getenv (rows[i].variable);
    if (text == NULL || text[0] == '\0')
      text = rows[i].fallback;
    guint64 integer = 0;
    GtSeconds seconds = GT_SECONDS_NONE;
    if (rows[i].kind == NUMBER_INT) {
      if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXINT64, &integer, NULL))
        return bad ("%s in the environment must be a whole number from 1 up, not '%s'",
                    rows[i].variable, text);
      json_object_set_new (o->kwargs, rows[i].kwarg, json_integer ((json_int_t) integer));
    } else {
      if (!parse_seconds (text, &seconds) || seconds.seconds <= 0)
        return bad ("%s in the environment must be a number of seconds above 0, not '%s'",
                    rows[i].variable, text);
      json_object_set_new (o->kwargs, rows[i].kwarg, json_real (seconds.seconds));
    }
  }
  return GT_EXIT_OK;
}

/* The options as texts, before they are checked. */
typedef struct {
  char *args, *kwargs, *countdown, *expires, *time_limit, *soft_time_limit, *priority, *count,
      *timeout, *attempts, *await_consumer;
  GStrv queues;
} Raw;

static void
raw_clear (Raw *raw)
{
  char *texts[] = { raw->args,       raw->kwargs,          raw->countdown,     raw->expires,
                    raw->time_limit, raw->soft_time_limit, raw->priority,      raw->count,
                    raw->timeout,    raw->attempts,        raw->await_consumer };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_strfreev (raw->queues);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Raw, raw_clear)

/* What belongs together, and what must not. */
static GtExit
check_together (GtSendOptions *o)
{
  if (o->id != NULL && (o->count > 1 || o->queues[1] != NULL))
    return bad ("--id names one task: use it with one --queue and --count 1");
  if (o->id != NULL && (o->id[0] == '\0' || strlen (o->id) > G_MAXUINT8))
    return bad ("--id must be 1 to 255 bytes long");
  if (o->timeout.kind != GT_FIELD_VOID && !o->wait)
    return bad ("--timeout needs --wait");
  if (o->task_name != NULL && o->task_name[0] == '\0')
    return bad ("--task must not be empty");
  return o->task_name != NULL ? GT_EXIT_OK : use_producer (o);
}

static GtExit
check_raw (GtSendOptions *o, const Raw *raw)
{
  o->count = 1;
  o->timeout = o->countdown = o->expires = o->time_limit = o->soft_time_limit = o->await_consumer
      = GT_SECONDS_NONE;
  GtExit code;
  if ((code = parse_json ("args", raw->args, JSON_ARRAY, &o->args)) != GT_EXIT_OK
      || (code = parse_json ("kwargs", raw->kwargs, JSON_OBJECT, &o->kwargs)) != GT_EXIT_OK
      || (code = check_seconds ("countdown", raw->countdown, TRUE, &o->countdown)) != GT_EXIT_OK
      || (code = check_seconds ("expires", raw->expires, TRUE, &o->expires)) != GT_EXIT_OK
      || (code = check_seconds ("time-limit", raw->time_limit, FALSE, &o->time_limit)) != GT_EXIT_OK
      || (code
          = check_seconds ("soft-time-limit", raw->soft_time_limit, FALSE, &o->soft_time_limit))
             != GT_EXIT_OK
      || (code = check_seconds ("timeout", raw->timeout, TRUE, &o->timeout)) != GT_EXIT_OK
      || (code = check_seconds ("await-consumer", raw->await_consumer, TRUE, &o->await_consumer))
             != GT_EXIT_OK
      || (code = check_integer ("priority", raw->priority, 0, 9, &o->priority)) != GT_EXIT_OK
      || (code = check_integer ("count", raw->count, 1, 10000000, &o->count)) != GT_EXIT_OK
      || (code = check_integer ("attempts", raw->attempts, 1, 1000, &o->attempts)) != GT_EXIT_OK)
    return code;
  g_auto (GStrv) given = split_queues ((const char *const *) raw->queues);
  if (raw->queues != NULL && given[0] == NULL)
    return bad ("--queue names no queue");
  choose_queues (o, (const char *const *) raw->queues);
  return check_together (o);
}

GtExit
gt_send_options_parse (GtSendOptions *o, int argc, char **argv)
{
  g_auto (Raw) raw = { 0 };
  const GOptionEntry entries[] = {
    { "task", 't', 0, G_OPTION_ARG_STRING, &o->task_name, "Name of the task", "NAME" },
    { "args", 'a', 0, G_OPTION_ARG_STRING, &raw.args, "Arguments: a JSON array, or @FILE", "JSON" },
    { "kwargs", 'k', 0, G_OPTION_ARG_STRING, &raw.kwargs,
      "Named arguments: a JSON object, or @FILE", "JSON" },
    { "queue", 'Q', 0, G_OPTION_ARG_STRING_ARRAY, &raw.queues,
      "Queue, or several with commas; may be repeated", "NAME" },
    { "countdown", 0, 0, G_OPTION_ARG_STRING, &raw.countdown, "Start that much later", "SECONDS" },
    { "expires", 0, 0, G_OPTION_ARG_STRING, &raw.expires, "Do not start later than that",
      "SECONDS" },
    { "time-limit", 0, 0, G_OPTION_ARG_STRING, &raw.time_limit, "Hard limit of the run",
      "SECONDS" },
    { "soft-time-limit", 0, 0, G_OPTION_ARG_STRING, &raw.soft_time_limit, "Soft limit of the run",
      "SECONDS" },
    { "priority", 0, 0, G_OPTION_ARG_STRING, &raw.priority, "0 to 9, 9 first", "N" },
    { "count", 'n', 0, G_OPTION_ARG_STRING, &raw.count, "Tasks to send to each queue", "N" },
    { "id", 0, 0, G_OPTION_ARG_STRING, &o->id, "The task's id (default: a new UUID)", "ID" },
    { "wait", 'w', 0, G_OPTION_ARG_NONE, &o->wait, "Print the results as they come", NULL },
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &raw.timeout, "Wait no longer for results", "SECONDS" },
    { "reply-to", 0, 0, G_OPTION_ARG_STRING, &o->reply_to,
      "Queue for results (default: a new one with --wait)", "NAME" },
    { "broker", 'b', 0, G_OPTION_ARG_STRING, &o->broker, "The broker", "URL" },
    { "attempts", 0, 0, G_OPTION_ARG_STRING, &raw.attempts,
      "Attempts to connect (default: 6, in some 15 s)", "N" },
    { "no-declare", 0, 0, G_OPTION_ARG_NONE, &o->no_declare,
      "Do not create queues: fail when one does not exist", NULL },
    { "await-consumer", 0, 0, G_OPTION_ARG_STRING, &raw.await_consumer,
      "Send when each queue has a consumer; fail when one has none by then", "SECONDS" },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &o->json, "Print a JSON object for each event", NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &o->quiet, "Print nothing but errors", NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!gt_cli_parse (context, &argc, &argv))
    return GT_EXIT_USAGE;
  /* A word with a ':' or '@' may be a broker's URL, with a password. */
  if (argc > 1 && strpbrk (argv[1], ":@") != NULL)
    return bad ("unexpected argument; a broker's URL is given as --broker URL");
  if (argc > 1)
    return bad ("unexpected argument '%s'; 'gilotine send --help' lists the options", argv[1]);
  if (o->broker == NULL) {
    const char *url = g_getenv ("CELERY_BROKER_URL");
    o->broker = g_strdup (url != NULL && url[0] != '\0' ? url : DEFAULT_BROKER);
  }
  return check_raw (o, &raw);
}

void
gt_send_options_clear (GtSendOptions *o)
{
  g_free (o->broker);
  g_free (o->task_name);
  json_decref (o->args);
  json_decref (o->kwargs);
  g_strfreev (o->queues);
  g_free (o->id);
  g_free (o->reply_to);
}
