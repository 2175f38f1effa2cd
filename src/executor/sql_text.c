#include "executor/sql_text.h"

#include <string.h>

char *
gt_sql_quote (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "'", -1);
  g_autofree char *inner = g_strjoinv ("''", parts);
  return g_strdup_printf ("'%s'", inner);
}

/* After the comment that opens at `at`. They nest; one that is not closed goes on to the end. */
static gsize
skip_comment (const char *sql, gsize at)
{
  int depth = 0;
  do {
    gboolean opens = sql[at] == '/' && sql[at + 1] == '*';
    gboolean closes = sql[at] == '*' && sql[at + 1] == '/';
    if (sql[at] == '\0')
      return at;
    depth += opens ? 1 : closes ? -1 : 0;
    at += opens || closes ? 2 : 1;
  } while (depth > 0);
  return at;
}

/* Comments and white space. */
static gsize
skip_blank (const char *sql, gsize at)
{
  for (;;) {
    if (g_ascii_isspace (sql[at]))
      at++;
    else if (sql[at] == '-' && sql[at + 1] == '-')
      at += strcspn (sql + at, "\n");
    else if (sql[at] == '/' && sql[at + 1] == '*')
      at = skip_comment (sql, at);
    else
      return at;
  }
}

/* After the token at `at`: a word, a quoted name or text, or one character. */
static gsize
skip_token (const char *sql, gsize at)
{
  char quote = sql[at];
  if (quote == '\'' || quote == '"') {
    for (at++; sql[at] != '\0'; at++)
      if (sql[at] == quote) {
        if (sql[at + 1] != quote)
          return at + 1;
        at++;
      }
    return at;
  }
  if (!g_ascii_isalpha (quote) && quote != '_')
    return at + 1;
  while (g_ascii_isalnum (sql[at]) || sql[at] == '_')
    at++;
  return at;
}

static gboolean
is_word (const char *sql, gsize start, gsize end, const char *word)
{
  return end - start == strlen (word) && g_ascii_strncasecmp (sql + start, word, end - start) == 0;
}

GtVerb
gt_sql_verb (const char *statement)
{
  static const struct {
    const char *word;
    GtVerb verb;
  } verbs[] = {
    { "BEGIN", GT_VERB_BEGIN }, { "START", GT_VERB_BEGIN },       { "COMMIT", GT_VERB_COMMIT },
    { "END", GT_VERB_COMMIT },  { "ROLLBACK", GT_VERB_ROLLBACK }, { "ABORT", GT_VERB_ROLLBACK },
  };
  gsize start = skip_blank (statement, 0), end = skip_token (statement, start);
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (is_word (statement, start, end, verbs[i].word))
      return verbs[i].verb;
  return GT_VERB_OTHER;
}

/* Where TO stands outside of parentheses; -1: nowhere. */
static gssize
find_to (const char *sql, gsize at)
{
  int depth = 0;
  while (sql[at] != '\0') {
    gsize end = skip_token (sql, at);
    if (sql[at] == '(')
      depth++;
    else if (sql[at] == ')')
      depth--;
    else if (sql[at] == '$' && sql[end] == '$') /* $$text$$ may hold anything */
      return -1;
    else if (depth == 0 && is_word (sql, at, end, "TO"))
      return (gssize) end;
    at = skip_blank (sql, end);
  }
  return -1;
}

/* Options with which the target is not one file that is written from its beginning. */
static gboolean
has_odd_options (const char *rest)
{
  static const char *const odd[]
      = { "PARTITION_BY",     "PER_THREAD_OUTPUT",      "FILE_SIZE_BYTES",
          "FILENAME_PATTERN", "FILE_EXTENSION",         "APPEND",
          "OVERWRITE",        "OVERWRITE_OR_IGNORE",    "ROW_GROUPS_PER_FILE",
          "USE_TMP_FILE",     "WRITE_PARTITION_COLUMNS" };
  for (gsize at = skip_blank (rest, 0); rest[at] != '\0';) {
    gsize end = skip_token (rest, at);
    for (gsize i = 0; i < G_N_ELEMENTS (odd); i++)
      if (is_word (rest, at, end, odd[i]))
        return TRUE;
    at = skip_blank (rest, end);
  }
  return FALSE;
}

static gboolean
is_plain_path (const char *path)
{
  return *path != '\0' && strstr (path, "://") == NULL && !g_str_has_prefix (path, "/dev/")
         && !g_str_has_prefix (path, "/proc/") && !g_str_has_suffix (path, "/");
}

/* Where the token behind COPY ... TO stands. */
static gboolean
find_target (const char *statement, gsize *start, gsize *end)
{
  *start = skip_blank (statement, 0);
  *end = skip_token (statement, *start);
  if (!is_word (statement, *start, *end, "COPY"))
    return FALSE;
  gssize to = find_to (statement, skip_blank (statement, *end));
  if (to < 0)
    return FALSE;
  *start = skip_blank (statement, (gsize) to);
  *end = skip_token (statement, *start);
  return TRUE;
}

/* What is between its quotes; NULL when it is not quoted so. */
static char *
unquote (const char *sql, gsize start, gsize end, char quote)
{
  if (sql[start] != quote || end - start < 3 || sql[end - 1] != quote)
    return NULL;
  const char once[] = { quote, '\0' }, twice[] = { quote, quote, '\0' };
  g_autofree char *inner = g_strndup (sql + start + 1, end - start - 2);
  g_auto (GStrv) parts = g_strsplit (inner, twice, -1);
  return g_strjoinv (once, parts);
}

char *
gt_sql_copy_path (const char *statement)
{
  gsize start = 0, end = 0;
  if (!find_target (statement, &start, &end))
    return NULL;
  if (is_word (statement, start, end, "STDOUT"))
    return g_strdup ("/dev/stdout");
  if (is_word (statement, start, end, "STDIN")) /* taken too, for either direction */
    return g_strdup ("/dev/stdin");
  char *path = unquote (statement, start, end, '\'');
  return path != NULL ? path : unquote (statement, start, end, '"');
}

gboolean
gt_sql_copy_target (const char *statement, GtCopyTarget *out)
{
  *out = (GtCopyTarget){ 0 };
  if (!find_target (statement, &out->start, &out->end))
    return FALSE;
  out->path = unquote (statement, out->start, out->end, '\'');
  if (out->path == NULL)
    return FALSE;
  gsize after = skip_blank (statement, out->end);
  if ((statement[after] == '\0' || statement[after] == '(')
      && !has_odd_options (statement + out->end) && is_plain_path (out->path))
    return TRUE;
  gt_copy_target_clear (out);
  return FALSE;
}

void
gt_copy_target_clear (GtCopyTarget *target)
{
  g_free (target->path);
  *target = (GtCopyTarget){ 0 };
}

char *
gt_sql_copy_elsewhere (const char *statement, const GtCopyTarget *target, const char *path)
{
  g_autofree char *literal = gt_sql_quote (path);
  return g_strdup_printf ("%.*s%s%s", (int) target->start, statement, literal,
                          statement + target->end);
}
