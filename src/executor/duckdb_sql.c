#include "executor/duckdb_sql.h"

#include <string.h>

/* Semicolons that are tried before giving up: each costs two parses. */
#define MAX_TRIES 256

static gint64
count (duckdb_connection connection, const char *sql, gsize bytes)
{
  g_autofree char *text = g_strndup (sql, bytes);
  duckdb_extracted_statements list = NULL;
  gint64 n = (gint64) duckdb_extract_statements (connection, text, &list);
  gboolean failed = list != NULL && duckdb_extract_statements_error (list) != NULL;
  if (list != NULL)
    duckdb_destroy_extracted (&list);
  return failed ? -1 : n;
}

/* The last semicolon before `end` that leaves `before` statements and `after` behind it; -1: none
 * does. Semicolons in strings and comments do not split into what parses. */
static gssize
find_split (duckdb_connection connection, const char *sql, gsize end, idx_t before, idx_t after,
            int *tries)
{
  for (gsize at = end; at-- > 0;) {
    if (sql[at] != ';')
      continue;
    if (--*tries < 0)
      return -1;
    if (count (connection, sql, at) == (gint64) before
        && count (connection, sql + at + 1, end - at - 1) == (gint64) after)
      return (gssize) at;
  }
  return -1;
}

GStrv
gt_sql_split (duckdb_connection connection, const char *sql, idx_t n_statements)
{
  gsize end = strlen (sql);
  int tries = MAX_TRIES;
  g_auto (GStrv) texts = g_new0 (char *, n_statements + 1);
  gssize at = 0;
  if (n_statements == 0)
    return g_steal_pointer (&texts);
  while ((at = find_split (connection, sql, end, n_statements, 0, &tries)) >= 0)
    end = (gsize) at; /* semicolons and comments after the last one */
  for (idx_t i = n_statements; i-- > 0;) {
    tries = MAX_TRIES;
    at = i == 0 ? -1 : find_split (connection, sql, end, i, 1, &tries);
    if (at < 0 && (i > 0 || count (connection, sql, end) != 1)) {
      for (idx_t k = i; k < n_statements; k++) /* g_strfreev stops at the first NULL */
        g_clear_pointer (&texts[k], g_free);
      return NULL;
    }
    texts[i] = g_strndup (sql + at + 1, end - (gsize) (at + 1));
    end = at < 0 ? 0 : (gsize) at;
  }
  return g_steal_pointer (&texts);
}
