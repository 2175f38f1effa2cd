#include "lab/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REFRESH_NS (200 * GT_NSEC_PER_MSEC)

struct GtProgress {
  gboolean enabled, terminal;
  const GPtrArray *subjects;
  gboolean *skipped; /* one for each subject */
  GtWatch *watch;
  const GtSubject *subject;
  guint index;
  GtInstant run_started, subject_started, shown_at;
};

GtProgress *
gt_progress_new (gboolean enabled, const GPtrArray *subjects)
{
  GtProgress *progress = g_new0 (GtProgress, 1);
  progress->enabled = enabled;
  progress->terminal = enabled && isatty (STDERR_FILENO);
  progress->subjects = subjects;
  progress->skipped = g_new0 (gboolean, subjects->len);
  progress->run_started = gt_instant_now ();
  return progress;
}

static void
clear_line (const GtProgress *progress)
{
  if (progress != NULL && progress->terminal)
    fputs ("\r\033[K", stderr);
}

void
gt_progress_free (GtProgress *progress)
{
  if (progress == NULL)
    return;
  clear_line (progress);
  g_free (progress->skipped);
  g_free (progress);
}

void
gt_progress_will_skip (GtProgress *progress, guint index)
{
  progress->skipped[index] = TRUE;
}

/* Seconds that a subject will take, roughly: what its settings say. */
static double
expected_seconds (const GtSubject *subject)
{
  const double *set = subject->settings;
  gboolean waits = g_str_equal (subject->factors[GT_FACTOR_STRATEGY], "signals");
  double each = waits ? set[GT_SETTING_QUERY_SECONDS] : set[GT_SETTING_TIMEOUT] + 0.3;
  return 2 + each * set[GT_SETTING_ITERATIONS];
}

/* What is left, scaled by how the finished ones compared with what was expected of them. */
static double
seconds_left (const GtProgress *progress)
{
  double done = 0, left = 0;
  for (guint i = 0; i < progress->subjects->len; i++)
    if (!progress->skipped[i])
      *(i < progress->index ? &done : &left) += expected_seconds (progress->subjects->pdata[i]);
  double elapsed = (double) gt_instant_until (progress->run_started, gt_instant_now ())
                   / (double) GT_NSEC_PER_SEC;
  double spent = (double) gt_instant_until (progress->subject_started, gt_instant_now ())
                 / (double) GT_NSEC_PER_SEC;
  if (progress->subject != NULL && !progress->skipped[progress->index])
    left -= MIN (spent, expected_seconds (progress->subject));
  return done < 5 ? left : left * CLAMP (elapsed / done, 0.3, 5);
}

/* A line that is longer than the terminal is wide could not be taken back. */
static guint
terminal_columns (void)
{
  struct winsize size;
  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void
show (GtProgress *progress)
{
  const GtWatchState *state = gt_watch_state (progress->watch);
  const double iterations = progress->subject->settings[GT_SETTING_ITERATIONS];
  double left = seconds_left (progress);
  g_autoptr (GString) line = g_string_new (NULL);
  g_string_printf (line, "[%2u/%u] %s  ", progress->index + 1, progress->subjects->len,
                   progress->subject->name);
  if (!state->task_started)
    g_string_append (line, "starting");
  else if (!state->task_ended)
    g_string_append_printf (line, "iteration %g of %g",
                            MIN (state->iterations_told + 1, iterations), iterations);
  else
    g_string_append (line, "watching what is left");
  if (left >= 90)
    g_string_append_printf (line, "  about %.0f min left", left / 60 + 0.5);
  else
    g_string_append_printf (line, "  about %.0f s left", left);
  g_string_truncate (line, MIN (line->len, terminal_columns () - 1));
  fprintf (stderr, "\r\033[K%s", line->str);
  fflush (stderr);
}

static void
on_tick (gpointer data)
{
  GtProgress *progress = data;
  GtInstant now = gt_instant_now ();
  if (!progress->terminal || progress->subject == NULL
      || gt_instant_until (progress->shown_at, now) < REFRESH_NS)
    return;
  progress->shown_at = now;
  show (progress);
}

void
gt_progress_attach (GtProgress *progress, GtWatch *watch)
{
  progress->watch = watch;
  gt_watch_set_tick (watch, on_tick, progress);
}

void
gt_progress_begin (GtProgress *progress, const GtSubject *subject, guint index)
{
  progress->subject = subject;
  progress->index = index;
  progress->subject_started = gt_instant_now ();
  if (progress->enabled && !progress->terminal)
    fprintf (stderr, "[%2u/%u] %s  about %.0f s left\n", index + 1, progress->subjects->len,
             subject->name, seconds_left (progress));
}

static void
say (const GtProgress *progress, const char *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);
  clear_line (progress);
  fprintf (stderr, "%s\n", text);
}

void
gt_progress_say (const GtProgress *progress, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  if (progress->enabled)
    say (progress, format, args);
  va_end (args);
}

void
gt_progress_warn (const GtProgress *progress, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  say (progress, format, args);
  va_end (args);
}
