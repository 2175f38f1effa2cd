#include "lab/observe.h"

#include "lab/error.h"
#include "lab/experiment.h"
#include "lab/eye.h"
#include "lab/stop.h"

#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The reader knows whom it is about. */
#define SUBJECT "?"

static gboolean
sample_distance (guint *ms, GError **error)
{
  const char *text = g_getenv ("GILOTINE_SAMPLE_MS");
  guint64 value = 20;
  if (text != NULL
      && (!g_ascii_string_to_unsigned (text, 10, 1, 1000, &value, NULL)
          || !gt_setting_allows (GT_SETTING_SAMPLE_MS, (double) value))) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "GILOTINE_SAMPLE_MS must be a whole number from 1 to 50, not '%s'", text);
    return FALSE;
  }
  *ms = (guint) value;
  return TRUE;
}

/* An observer that was killed leaves its socket, and the next one has the same path. */
static void
remove_stale_socket (const char *path)
{
  struct stat status;
  if (lstat (path, &status) == 0 && S_ISSOCK (status.st_mode))
    unlink (path);
}

static gboolean
look_until_stopped (GtEye *eye, GtRaw *raw, const GtStop *stop, GError **error)
{
  GtWatchState state = { 0 };
  for (;;) {
    /* Nobody who reads any more: POLLERR of the pipe. */
    struct pollfd fds[] = { { .fd = stop->fd, .events = POLLIN },
                            { .fd = gt_eye_fd (eye), .events = POLLIN },
                            { .fd = STDOUT_FILENO } };
    if (poll (fds, G_N_ELEMENTS (fds), -1) < 0)
      continue;
    if (fds[0].revents != 0 || (fds[2].revents & POLLERR) != 0)
      return TRUE;
    if (!gt_eye_look (eye, &state, error) || !gt_raw_flush (raw, error))
      return FALSE;
  }
}

gboolean
gt_lab_observe (pid_t root_pid, GError **error)
{
  const char *trace_path = g_getenv ("GILOTINE_TRACE");
  guint sample_ms;
  if (trace_path == NULL || *trace_path == '\0') {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "GILOTINE_TRACE must name the socket for the worker's trace events");
    return FALSE;
  }
  if (!sample_distance (&sample_ms, error))
    return FALSE;
  remove_stale_socket (trace_path);
  GtStop stop;
  gt_stop_begin (&stop);
  GtRaw *raw = gt_raw_stream (stdout);
  g_autoptr (GtEye) eye = gt_eye_new (raw, trace_path, error);
  gboolean ok
      = eye != NULL
        && gt_raw_write (raw, json_pack ("{ss si}", "k", "observer", "root", (int) root_pid), error)
        && gt_raw_flush (raw, error)
        && gt_eye_begin (eye, SUBJECT, NULL, root_pid, sample_ms, error)
        && look_until_stopped (eye, raw, &stop, error);
  g_clear_pointer (&eye, gt_eye_free);
  ok = gt_raw_close (raw, ok ? error : NULL) && ok;
  gt_stop_end (&stop);
  return ok;
}
