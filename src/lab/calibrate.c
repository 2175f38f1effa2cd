#include "lab/calibrate.h"

#include "lab/error.h"
#include "os/family.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static gboolean
wait_for_end (GtFamily *family, int cancel_fd, GtInstant until, GError **error)
{
  while (gt_family_poll (family) < GT_FAMILY_ENDED) {
    struct pollfd fds[] = { { .fd = gt_family_fd (family), .events = POLLIN },
                            { .fd = cancel_fd, .events = POLLIN } };
    int n = poll (fds, 2, gt_instant_poll_ms (until));
    if (n == 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
                   "the query could not be calibrated in time; set DUCKDB_ROWS");
      return FALSE;
    }
    if (fds[1].revents != 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
      return FALSE;
    }
  }
  return TRUE;
}

char *
gt_calibrate_key (const GtSubject *subject)
{
  return g_strdup_printf ("%s/%s/%s/%g", subject->factors[GT_FACTOR_QUERY],
                          subject->factors[GT_FACTOR_THREADS], subject->factors[GT_FACTOR_DRIVER],
                          subject->settings[GT_SETTING_QUERY_SECONDS]);
}

gint64
gt_calibrate_parse (const char *output, GError **error)
{
  const char *found = strstr (output, "rows=");
  gint64 rows = found != NULL ? g_ascii_strtoll (found + strlen ("rows="), NULL, 10) : 0;
  if (rows > 0)
    return rows;
  g_autofree char *text = g_strstrip (g_strdup (output));
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
               "the query could not be calibrated (set DUCKDB_ROWS to do without): %s", text);
  return -1;
}

static gint64
parse_output (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  return g_file_get_contents (path, &text, NULL, error) ? gt_calibrate_parse (text, error) : -1;
}

gint64
gt_calibrate_rows (const GtRuntimes *runtimes, const GtSubject *subject, const char *subject_dir,
                   const char *work_dir, const char *const *env, int cancel_fd, GtInstant until,
                   GError **error)
{
  g_autofree char *script = g_build_filename (subject_dir, "calibrate.py", NULL);
  g_autofree char *output = g_build_filename (work_dir, "calibrate.out", NULL);
  g_autofree char *seconds = g_strdup_printf ("%.3f", subject->settings[GT_SETTING_QUERY_SECONDS]);
  const char *threads = g_environ_getenv ((char **) env, "DUCKDB_THREADS");
  const char *library = gt_runtimes_duckdb_library (runtimes);
  const char *const argv[] = { gt_runtimes_python (runtimes, subject->factors[GT_FACTOR_RUNTIME]),
                               script,
                               "--seconds",
                               seconds,
                               "--query",
                               subject->factors[GT_FACTOR_QUERY],
                               "--driver",
                               subject->factors[GT_FACTOR_DRIVER],
                               "--library",
                               library != NULL ? library : "",
                               "--threads",
                               threads != NULL ? threads : "1",
                               "--spill",
                               work_dir,
                               NULL };
  int fd = open (output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s", output, g_strerror (errno));
    return -1;
  }
  const GtFdMap fds[] = { { fd, STDOUT_FILENO }, { fd, STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = argv;
  spec.env = env;
  spec.cwd = work_dir;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  GtFamily *family = gt_family_spawn (&spec, error);
  close (fd);
  gboolean ended = family != NULL && wait_for_end (family, cancel_fd, until, error);
  gt_family_free (family);
  return ended ? parse_output (output, error) : -1;
}
