#include "cli/query_options.h"

#include "cli/cli.h"
#include "cli/query_files.h"
#include "cli/query_params.h"
#include "executor/wire.h"
#include "os/error.h"
#include "os/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define NAME "query"
/* What is read at all; most texts fit into a frame then. */
#define MOST_SQL_BYTES (24 << 20)
/* What a job's frame has besides SQL and parameters: the name of the database, above all. */
#define REST_BYTES (1 << 20)

/* Texts as given, before they are understood. */
typedef struct {
  char *soft, *hard, *memory, *cpu, *threads, *max_result, *format, *domain, *file, *database;
  GStrv params, words;
  gboolean json;
} Texts;

static void
texts_clear (Texts *texts)
{
  char **const all[]
      = { &texts->soft,       &texts->hard,   &texts->memory, &texts->cpu,  &texts->threads,
          &texts->max_result, &texts->format, &texts->domain, &texts->file, &texts->database };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    g_clear_pointer (all[i], g_free);
  g_clear_pointer (&texts->params, g_strfreev);
  g_clear_pointer (&texts->words, g_strfreev);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Texts, texts_clear)

static gboolean refuse (int *code, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
refuse (int *code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);
  *code = gt_cli_fail (GT_EXIT_USAGE, NAME, "%s", message);
  return FALSE;
}

/* --- values --------------------------------------------------------------------------------------
 */

static gboolean
take_duration (const char *option, const char *text, gint64 *ns, int *code)
{
  if (text == NULL)
    return TRUE;
  if (!gt_parse_duration (text, ns))
    return refuse (code, "%s: '%s' is no duration: write 0.5, 30s, 2m or 1.5h", option, text);
  if (*ns == G_MAXINT64) /* for ever: none */
    *ns = 0;
  return TRUE;
}

static gboolean
take_size (const char *option, const char *text, gint64 *bytes, int *code)
{
  guint64 size = 0;
  if (text == NULL)
    return TRUE;
  if (!gt_parse_size (text, &size))
    return refuse (code, "%s: '%s' is no size: write 512M or 1.5GiB", option, text);
  *bytes = (gint64) size;
  return TRUE;
}

static gboolean
take_limits (GtQueryOptions *options, const Texts *texts, int *code)
{
  if (!take_duration ("--soft", texts->soft, &options->asked.soft_ns, code)
      || !take_duration ("--hard", texts->hard, &options->asked.hard_ns, code)
      || !take_duration ("--cpu", texts->cpu, &options->asked.cpu_ns, code)
      || !take_size ("--memory", texts->memory, &options->asked.memory_bytes, code)
      || !take_size ("--max-result", texts->max_result, &options->max_result_bytes, code))
    return FALSE;
  guint64 threads = 0;
  if (texts->threads != NULL && (!gt_parse_count (texts->threads, &threads) || threads > 4096))
    return refuse (code, "--threads: '%s' is no number from 1 to 4096", texts->threads);
  options->threads = (gint64) threads;
  return TRUE;
}

static gboolean
take_format (GtQueryOptions *options, const Texts *texts, int *code)
{
  options->format = texts->json ? GT_QUERY_FORMAT_JSON : GT_QUERY_FORMAT_TABLE;
  if (texts->format == NULL)
    return TRUE;
  if (!gt_query_format_by_name (texts->format, &options->format)) {
    g_autoptr (GString) known = g_string_new (NULL);
    for (int i = 0; i < GT_QUERY_FORMAT_COUNT; i++)
      g_string_append_printf (known, "%s%s", i > 0 ? ", " : "",
                              gt_query_format_name ((GtQueryFormat) i));
    return refuse (code, "--format: '%s' is none of %s", texts->format, known->str);
  }
  if (texts->json && options->format != GT_QUERY_FORMAT_JSON)
    return refuse (code, "--json and --format %s contradict each other", texts->format);
  return TRUE;
}

static gboolean
take_domain (GtQueryOptions *options, const Texts *texts, int *code)
{
  g_autoptr (GError) error = NULL;
  options->domain = GT_DOMAIN_AUTO;
  if (texts->domain == NULL || g_str_equal (texts->domain, "auto")
      || gt_domain_by_name (texts->domain, &options->domain, &error))
    return TRUE;
  return refuse (code, "--domain: %s", error->message);
}

static gboolean
take_database (GtQueryOptions *options, const Texts *texts, int *code)
{
  const char *path = texts->database;
  gboolean memory = path == NULL || *path == '\0' || g_str_equal (path, ":memory:");
  if (memory && options->read_only)
    return refuse (code, "--read-only needs --db FILE: nothing could be in a new database");
  /* Absolute: messages and locks are ours, the executor may be elsewhere. */
  options->database = memory ? NULL : g_canonicalize_filename (path, NULL);
  return TRUE;
}

static gboolean
check_files (const GtQueryOptions *options, const Texts *texts, int *code)
{
  g_autoptr (GError) error = NULL;
  const GtQueryFiles files = { .database = options->database,
                               .sql = texts->file,
                               .output = options->output,
                               .report = options->report };
  return gt_query_files_differ (&files, &error) || refuse (code, "%s", error->message);
}

/* --- the SQL -------------------------------------------------------------------------------------
 */

static gboolean
read_all (int fd, GString *text, GError **error)
{
  char piece[64 * 1024];
  for (;;) {
    ssize_t got = read (fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return gt_os_fail (error, errno, "it cannot be read");
    if (got == 0)
      return TRUE;
    g_string_append_len (text, piece, got);
    if (text->len > MOST_SQL_BYTES)
      return gt_os_fail (error, EFBIG, "more than %d MiB", MOST_SQL_BYTES >> 20);
  }
}

static gboolean
read_file (const char *path, GString *text, GError **error)
{
  if (g_str_equal (path, "-"))
    return read_all (STDIN_FILENO, text, error);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return gt_os_fail (error, errno, "it cannot be opened");
  gboolean good = read_all (fd, text, error);
  (void) close (fd);
  return good;
}

static gboolean
take_sql (GtQueryOptions *options, const Texts *texts, int *code)
{
  guint n = texts->words != NULL ? g_strv_length (texts->words) : 0;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  if (options->explain_limits && n == 0 && texts->file == NULL)
    return TRUE;
  if (n + (texts->file != NULL ? 1 : 0) != 1)
    return refuse (code, "%s",
                   n > 1    ? "more than one SQL text: put it in quotes, as one word"
                   : n == 1 ? "SQL and -f FILE exclude each other"
                            : "no SQL: write it in quotes, or -f FILE (- is standard input)");
  if (n == 1)
    g_string_assign (text, texts->words[0]);
  else if (!read_file (texts->file, text, &error))
    return refuse (code, "-f %s: %s", texts->file, error->message);
  if (memchr (text->str, '\0', text->len) != NULL || !g_utf8_validate (text->str, -1, NULL))
    return refuse (code, "%s: the SQL is not UTF-8 text",
                   texts->file != NULL ? texts->file : "the argument");
  options->sql = g_strdup (text->str);
  return TRUE;
}

static int
count_bytes (const char *piece, size_t bytes, void *data)
{
  (void) piece;
  *(gsize *) data += bytes;
  return 0;
}

/* The executor gets it as JSON, where a control character takes six bytes. */
static gboolean
check_size_as_json (const GtQueryOptions *options, int *code)
{
  gsize bytes = 0;
  if (options->sql == NULL)
    return TRUE;
  json_t *sent = json_pack ("[s, O*]", options->sql, options->params);
  (void) json_dump_callback (sent, count_bytes, &bytes, JSON_COMPACT);
  json_decref (sent);
  const gsize most = GT_WIRE_BODY_BYTES - REST_BYTES;
  if (bytes <= most)
    return TRUE;
  return refuse (code,
                 "the SQL and its parameters take %" G_GSIZE_FORMAT " MiB as JSON, at most "
                 "%" G_GSIZE_FORMAT ": a control character takes six bytes there, so keep such "
                 "data in a file that the SQL reads",
                 (bytes >> 20) + 1, most >> 20);
}

/* --- the command line ----------------------------------------------------------------------------
 */

static const char description[]
    = "SQL is one or several statements; what each of them selects is shown, in order. Files\n"
      "that it names are seen from the current folder.\n"
      "\n"
      "DURATION is a number with s (the default), m, h or d behind it: 0.5, 90, 2m. SIZE takes\n"
      "K, M, G, T (of 1024) or KB, MB, ... (of 1000). At --soft DuckDB is asked to stop; at\n"
      "--hard the process that runs it is killed with its whole family. GILOTINE_DEADLINE in\n"
      "the environment bounds both.\n"
      "\n"
      "Formats:\n"
#define X(id, name, rows, help) "  " name "\t" help "\n"
    GT_QUERY_FORMATS (X)
#undef X
        "\n"
        "Exit status: 0 done, 1 the query failed, 2 wrong usage, 124 stopped at --soft, 137\n"
        "killed at --hard, 113 out of memory, 118 stopped but perhaps committed, 130 Ctrl-C;\n"
        "gilotine-query(1) has all of them.\n"
        "\n"
        "Examples:\n"
        "  gilotine query \"select 42 as answer\"\n"
        "  gilotine query --soft 5 --hard 6 --db shop.duckdb -f report.sql --format csv -o r.csv\n"
        "  gilotine query --param city=Osaka \"from 'sales.parquet' where city = $city\"\n";

static gboolean
parse_words (GtQueryOptions *options, Texts *texts, int argc, char **argv, int *code)
{
  const GOptionEntry entries[] = {
    { "file", 'f', 0, G_OPTION_ARG_FILENAME, &texts->file,
      "read the SQL from FILE, - is standard input", "FILE" },
    { "db", 'd', 0, G_OPTION_ARG_FILENAME, &texts->database,
      "database file, made when missing (default: in memory)", "FILE" },
    { "read-only", 'r', 0, G_OPTION_ARG_NONE, &options->read_only,
      "open the database file for reading only", NULL },
    { "param", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &texts->params,
      "value of $NAME, or of the first ? as 1=VALUE; JSON, or text", "NAME=VALUE" },
    { "soft", 0, 0, G_OPTION_ARG_STRING, &texts->soft, "ask the query to stop after so long",
      "DURATION" },
    { "hard", 0, 0, G_OPTION_ARG_STRING, &texts->hard, "kill it after so long", "DURATION" },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &texts->memory,
      "most memory: DuckDB spills to disk below it", "SIZE" },
    { "cpu", 0, 0, G_OPTION_ARG_STRING, &texts->cpu, "most CPU time", "DURATION" },
    { "threads", 0, 0, G_OPTION_ARG_STRING, &texts->threads,
      "threads of DuckDB (default: one for each CPU of ours)", "N" },
    { "max-result", 0, 0, G_OPTION_ARG_STRING, &texts->max_result,
      "most bytes of a result (default: no limit)", "SIZE" },
    { "format", 0, 0, G_OPTION_ARG_STRING, &texts->format, "see below (default: table)", "FORMAT" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &texts->json, "the same as --format json", NULL },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &options->output,
      "write into FILE, which appears when it is complete", "FILE" },
    { "report", 0, 0, G_OPTION_ARG_FILENAME, &options->report,
      "write the outcome record as JSON into FILE or descriptor FD", "FILE|FD" },
    { "explain-limits", 0, 0, G_OPTION_ARG_NONE, &options->explain_limits,
      "say which limits apply and where from, and stop", NULL },
    { "domain", 0, 0, G_OPTION_ARG_STRING, &texts->domain,
      "what holds the query's processes (default: auto)", "NAME" },
    { "temp-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->temp_root,
      "where DuckDB may spill (default: TMPDIR)", "DIR" },
    { "no-progress", 0, 0, G_OPTION_ARG_NONE, &options->no_progress,
      "no progress bar on a terminal", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &texts->words, NULL, NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("SQL | -f FILE");
  g_option_context_set_summary (context, "Runs DuckDB queries under limits that hold.");
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, NULL);
  if (gt_cli_parse (context, &argc, &argv))
    return TRUE;
  *code = GT_EXIT_USAGE;
  return FALSE;
}

static gboolean
take_params (GtQueryOptions *options, const Texts *texts, int *code)
{
  g_autoptr (GError) error = NULL;
  options->params = gt_query_params (texts->params, &error);
  return error == NULL || refuse (code, "%s", error->message);
}

gboolean
gt_query_options_parse (GtQueryOptions *options, int argc, char **argv, int *code)
{
  g_auto (Texts) texts = { 0 };
  return parse_words (options, &texts, argc, argv, code) && take_limits (options, &texts, code)
         && take_format (options, &texts, code) && take_domain (options, &texts, code)
         && take_database (options, &texts, code) && check_files (options, &texts, code)
         && take_params (options, &texts, code) && take_sql (options, &texts, code)
         && check_size_as_json (options, code);
}

void
gt_query_options_clear (GtQueryOptions *options)
{
  g_free (options->sql);
  g_free (options->database);
  g_free (options->temp_root);
  g_free (options->output);
  g_free (options->report);
  json_decref (options->params);
  *options = (GtQueryOptions){ 0 };
}
