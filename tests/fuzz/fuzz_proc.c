/* The parsers of /proc text on any bytes. What they take must keep its own promises. */
#include "os/proc.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *text = (const char *) data;
  GtProcStat stat;
  GtProcSignals signals;
  gsize length = 0;
  g_autoptr (GString) out = g_string_new (NULL);

  if (gt_proc_parse_stat (text, size, &stat))
    g_assert (stat.pid > 0 && stat.ppid >= 0 && stat.threads >= 0 && stat.rss_pages >= 0
              && strlen (stat.comm) <= GT_PROC_COMM_MAX && g_ascii_isalpha (stat.state));
  (void) gt_proc_parse_signals (text, size, &signals);
  g_assert (gt_proc_parse_pss (text, size) >= -1);
  const char *value = gt_proc_find_env (text, size, "A", &length);
  g_assert (value == NULL || (value >= text && value + length <= text + size));
  gt_proc_join_cmdline (text, size, 64, out);
  g_assert (g_utf8_validate (out->str, (gssize) out->len, NULL));
  g_string_truncate (out, 0);
  gt_proc_escape (text, size, out);
  g_assert (g_utf8_validate (out->str, (gssize) out->len, NULL) && out->len <= 4 * size);
  return 0;
}
