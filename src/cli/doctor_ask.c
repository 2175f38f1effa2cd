/* Questions whose answer may hang, crash or load foreign code: asked in a family of their own. */
#include "cli/doctor.h"
#include "os/error.h"
#include "os/family.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_LIMIT ((gsize) 64 * 1024)
#define END_NS       (2 * GT_NSEC_PER_SEC)
/* We end it in time; the keeper does if we cannot. */
#define SECOND_LINE_NS GT_NSEC_PER_SEC

/* What is there now; TRUE at the end of the output. */
static gboolean
drain (int fd, GString *output)
{
  char buffer[4096];
  for (;;) {
    ssize_t n = read (fd, buffer, sizeof buffer);
    if (n < 0)
      return errno != EAGAIN && errno != EINTR;
    if (n == 0)
      return TRUE;
    if (output->len < OUTPUT_LIMIT)
      g_string_append_len (output, buffer, n);
  }
}

/* Until the command has ended or `until`. FALSE: late. */
static gboolean
listen_to (GtFamily *family, int fd, GtInstant until, GString *output)
{
  gboolean open = TRUE;
  for (;;) {
    GtFamilyState state = gt_family_poll (family);
    if (open)
      open = !drain (fd, output);
    if (state >= GT_FAMILY_FAILED)
      return TRUE;
    int ms = gt_instant_poll_ms (until);
    struct pollfd ready[] = {
      { .fd = gt_family_fd (family), .events = POLLIN },
      { .fd = open ? fd : -1, .events = POLLIN },
    };
    if (ms == 0)
      return FALSE;
    (void) poll (ready, G_N_ELEMENTS (ready), ms);
  }
}

static char *
last_line (GString *output)
{
  g_strchomp (output->str);
  char *newline = strrchr (output->str, '\n');
  return g_utf8_make_valid (newline != NULL ? newline + 1 : output->str, -1);
}

static gboolean
judge (GtFamily *family, gboolean in_time, gint64 timeout_ns, const char *line, GError **error)
{
  int status = 0;
  if (gt_family_state (family) == GT_FAMILY_FAILED)
    return gt_family_start_error (family, error);
  if (!in_time)
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT, "no answer within %g s",
                 (double) timeout_ns / (double) GT_NSEC_PER_SEC);
  else if (!gt_family_ended (family, &status))
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM, "it was ended by somebody else");
  else if (WIFSIGNALED (status))
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM, "it died of signal %d (%s)",
                 WTERMSIG (status), strsignal (WTERMSIG (status)));
  else if (WEXITSTATUS (status) != 0)
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM, "%s",
                 *line != '\0' ? line : "it failed without a word");
  else
    return TRUE;
  return FALSE;
}

char *
gt_doctor_ask (const char *const *argv, const char *const *env, gint64 timeout_ns, GError **error)
{
  int ends[2];
  if (pipe2 (ends, O_CLOEXEC) != 0) {
    gt_os_fail (error, errno, "a pipe");
    return NULL;
  }
  (void) fcntl (ends[0], F_SETFL, O_NONBLOCK);
  GtInstant until = gt_instant_add (gt_instant_now (), timeout_ns);
  const GtFdMap fds[] = { { ends[1], STDOUT_FILENO }, { ends[1], STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = argv;
  spec.env = env;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  spec.purpose = GT_PURPOSE_TRANSPARENT;
  spec.deadline = gt_instant_add (until, SECOND_LINE_NS);
  g_autoptr (GtFamily) family = gt_family_start (&spec, error);
  close (ends[1]);
  g_autoptr (GString) output = g_string_new (NULL);
  char *line = NULL;
  if (family != NULL) {
    gboolean in_time = listen_to (family, ends[0], until, output);
    (void) gt_family_end (family, gt_instant_add (gt_instant_now (), END_NS), NULL);
    (void) drain (ends[0], output);
    line = last_line (output);
    if (!judge (family, in_time, timeout_ns, line, error))
      g_clear_pointer (&line, g_free);
  }
  close (ends[0]);
  return line;
}

char *
gt_doctor_ask_self (const char *question, const char *argument, gint64 timeout_ns, GError **error)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", error);
  const char *argv[] = { self, "doctor", "--ask", question, "--", argument, NULL };
  return self != NULL ? gt_doctor_ask (argv, NULL, timeout_ns, error) : NULL;
}
