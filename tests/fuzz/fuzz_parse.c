/* Durations, sizes, counts and signals on any bytes. What they take must keep its own promises. */
#include "os/parse.h"

#include <signal.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  gint64 ns;
  guint64 number;
  int signo, back;
  char name[GT_SIGNAL_NAME_SIZE];

  if (gt_parse_duration (text, &ns))
    g_assert_cmpint (ns, >=, 0);
  if (gt_parse_size (text, &number))
    g_assert_true (number >= 1 && number <= G_MAXINT64);
  if (gt_parse_count (text, &number))
    g_assert_true (number >= 1 && number <= G_MAXINT64);
  if (gt_parse_signal (text, &signo)) {
    g_assert_true (signo >= 0 && signo <= SIGRTMAX);
    g_assert_true (gt_parse_signal (gt_signal_name (signo, name), &back) && back == signo);
  }
  return 0;
}
