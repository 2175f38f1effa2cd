#include "cli/query_format.h"
#include "cli/query_json.h"
#include "cli/query_params.h"
#include "cli/query_progress.h"
#include "cli/query_width.h"
#include "os/clock.h"

#include <string.h>

static GtQueryCell
cell (const char *text)
{
  return (GtQueryCell){ text, strlen (text) };
}

static void
assert_json (const char *type_name, const char *value, const char *expected)
{
  g_autoptr (GtQueryType) type = gt_query_type_new (type_name);
  g_autoptr (GString) out = g_string_new (NULL);
  gt_query_append_json (out, type, cell (value));
  g_assert_cmpstr (out->str, ==, expected);
}

static void
assert_text (const char *type_name, const char *value, const char *expected)
{
  g_autoptr (GtQueryType) type = gt_query_type_new (type_name);
  g_autoptr (GString) out = g_string_new (NULL);
  gt_query_append_text (out, type, cell (value));
  g_assert_cmpstr (out->str, ==, expected);
}

static void
exact_numbers_lose_their_quotes_at_every_depth (void)
{
  assert_json ("DECIMAL(5,2)", "\"1.50\"", "1.50");
  assert_json ("HUGEINT", "null", "null");
  assert_json ("HUGEINT[]", "[\"1\",null]", "[1,null]");
  assert_json ("DECIMAL(5,2)[3][]", "[[\"1.00\"],null]", "[[1.00],null]");
  assert_json ("STRUCT(a HUGEINT, \"b\"\" c\" VARCHAR)", "{\"a\":\"7\",\"b\\\" c\":\"7\"}",
               "{\"a\":7,\"b\\\" c\":\"7\"}");
  assert_json ("MAP(VARCHAR, UBIGINT)", "[[\"1\",\"2\"],[\"}\",null]]", "[[\"1\",2],[\"}\",null]]");
  assert_json ("UNION(n UBIGINT, s VARCHAR)", "{\"s\":\"9\"}", "{\"s\":\"9\"}");
  assert_json ("UNION(n UBIGINT, s VARCHAR)", "{\"n\":\"9\"}", "{\"n\":9}");
  assert_json ("STRUCT(x STRUCT(y DECIMAL(3,1)[]))", "{\"x\":{\"y\":[\"1.5\"]}}",
               "{\"x\":{\"y\":[1.5]}}");
  assert_json ("STRUCT(\"\" HUGEINT, \"\" VARCHAR, \"\" JSON)", "[\"1\",\"2\",\"[3]\"]",
               "[1,\"2\",[3]]");
  assert_json ("ENUM('a)', 'b')", "\"a)\"", "\"a)\"");
}

static void
a_type_that_is_not_understood_is_left_as_it_comes (void)
{
  static const char *const names[]
      = { "",  "?", "STRUCT(", "STRUCT(a)", "MAP", "DECIMAL(", "STRUCT(a HUGEINT", "HUGEINT[] x",
          "[]" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    assert_json (names[i], "\"1\"", "\"1\"");
  g_autoptr (GString) deep = g_string_new (NULL);
  for (int i = 0; i < 1000; i++)
    g_string_append (deep, "STRUCT(a ");
  assert_json (deep->str, "{}", "{}");
}

static void
json_is_embedded_when_it_is_json_for_everybody (void)
{
  assert_json ("JSON", "\"{\\\"a\\\":\\n[1]}\"", "{\"a\": [1]}");
  assert_json ("JSON", "\"[1,]\"", "\"[1,]\"");
  assert_json ("JSON[]", "[\"1\",\"\\\"x\\\"\"]", "[1,\"x\"]");
}

static void
json_is_embedded_whatever_its_readers_can_hold (void)
{
  assert_json ("JSON", "\"18446744073709551615\"", "18446744073709551615");
  assert_json ("JSON", "\"[1e400,-0.1E-9999]\"", "[1e400,-0.1E-9999]");
  assert_json ("JSON", "\"{\\\"\\\\u0000\\\":1}\"", "{\"\\u0000\":1}");
  assert_json ("STRUCT(j JSON)", "{\"j\":\"12345678901234567890123\"}",
               "{\"j\":12345678901234567890123}");
  g_autofree char *open = g_strnfill (100000, '['), *shut = g_strnfill (100000, ']');
  g_autofree char *deep = g_strconcat (open, shut, NULL);
  g_autofree char *wire = g_strdup_printf ("\"%s\"", deep);
  assert_json ("JSON", wire, deep);
}

static void
assert_is_json (const char *text, gboolean expected)
{
  if (gt_query_is_json (text, strlen (text)) != expected)
    g_error ("%s is%s JSON", text, expected ? "" : " no");
}

static void
json_is_what_the_grammar_says (void)
{
  static const char *const good[]
      = { "0",     "-0",           "-1.50e+007",  "\"\\u00e9\\/\\\"\"",
          " [ ] ", "{}",           "[{},[],[0]]", "{ \"a\" : [1 , 2] , \"a\" : {\"\":null} }",
          "true",  "\t\r\nfalse\n" };
  static const char *const bad[]
      = { "",         " ",     "01",         "1.",     "-",      ".5",       "+1",
          "1e",       "1.5.2", "1-2",        "NaN",    "-Inf",   "Infinity", "[1,]",
          "[,1]",     "[1 2]", "[1",         "1]",     "[1}",    "{\"a\"}",  "{\"a\":}",
          "{1:2}",    "{,}",   "{\"a\":1,}", "\"",     "\"\\\"", "\"\\x\"",  "\"\\u12g4\"",
          "\"a\nb\"", "truex", "nul",        "1 // 2", "'a'",    "[] []",    "\357\273\2771",
          "[1]]" };
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    assert_is_json (good[i], TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_is_json (bad[i], FALSE);
  g_assert_false (gt_query_is_json ("1", 0));
  g_assert_false (gt_query_is_json ("1\0", 2));
}

static void
intervals_read_as_duckdb_writes_them (void)
{
  assert_text ("INTERVAL", "{\"months\":0,\"days\":0,\"micros\":0}", "00:00:00");
  assert_text ("INTERVAL", "{\"months\":14,\"days\":-1,\"micros\":0}", "1 year 2 months -1 day");
  assert_text ("INTERVAL", "{\"months\":0,\"days\":0,\"micros\":-3600500000}", "-01:00:00.5");
}

static void
strings_lose_quotes_and_escapes (void)
{
  assert_text ("VARCHAR", "\"a\\\"b\\\\\\n\\u0001\\u00e9\\ud83d\\ude00\"", "a\"b\\\n\x01é😀");
  assert_text ("VARCHAR", "\"\"", "");
  assert_text ("VARCHAR", "null", "");
  assert_text ("VARCHAR", "\"null\"", "null");
}

static char *
written (GtQueryFormat format, guint columns, const char *const chunks[][2])
{
  g_autoptr (GtQueryWriter) writer
      = gt_query_writer_new (format, (GtQueryLook){ .screen_columns = columns, .ascii = TRUE });
  g_auto (GtQueryRows) rows;
  g_autoptr (GError) error = NULL;
  gt_query_rows_init (&rows, &gt_query_writer_sink, writer);
  for (gsize i = 0; chunks[i][0] != NULL; i++)
    g_assert_true (
        gt_query_rows_chunk (&rows, chunks[i][0], chunks[i][1], strlen (chunks[i][1]), &error));
  gt_query_rows_finish (&rows);
  return g_strdup (gt_query_writer_text (writer)->str);
}

#define SCHEMA                                                                                     \
  "{\"columns\":[{\"name\":\"a\",\"type\":\"VARCHAR\"},{\"name\":\"n\",\"type\":\"INTEGER\"}]}\n"

static void
a_row_may_come_in_pieces (void)
{
  g_autofree char *out = written (GT_QUERY_FORMAT_CSV, 0,
                                  (const char *const[][2]){ { "schema", SCHEMA },
                                                            { "rows", "[\"x]\\\",y\"" },
                                                            { "rows", ",1" },
                                                            { "rows", "]\n[null,2]\n[\"\"," },
                                                            { "rows", "null]\n" },
                                                            { NULL, NULL } });
  g_assert_cmpstr (out, ==, "a,n\r\n\"x]\"\",y\",1\r\n,2\r\n\"\",\r\n");
}

static void
what_is_no_row_is_refused (void)
{
  static const char *const bad[]
      = { "[1]\n", "[1,2,3]\n", "{}\n", "1,2\n", "[\"a\",1\n", "\n", "[1,2]x\n" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GtQueryWriter) writer
        = gt_query_writer_new (GT_QUERY_FORMAT_CSV, (GtQueryLook){ 0 });
    g_auto (GtQueryRows) rows;
    g_autoptr (GError) error = NULL;
    gt_query_rows_init (&rows, &gt_query_writer_sink, writer);
    g_assert_false (gt_query_rows_chunk (&rows, "rows", bad[i], strlen (bad[i]), &error));
    g_clear_error (&error);
    g_assert_true (gt_query_rows_chunk (&rows, "schema", SCHEMA, strlen (SCHEMA), &error));
    g_assert_false (gt_query_rows_chunk (&rows, "rows", bad[i], strlen (bad[i]), &error));
    g_assert_nonnull (error);
  }
}

static void
a_result_that_did_not_end_is_not_closed (void)
{
  g_autoptr (GtQueryWriter) writer = gt_query_writer_new (GT_QUERY_FORMAT_JSON, (GtQueryLook){ 0 });
  g_auto (GtQueryRows) rows;
  gt_query_rows_init (&rows, &gt_query_writer_sink, writer);
  g_assert_true (gt_query_rows_chunk (&rows, "schema", SCHEMA, strlen (SCHEMA), NULL));
  g_assert_true (gt_query_rows_chunk (&rows, "rows", "[\"x\",1]\n", 8, NULL));
  g_assert_cmpstr (gt_query_writer_text (writer)->str, ==, "[\n{\"a\":\"x\",\"n\":1}");
}

static void
a_table_is_cut_to_the_screen_and_not_elsewhere (void)
{
  const char *const chunks[][2] = { { "schema", SCHEMA },
                                    { "rows", "[\"0123456789012345678901234567890\",1]\n" },
                                    { NULL, NULL } };
  g_autofree char *cut = written (GT_QUERY_FORMAT_TABLE, 24, chunks);
  g_assert_cmpstr (cut, ==,
                   "+------------------+---+\n| a                | n |\n+------------------+---+\n"
                   "| 012345678901234> | 1 |\n+------------------+---+\n(1 row)\n");
  g_autofree char *whole = written (GT_QUERY_FORMAT_TABLE, 0, chunks);
  g_assert_nonnull (strstr (whole, "0123456789012345678901234567890 | 1 |"));
}

static void
rows_after_the_measured_ones_are_cut_or_stick_out (void)
{
  g_autoptr (GString) many = g_string_new (NULL);
  for (int i = 0; i < 1000; i++)
    g_string_append (many, "[\"x\",1]\n");
  g_string_append (many, "[\"wide\",1]\n");
  const char *const chunks[][2] = { { "schema", SCHEMA }, { "rows", many->str }, { NULL, NULL } };
  g_autofree char *screen = written (GT_QUERY_FORMAT_TABLE, 80, chunks);
  g_assert_nonnull (strstr (screen, "| > | 1 |\n"));
  g_autofree char *file = written (GT_QUERY_FORMAT_TABLE, 0, chunks);
  g_assert_nonnull (strstr (file, "| wide | 1 |\n"));
  g_assert_nonnull (strstr (file, "(1001 rows)"));
}

static void
width_counts_columns_of_the_screen (void)
{
  g_assert_cmpuint (gt_query_width ("abc"), ==, 3);
  g_assert_cmpuint (gt_query_width ("漢字"), ==, 4);
  g_assert_cmpuint (gt_query_width ("e\xCC\x81"), ==, 1);
  g_autoptr (GString) out = g_string_new (NULL);
  g_assert_cmpuint (gt_query_append_cut (out, "漢字漢字", 6, TRUE), ==, 5);
  g_assert_cmpstr (out->str, ==, "漢字>");
}

static void
nothing_in_a_cell_reaches_the_terminal (void)
{
  g_autoptr (GString) out = g_string_new (NULL);
  gt_query_append_visible (out, "a\x1b\n\xff\xE2\x80\xAE\xC2\x85z", 10);
  g_assert_cmpstr (out->str, ==, "a\\x1b\\n\\xff\\u202e\\u0085z");
}

static void
assert_message (const char *text, const char *expected)
{
  g_autoptr (GString) out = g_string_new (NULL);
  gt_query_append_message (out, text);
  g_assert_cmpstr (out->str, ==, expected);
}

static void
a_message_stays_readable_and_commands_nothing (void)
{
  assert_message ("", "");
  assert_message ("a\x1b[31m\r\n\tb\n", "a\\x1b[31m\\r\n\tb\n");
  assert_message ("LINE 1: x\n        ^\n", "LINE 1: x\n        ^\n");
  assert_message ("LINE 1: 漢 x\n           ^", "LINE 1: 漢 x\n           ^");
  /* DuckDB counts neither of the two. */
  assert_message ("LINE 1: '\x1b\x7f' x\n           ^",
                  "LINE 1: '\\x1b\\x7f' x\n                   ^");
  assert_message ("LINE 2: \t\tx\n        ^", "LINE 2: \t\tx\n        \t\t^");
  assert_message ("LINE 1: \x01'\x02' x\n        ^^", "LINE 1: \\x01'\\x02' x\n            ^^^^^^");
  assert_message ("^\n^", "^\n^");
  assert_message ("ab\n     ^", "ab\n     ^");
}

static void
parameters_are_json_or_text (void)
{
  char *const texts[]
      = { (char *) "n=1", (char *) "$s=x y", (char *) "big=99999999999999999999", NULL };
  json_t *params = gt_query_params (texts, NULL);
  char *json = json_dumps (params, JSON_COMPACT | JSON_SORT_KEYS);
  g_assert_cmpstr (json, ==,
                   "{\"big\":{\"$type\":\"HUGEINT\",\"$value\":\"99999999999999999999\"},"
                   "\"n\":1,\"s\":\"x y\"}");
  free (json);
  json_decref (params);
  char *const numbered[] = { (char *) "2=b", (char *) "1=[1,null]", NULL };
  params = gt_query_params (numbered, NULL);
  json = json_dumps (params, JSON_COMPACT);
  g_assert_cmpstr (json, ==, "[[1,null],\"b\"]");
  free (json);
  json_decref (params);
  g_autoptr (GError) error = NULL;
  g_assert_null (gt_query_params (NULL, &error));
  g_assert_no_error (error);
}

static void
a_number_that_is_too_large_is_no_text (void)
{
  static const char *const large[] = { "x=1e400", "x= -1E+400", "x=[1,99999999999999999999]" };
  static const char *const texts[] = { "x=1e400x", "x=hello", "x=[1e400", "x={\"a\":1e400}" };
  for (gsize i = 0; i < G_N_ELEMENTS (large); i++) {
    char *const given[] = { (char *) large[i], NULL };
    g_autoptr (GError) error = NULL;
    g_assert_null (gt_query_params (given, &error));
    g_assert_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
    g_assert_nonnull (strstr (error->message, "too large"));
  }
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    char *const given[] = { (char *) texts[i], NULL };
    json_t *params = gt_query_params (given, NULL);
    g_assert_cmpstr (json_string_value (json_object_get (params, "x")), ==, texts[i] + 2);
    json_decref (params);
  }
}

static void
the_bar_fits_its_line (void)
{
  for (guint columns = 1; columns < 120; columns++) {
    g_autoptr (GString) out = g_string_new (NULL);
    gt_query_progress_text (out, 42, 3 * GT_NSEC_PER_SEC, 75 * GT_NSEC_PER_SEC, TRUE, columns);
    g_assert_cmpuint (out->len, <=, columns);
  }
  g_autoptr (GString) out = g_string_new (NULL);
  gt_query_progress_text (out, 50, 3 * GT_NSEC_PER_SEC, 75 * GT_NSEC_PER_SEC, FALSE, 200);
  g_assert_cmpstr (out->str, ==,
                   " 50% [####################....................] 3.0 s, 1 min 15 s left to the "
                   "hard limit");
  g_string_truncate (out, 0);
  gt_query_progress_text (out, -1, 3 * GT_NSEC_PER_SEC, G_MAXINT64, FALSE, 200);
  g_assert_cmpstr (out->str, ==, "3.0 s");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define TEST(name) g_test_add_func ("/query/" #name, name)
  TEST (exact_numbers_lose_their_quotes_at_every_depth);
  TEST (a_type_that_is_not_understood_is_left_as_it_comes);
  TEST (json_is_embedded_when_it_is_json_for_everybody);
  TEST (json_is_embedded_whatever_its_readers_can_hold);
  TEST (json_is_what_the_grammar_says);
  TEST (intervals_read_as_duckdb_writes_them);
  TEST (strings_lose_quotes_and_escapes);
  TEST (a_row_may_come_in_pieces);
  TEST (what_is_no_row_is_refused);
  TEST (a_result_that_did_not_end_is_not_closed);
  TEST (a_table_is_cut_to_the_screen_and_not_elsewhere);
  TEST (rows_after_the_measured_ones_are_cut_or_stick_out);
  TEST (width_counts_columns_of_the_screen);
  TEST (nothing_in_a_cell_reaches_the_terminal);
  TEST (a_message_stays_readable_and_commands_nothing);
  TEST (parameters_are_json_or_text);
  TEST (a_number_that_is_too_large_is_no_text);
  TEST (the_bar_fits_its_line);
  return g_test_run ();
}
