#include "os/family.h"

#include "os/error.h"
#include "os/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_LIMIT_NS (30 * GT_NSEC_PER_SEC)
#define FREE_LIMIT_NS  (10 * GT_NSEC_PER_SEC)

/* Descriptor numbers inside gilotine-init. */
enum { LIFELINE_FD = 3, STATUS_FD = 4 };

struct GtFamily {
  pid_t root_pid;
  pid_t command_pid;
  int root_pidfd;  /* -1 once reaped */
  int lifeline_fd; /* write end; -1 once closed */
  int status_fd;   /* read end, non-blocking */
  GString *unread; /* a status line that has not ended yet */
  gboolean ended;  /* the command has */
  gboolean gone;   /* gilotine-init said so */
  int wait_status;
  int exec_errno; /* 0 = executed */
};

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* "EVENT NUMBER" (init_main.c tells). */
static void
on_status_line (GtFamily *family, const char *line)
{
  const char *space = strchr (line, ' ');
  int value = space != NULL ? (int) g_ascii_strtoll (space, NULL, 10) : 0;
  if (g_str_has_prefix (line, "started "))
    family->command_pid = value;
  else if (g_str_has_prefix (line, "failed "))
    family->exec_errno = value;
  else if (g_str_has_prefix (line, "gone "))
    family->gone = TRUE;
  else if (g_str_has_prefix (line, "exited ") || g_str_has_prefix (line, "signaled ")) {
    family->ended = TRUE;
    family->wait_status = line[0] == 'e' ? value << 8 : value;
  }
}

/* FALSE at the end of the stream: gilotine-init has ended. */
static gboolean
read_status (GtFamily *family)
{
  char chunk[256];
  ssize_t got;
  while ((got = read (family->status_fd, chunk, sizeof chunk)) > 0) {
    g_string_append_len (family->unread, chunk, got);
    for (char *end; (end = strchr (family->unread->str, '\n')) != NULL;) {
      *end = '\0';
      on_status_line (family, family->unread->str);
      g_string_erase (family->unread, 0, end + 1 - family->unread->str);
    }
  }
  return got != 0;
}

static gboolean
wait_readable (int fd, GtInstant until)
{
  struct pollfd p = { .fd = fd, .events = POLLIN };
  int n;
  do
    n = poll (&p, 1, gt_instant_poll_ms (until));
  while (n < 0 && errno == EINTR);
  return n > 0;
}

static char **
init_argv (const GtFamilySpec *spec, const char *program)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_ptr_array_add (argv, g_strdup (program));
  g_ptr_array_add (argv, g_strdup_printf ("--lifeline=%d", LIFELINE_FD));
  g_ptr_array_add (argv, g_strdup_printf ("--status=%d", STATUS_FD));
  if (spec->linger)
    g_ptr_array_add (argv, g_strdup ("--linger"));
  if (spec->remove_dir != NULL)
    g_ptr_array_add (argv, g_strdup_printf ("--remove=%s", spec->remove_dir));
  g_ptr_array_add (argv, g_strdup ("--"));
  for (const char *const *arg = spec->argv; arg != NULL && *arg != NULL; arg++)
    g_ptr_array_add (argv, g_strdup (*arg));
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_steal (argv, NULL);
}

static gboolean
start_init (GtFamily *family, const GtFamilySpec *spec, int lifeline, int status, GError **error)
{
  g_autofree char *program = gt_path_program ("gilotine-init", error);
  if (program == NULL)
    return FALSE;
  g_auto (GStrv) argv = init_argv (spec, program);
  int null_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0)
    return gt_os_fail (error, errno, "/dev/null");
  int output = spec->output_fd >= 0 ? spec->output_fd : null_fd;
  const int sources[] = { lifeline, status };
  const int targets[] = { LIFELINE_FD, STATUS_FD };
  GPid pid;
  /* G_SPAWN_DO_NOT_REAP_CHILD: the pid stays ours until waitid() below, so pidfd_open cannot race.
   */
  gboolean ok = g_spawn_async_with_pipes_and_fds (
      spec->cwd, (const char *const *) argv, spec->env, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
      null_fd, output, output, sources, targets, G_N_ELEMENTS (sources), &pid, NULL, NULL, NULL,
      error);
  close (null_fd);
  if (!ok)
    return FALSE;
  family->root_pid = pid;
  family->root_pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  return family->root_pidfd >= 0 || gt_os_fail (error, errno, "pidfd_open");
}

static gboolean
wait_started (GtFamily *family, const GtFamilySpec *spec, GError **error)
{
  GtInstant until = gt_instant_add (gt_instant_now (), START_LIMIT_NS);
  while (spec->argv != NULL && family->command_pid == 0) {
    gboolean readable = wait_readable (family->status_fd, until);
    gboolean open = readable && read_status (family);
    if (family->exec_errno != 0)
      return gt_os_fail (error, family->exec_errno, "%s", spec->argv[0]);
    if (family->command_pid == 0 && !open) {
      g_set_error (error, GT_OS_ERROR, readable ? GT_OS_ERROR_SYSTEM : GT_OS_ERROR_TIMEOUT,
                   "%s: %s", spec->argv[0],
                   readable ? "gilotine-init ended before it started it" : "not started in 30 s");
      return FALSE;
    }
  }
  return TRUE;
}

GtFamily *
gt_family_spawn (const GtFamilySpec *spec, GError **error)
{
  int lifeline[2] = { -1, -1 }, status[2] = { -1, -1 };
  if (!g_unix_open_pipe (lifeline, FD_CLOEXEC, error))
    return NULL;
  if (!g_unix_open_pipe (status, FD_CLOEXEC, error)) {
    close_fd (&lifeline[0]);
    close_fd (&lifeline[1]);
    return NULL;
  }
  GtFamily *family = g_new0 (GtFamily, 1);
  family->root_pidfd = -1;
  family->lifeline_fd = lifeline[1];
  family->status_fd = status[0];
  family->unread = g_string_new (NULL);
  (void) g_unix_set_fd_nonblocking (family->status_fd, TRUE, NULL);
  gboolean ok = start_init (family, spec, lifeline[0], status[1], error);
  close_fd (&lifeline[0]);
  close_fd (&status[1]);
  if (ok && wait_started (family, spec, error))
    return family;
  gt_family_free (family);
  return NULL;
}

pid_t
gt_family_root_pid (const GtFamily *family)
{
  return family->root_pid;
}

pid_t
gt_family_command_pid (const GtFamily *family)
{
  return family->command_pid;
}

int
gt_family_fd (const GtFamily *family)
{
  return family->status_fd;
}

gboolean
gt_family_poll (GtFamily *family, int *wait_status)
{
  if (!family->ended)
    read_status (family);
  if (family->ended && wait_status != NULL)
    *wait_status = family->wait_status;
  return family->ended;
}

gboolean
gt_family_end (GtFamily *family, GtInstant until, GError **error)
{
  close_fd (&family->lifeline_fd);
  if (family->root_pidfd < 0)
    return TRUE;
  if (!wait_readable (family->root_pidfd, until)) {
    g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_TIMEOUT,
                 "the family under process %d is not gone in time", (int) family->root_pid);
    return FALSE;
  }
  siginfo_t info = { 0 };
  waitid (P_PIDFD, (id_t) family->root_pidfd, &info, WEXITED);
  close_fd (&family->root_pidfd);
  read_status (family);
  if (family->gone || family->command_pid == 0)
    return TRUE;
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_SYSTEM,
               "gilotine-init (process %d) ended without ending its family",
               (int) family->root_pid);
  return FALSE;
}

void
gt_family_free (GtFamily *family)
{
  if (family == NULL)
    return;
  g_autoptr (GError) error = NULL;
  if (!gt_family_end (family, gt_instant_add (gt_instant_now (), FREE_LIMIT_NS), &error))
    g_warning ("%s", error->message);
  close_fd (&family->root_pidfd);
  close_fd (&family->status_fd);
  g_string_free (family->unread, TRUE);
  g_free (family);
}
