#include "os/parse.h"

#include <signal.h>
#include <string.h>

#define S G_GINT64_CONSTANT (1000000000)

static void
durations_are_numbers_with_a_unit (void)
{
  static const struct {
    const char *text;
    gint64 ns;
  } rows[] = {
    { "1", S },
    { "0.5", S / 2 },
    { ".5", S / 2 },
    { "1.", S },
    { "+2", 2 * S },
    { " 2", 2 * S },
    { "1e-3", S / 1000 },
    { "0x1p-1", S / 2 },
    { "0x1d", 29 * S },
    { "2s", 2 * S },
    { "1.5m", 90 * S },
    { "1h", 3600 * S },
    { "1d", 86400 * S },
    { "0", GT_DURATION_NONE },
    { "-0", GT_DURATION_NONE },
    { "0d", GT_DURATION_NONE },
    { "0e9", GT_DURATION_NONE },
    { "1e-9", 1 },
    { "inf", G_MAXINT64 },
    { "INFINITYd", G_MAXINT64 },
    { "1e400", G_MAXINT64 },
    { "99999999999", G_MAXINT64 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    gint64 ns = -1;
    g_test_message ("%s", rows[i].text);
    g_assert_true (gt_parse_duration (rows[i].text, &ns));
    g_assert_cmpint (ns, ==, rows[i].ns);
  }
}

static void
a_tiny_duration_does_not_become_none (void)
{
  static const char *const texts[] = { "1e-10", "1e-300", "1e-400", "0x1p-2000", "1e-400d" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    gint64 ns = -1;
    g_assert_true (gt_parse_duration (texts[i], &ns));
    g_assert_cmpint (ns, ==, 1);
  }
}

static void
what_is_no_duration_is_refused (void)
{
  static const char *const texts[]
      = { "",    "s",  "nan", "-1",  "-inf", "-1e-400", "1S",   "1ms", "1ss", "1 ",
          "1 s", "1e", "0x",  "1_0", "1,5s", "1:0",     "1h1m", "x1",  "--1", "1\n" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    gint64 ns;
    g_test_message ("'%s'", texts[i]);
    g_assert_false (gt_parse_duration (texts[i], &ns));
  }
}

static void
sizes_take_binary_and_decimal_suffixes (void)
{
  static const struct {
    const char *text;
    guint64 bytes;
  } rows[] = {
    { "1", 1 },
    { "4096", 4096 },
    { "4096B", 4096 },
    { "1K", 1024 },
    { "1k", 1024 },
    { "1KiB", 1024 },
    { "1kb", 1000 },
    { "1.5G", 1610612736 },
    { "512m", 536870912 },
    { "2TB", 2000000000000 },
    { "0.5K", 512 },
    { ".5K", 512 },
    { "1E", G_GUINT64_CONSTANT (1) << 60 },
    { "1e3", 1000 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    guint64 bytes = 0;
    g_test_message ("%s", rows[i].text);
    g_assert_true (gt_parse_size (rows[i].text, &bytes));
    g_assert_cmpuint (bytes, ==, rows[i].bytes);
  }
}

static void
what_is_no_size_is_refused (void)
{
  static const char *const texts[]
      = { "",   "0",   "0.5", "-1",   "+1", " 1",  "inf",  "nan", "K",
          "1X", "1Ki", "1KK", "1KiX", "8E", "16E", "1e40", "1 K", "1.5.5" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    guint64 bytes;
    g_test_message ("'%s'", texts[i]);
    g_assert_false (gt_parse_size (texts[i], &bytes));
  }
}

static void
counts_are_digits_from_one_on (void)
{
  guint64 count = 0;
  g_assert_true (gt_parse_count ("17", &count));
  g_assert_cmpuint (count, ==, 17);
  static const char *const texts[] = { "", "0", "-1", "+1", "1.5", "0x1", "9223372036854775808" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_false (gt_parse_count (texts[i], &count));
}

static void
signals_go_by_name_and_number (void)
{
  const struct {
    const char *text;
    int signo;
  } rows[] = {
    { "TERM", SIGTERM },
    { "SIGTERM", SIGTERM },
    { "sigTerm", SIGTERM },
    { "15", SIGTERM },
    { "015", SIGTERM },
    { "SIG15", SIGTERM },
    { "143", SIGTERM },
    { "271", SIGTERM },
    { "0", 0 },
    { "EXIT", 0 },
    { "128", 0 },
    { "CLD", SIGCHLD },
    { "IO", SIGPOLL },
    { "RTMIN", SIGRTMIN },
    { "sigrtmin+2", SIGRTMIN + 2 },
    { "RTMAX-1", SIGRTMAX - 1 },
    { "RTMAX", SIGRTMAX },
    { "64", 64 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    int signo = -1;
    g_test_message ("%s", rows[i].text);
    g_assert_true (gt_parse_signal (rows[i].text, &signo));
    g_assert_cmpint (signo, ==, rows[i].signo);
  }
}

static void
what_is_no_signal_is_refused (void)
{
  static const char *const texts[]
      = { "",        "SIG",     "SIGSIGTERM", "-15",      "+15",  "32",        "33",
          "65",      "193",     "1000",       "15 ",      " 15",  "0xf",       "FOO",
          "RTMIN-1", "RTMAX+1", "RTMIN+",     "RTMIN+99", "RTMI", "4294967311" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    int signo;
    g_test_message ("'%s'", texts[i]);
    g_assert_false (gt_parse_signal (texts[i], &signo));
  }
}

static void
every_signal_has_a_name_that_reads_back (void)
{
  char name[GT_SIGNAL_NAME_SIZE];
  for (int signo = 0; signo <= SIGRTMAX; signo++) {
    int back = -1;
    gt_signal_name (signo, name);
    if (signo == 32 || signo == 33) /* the C library's own */
      continue;
    g_assert_true (gt_parse_signal (name, &back));
    g_assert_cmpint (back, ==, signo);
  }
  g_assert_cmpstr (gt_signal_name (SIGTERM, name), ==, "TERM");
  g_assert_cmpstr (gt_signal_name (SIGRTMIN, name), ==, "RTMIN");
  g_assert_cmpstr (gt_signal_name (SIGRTMAX, name), ==, "RTMAX");
  g_assert_cmpstr (gt_signal_name (999, name), ==, "999");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define T(name) g_test_add_func ("/parse/" #name, name)
  T (durations_are_numbers_with_a_unit);
  T (a_tiny_duration_does_not_become_none);
  T (what_is_no_duration_is_refused);
  T (sizes_take_binary_and_decimal_suffixes);
  T (what_is_no_size_is_refused);
  T (counts_are_digits_from_one_on);
  T (signals_go_by_name_and_number);
  T (what_is_no_signal_is_refused);
  T (every_signal_has_a_name_that_reads_back);
  return g_test_run ();
}
