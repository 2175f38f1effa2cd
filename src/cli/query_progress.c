#include "cli/query_progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What is done before that needs no bar. */
#define PATIENCE_NS (500 * GT_NSEC_PER_MSEC)
#define MOST_CELLS  40
#define LEAST_CELLS 5

void
gt_query_progress_init (GtQueryProgress *self, const GtLimits *limits, gboolean wanted)
{
  const char *terminal = g_getenv ("TERM");
  *self = (GtQueryProgress){ .began = limits->made, .limit = limits->soft, .limit_is_soft = TRUE };
  g_mutex_init (&self->lock);
  self->wanted
      = wanted && isatty (STDERR_FILENO) && terminal != NULL && !g_str_equal (terminal, "dumb");
  if (limits->soft.ns == GT_NEVER.ns) {
    self->limit = limits->hard;
    self->limit_is_soft = FALSE;
  }
}

void
gt_query_progress_clear (GtQueryProgress *self)
{
  gt_query_progress_hide (self, TRUE);
  g_mutex_clear (&self->lock);
}

static void
append_seconds (GString *out, gint64 ns)
{
  gint64 tenths = ns / (GT_NSEC_PER_SEC / 10);
  if (tenths < 600)
    g_string_append_printf (out, "%d.%d s", (int) (tenths / 10), (int) (tenths % 10));
  else
    g_string_append_printf (out, "%" G_GINT64_FORMAT " min %02d s", tenths / 600,
                            (int) (tenths / 10 % 60));
}

void
gt_query_progress_text (GString *out, double percent, gint64 elapsed_ns, gint64 left_ns,
                        gboolean soft, guint columns)
{
  g_autoptr (GString) times = g_string_new (NULL);
  append_seconds (times, elapsed_ns);
  if (left_ns != G_MAXINT64) {
    g_string_append (times, ", ");
    append_seconds (times, left_ns);
    g_string_append (times, soft ? " left to the soft limit" : " left to the hard limit");
  }
  if (percent < 0) {
    g_string_append_printf (out, "%.*s", (int) columns, times->str);
    return;
  }
  guint other = (guint) times->len + 8; /* "100% [" and "] " */
  guint cells = columns > other ? MIN (columns - other, MOST_CELLS) : 0;
  guint full = (guint) (MIN (percent, 100.0) / 100 * cells);
  g_autoptr (GString) line = g_string_new (NULL);
  g_string_append_printf (line, "%3d%% ", (int) MIN (percent, 100.0));
  if (cells >= LEAST_CELLS) {
    g_string_append_c (line, '[');
    for (guint i = 0; i < cells; i++)
      g_string_append_c (line, i < full ? '#' : '.');
    g_string_append (line, "] ");
  }
  g_string_append (line, times->str);
  g_string_append_printf (out, "%.*s", (int) columns, line->str);
}

static guint
screen_columns (void)
{
  struct winsize size;
  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void
gt_query_progress_show (GtQueryProgress *self, double percent, const char *note)
{
  GtInstant now = gt_instant_now ();
  if (gt_instant_until (self->began, now) < PATIENCE_NS)
    return;
  g_autoptr (GString) line = g_string_new ("\r\x1b[K");
  guint columns = screen_columns () - 1;
  if (note != NULL)
    g_string_append_printf (line, "%.*s", (int) columns, note);
  else
    gt_query_progress_text (line, percent, gt_instant_until (self->began, now),
                            gt_instant_until (now, self->limit), self->limit_is_soft, columns);
  g_mutex_lock (&self->lock);
  if (self->wanted) {
    (void) !write (STDERR_FILENO, line->str, line->len);
    self->drawn = TRUE;
  }
  g_mutex_unlock (&self->lock);
}

void
gt_query_progress_hide (GtQueryProgress *self, gboolean for_good)
{
  static const char erase[] = "\r\x1b[K";
  g_mutex_lock (&self->lock);
  if (self->drawn)
    (void) !write (STDERR_FILENO, erase, strlen (erase));
  self->drawn = FALSE;
  self->wanted = self->wanted && !for_good;
  g_mutex_unlock (&self->lock);
}
