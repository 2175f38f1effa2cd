#include "os/proc.h"

#include <string.h>

/* Fields 4 to 52 of a sleeping process: ppid 1, pgrp 40, session 41, 7 + 8 ticks, 3 threads, start
 * 1234, 250 pages. */
#define REST                                                                                       \
  " 1 40 41 0 -1 4194304 90 0 0 0 7 8 9 10 20 0 3 0 1234 99999 250 18446744073709551615"           \
  " 4194304 4198400 140720000000000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 4202496 4206592 8000000"      \
  " 140720000000100 140720000000200 140720000000200 140720000000900 0\n"

static gboolean
parse (const char *text, GtProcStat *out)
{
  return gt_proc_parse_stat (text, strlen (text), out);
}

static void
a_stat_line_is_read_field_by_field (void)
{
  GtProcStat stat;
  g_assert_true (parse ("42 (cat) S" REST, &stat));
  g_assert_cmpint (stat.pid, ==, 42);
  g_assert_cmpstr (stat.comm, ==, "cat");
  g_assert_cmpint (stat.state, ==, 'S');
  g_assert_cmpint (stat.ppid, ==, 1);
  g_assert_cmpint (stat.pgrp, ==, 40);
  g_assert_cmpint (stat.session, ==, 41);
  g_assert_cmpuint (stat.flags, ==, 4194304);
  g_assert_cmpuint (stat.utime_ticks, ==, 7);
  g_assert_cmpuint (stat.stime_ticks, ==, 8);
  g_assert_cmpuint (stat.cutime_ticks, ==, 9);
  g_assert_cmpuint (stat.cstime_ticks, ==, 10);
  g_assert_cmpint (stat.threads, ==, 3);
  g_assert_cmpuint (stat.start_ticks, ==, 1234);
  g_assert_cmpint (stat.rss_pages, ==, 250);
  g_assert_cmpuint (stat.image, !=, 0);
  g_assert_true (stat.has_environment);
}

static void
a_name_may_hold_anything (void)
{
  static const char *const names[] = {
    "a b", "a) R 1 (b", ")", "((((", "))))", "", " ", "x\ny", "\xff\xfe", ") Z 1 1 1 ", "tab\there",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *text = g_strdup_printf ("7 (%s) Z" REST, names[i]);
    GtProcStat stat;
    g_assert_true (parse (text, &stat));
    g_assert_cmpstr (stat.comm, ==, names[i]);
    g_assert_cmpint (stat.state, ==, 'Z');
    g_assert_cmpint (stat.pid, ==, 7);
    g_assert_cmpuint (stat.start_ticks, ==, 1234);
  }
}

static void
a_name_that_is_too_long_is_cut (void)
{
  g_autofree char *name = g_strnfill (500, 'n');
  g_autofree char *text = g_strdup_printf ("7 (%s) S" REST, name);
  GtProcStat stat;
  g_assert_true (parse (text, &stat));
  g_assert_cmpuint (strlen (stat.comm), ==, GT_PROC_COMM_MAX);
  g_assert_cmpuint (stat.start_ticks, ==, 1234);
}

/* Heap memory of exactly that length, so that the sanitizer sees a read beyond the cut. */
static void
a_line_cut_anywhere_is_no_line (void)
{
  static const char whole[] = "42 (c a) t) S" REST;
  GtProcStat stat;
  for (gsize length = 0; length < sizeof whole - 1; length++) {
    g_autofree char *cut = (char *) g_memdup2 (whole, length);
    g_assert_false (gt_proc_parse_stat (cut, length, &stat));
  }
  g_assert_true (gt_proc_parse_stat (whole, sizeof whole - 1, &stat));
}

static void
what_is_no_stat_line_is_refused (void)
{
  static const char *const bad[] = {
    "\n",
    "42\n",
    "42 (cat)\n",
    "42 (cat) S\n",
    "42 (cat) S 1 2 3\n",
    "(cat) S" REST,
    "42 cat S" REST,
    "42 )cat( S" REST,
    "42)( S" REST,
    "x42 (cat) S" REST,
    "0 (cat) S" REST,
    "-1 (cat) S" REST,
    "99999999999 (cat) S" REST,
    "99999999999999999999999 (cat) S" REST,
    "42 (cat) 9" REST,
    "42 (cat)  S" REST,
    "42 (cat) S x 40 41 0 -1 0 90 0 0 0 7 8 9 10 20 0 3 0 1234 9 250\n",
    "42 (cat) S -5 40 41 0 -1 0 90 0 0 0 7 8 9 10 20 0 3 0 1234 9 250\n",
    "42 (cat) S 1  41 0 -1 0 90 0 0 0 7 8 9 10 20 0 3 0 1234 9 250\n",
    "42 (cat) S 1 40 41 0 -1 0 90 0 0 0 7 8 9 10 20 0 3 0 1234 9\n",
    "42 (cat) S 1 40 41 0 -1 0 90 0 0 0 18446744073709551616 8 9 10 20 0 3 0 1234 9 250\n",
    "42 (cat) S 1 40 41 0 -1 0 90 0 0 0 -9223372036854775809 8 9 10 20 0 3 0 1234 9 250\n",
    "42 (cat) S 1 40 41 0 -1 0 90 0 0 0 7 8 9 10 20 0 -3 0 1234 9 250\n",
    "42 (cat) S 1 40 41 0 -1 0 90 0 0 0 7 8 9 10 20 0 3 0 0x12 9 250\n",
  };
  GtProcStat stat;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    if (parse (bad[i], &stat))
      g_error ("accepted: %s", bad[i]);
}

static void
huge_numbers_and_short_kernels_are_taken (void)
{
  GtProcStat stat;
  g_assert_true (
      parse ("2147483647 (x) R 1 -1 -1 0 -1 4294967295 0 0 0 0 18446744073709551615 0 0 0"
             " 20 0 1 0 18446744073709551615 9 -5\n",
             &stat));
  g_assert_cmpint (stat.pid, ==, G_MAXINT);
  g_assert_cmpint (stat.pgrp, ==, -1);
  g_assert_cmpuint (stat.utime_ticks, ==, G_MAXUINT64);
  g_assert_cmpuint (stat.start_ticks, ==, G_MAXUINT64);
  g_assert_cmpint (stat.rss_pages, ==, 0);
  g_assert_cmpuint (stat.image, ==, 0);
  g_assert_false (stat.has_environment);
}

static void
signal_masks_are_found_among_the_other_lines (void)
{
  static const char text[] = "Name:\tSigCgt: 00000000000000ff\nThreads:\t1\nSigQ:\t0/95\n"
                             "SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n"
                             "SigBlk:\t7fffffffffffffff\nSigIgn:\t0000000001001000\n"
                             "SigCgt:\tffffffffFFFFFFFF\nCapInh:\t0000000000000000\n";
  GtProcSignals signals;
  g_assert_true (gt_proc_parse_signals (text, sizeof text - 1, &signals));
  g_assert_cmphex (signals.pending, ==, 0);
  g_assert_cmphex (signals.pending_shared, ==, 0x4000);
  g_assert_cmphex (signals.blocked, ==, 0x7fffffffffffffff);
  g_assert_cmphex (signals.ignored, ==, 0x1001000);
  g_assert_cmphex (signals.caught, ==, G_MAXUINT64);
}

static void
masks_that_are_cut_or_no_numbers_are_refused (void)
{
  static const char whole[] = "SigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t1\n";
  GtProcSignals signals;
  for (gsize length = 0; length < sizeof whole - 1; length++) {
    g_autofree char *cut = (char *) g_memdup2 (whole, length);
    g_assert_false (gt_proc_parse_signals (cut, length, &signals));
  }
  static const char *const bad[] = { "", "g", "00000000000000000", "12 34", "-1" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *text
        = g_strdup_printf ("SigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t%s\n", bad[i]);
    g_assert_false (gt_proc_parse_signals (text, strlen (text), &signals));
  }
}

static gint64
pss (const char *text)
{
  return gt_proc_parse_pss (text, strlen (text));
}

static void
pss_is_known_or_minus_one (void)
{
  g_assert_cmpint (pss ("00400000-7ffe ---p 0 00:00 0 [rollup]\nRss:     912 kB\n"
                        "Pss:        120 kB\nPss_Dirty:  60 kB\n"),
                   ==, G_GINT64_CONSTANT (120) * 1024);
  g_assert_cmpint (pss ("Pss: 0 kB\n"), ==, 0);
  g_assert_cmpint (pss (""), ==, -1);
  g_assert_cmpint (pss ("Pss_Anon: 5 kB\n"), ==, -1);
  g_assert_cmpint (pss ("Pss: 120 k"), ==, -1);
  g_assert_cmpint (pss ("Pss: 120 MB\n"), ==, -1);
  g_assert_cmpint (pss ("Pss: -1 kB\n"), ==, -1);
  g_assert_cmpint (pss ("Pss: 9223372036854775807 kB\n"), ==, -1);
}

static void
the_first_variable_of_that_name_counts (void)
{
  static const char text[]
      = "XMARK=no\0MARKX=no\0MARK\0=MARK=no\0MARK=yes=1\0MARK=late\0EMPTY=\0CUT=ab";
  gsize length = 0;
  const char *value = gt_proc_find_env (text, sizeof text - 1, "MARK", &length);
  g_assert_cmpmem (value, (gint) length, "yes=1", 5);
  value = gt_proc_find_env (text, sizeof text - 1, "EMPTY", &length);
  g_assert_nonnull (value);
  g_assert_cmpuint (length, ==, 0);
  value = gt_proc_find_env (text, sizeof text - 1, "CUT", &length);
  g_assert_cmpmem (value, (gint) length, "ab", 2);
  g_assert_null (gt_proc_find_env (text, sizeof text - 1, "NONE", &length));
  g_assert_null (gt_proc_find_env (text, 0, "MARK", &length));
}

static void
assert_cmdline (const char *text, gsize length, gsize limit, const char *expected)
{
  g_autoptr (GString) out = g_string_new ("left over");
  gt_proc_join_cmdline (text, length, limit, out);
  g_assert_cmpstr (out->str, ==, expected);
}

static void
arguments_are_joined_and_escaped (void)
{
  assert_cmdline ("sh\0-c\0echo a\nb\0", 15, 99, "sh -c echo a\\nb");
  assert_cmdline ("a\0\0b\0", 5, 99, "a  b");
  assert_cmdline ("title\0\0\0\0\0", 10, 99, "title");
  assert_cmdline ("", 0, 99, "");
  assert_cmdline ("\0\0", 2, 99, "");
  assert_cmdline ("unterminated", 12, 99, "unterminated");
  assert_cmdline ("abcdef\0", 7, 3, "abc...");
}

static void
assert_escaped (const char *text, const char *expected)
{
  g_autoptr (GString) out = g_string_new (NULL);
  gt_proc_escape (text, strlen (text), out);
  g_assert_cmpstr (out->str, ==, expected);
  g_assert_true (g_utf8_validate (out->str, (gssize) out->len, NULL));
}

static void
what_could_steer_a_terminal_is_escaped (void)
{
  assert_escaped ("plain", "plain");
  assert_escaped ("\x1b[31mred", "\\x1b[31mred");
  assert_escaped ("a\nb\tc\x7f", "a\\nb\\tc\\x7f");
  assert_escaped ("back\\slash", "back\\\\slash");
  assert_escaped ("é日本", "é日本");
  assert_escaped ("\xff\xfe", "\\xff\\xfe");
  assert_escaped ("cut \xe6\x97", "cut \\xe6\\x97");
  assert_escaped ("\xc0\x80", "\\xc0\\x80");
  assert_escaped ("\xed\xa0\x80", "\\xed\\xa0\\x80");
  assert_escaped ("\xc2\x9b"
                  "31m",
                  "\\xc2\\x9b31m");
  char override[8] = { 0 };
  g_unichar_to_utf8 (0x202e, override); /* right to left */
  assert_escaped (override, "\\xe2\\x80\\xae");
  assert_escaped ("\xe2\x80\xa8", "\\xe2\\x80\\xa8");
}

static void
every_state_has_a_name (void)
{
  g_assert_cmpstr (gt_proc_state_name ('Z'), ==, "zombie");
  g_assert_cmpstr (gt_proc_state_name ('R'), ==, "running");
  g_assert_cmpstr (gt_proc_state_name ('?'), ==, "unknown");
  g_assert_cmpint (gt_proc_tick_ns (), >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/proc/stat/fields", a_stat_line_is_read_field_by_field);
  g_test_add_func ("/proc/stat/names", a_name_may_hold_anything);
  g_test_add_func ("/proc/stat/long-name", a_name_that_is_too_long_is_cut);
  g_test_add_func ("/proc/stat/cut", a_line_cut_anywhere_is_no_line);
  g_test_add_func ("/proc/stat/bad", what_is_no_stat_line_is_refused);
  g_test_add_func ("/proc/stat/huge", huge_numbers_and_short_kernels_are_taken);
  g_test_add_func ("/proc/signals/found", signal_masks_are_found_among_the_other_lines);
  g_test_add_func ("/proc/signals/bad", masks_that_are_cut_or_no_numbers_are_refused);
  g_test_add_func ("/proc/pss", pss_is_known_or_minus_one);
  g_test_add_func ("/proc/env", the_first_variable_of_that_name_counts);
  g_test_add_func ("/proc/cmdline", arguments_are_joined_and_escaped);
  g_test_add_func ("/proc/escape", what_could_steer_a_terminal_is_escaped);
  g_test_add_func ("/proc/state", every_state_has_a_name);
  return g_test_run ();
}
