#include "lab/compose_engine.h"

#include "lab/compose_plan.h"
#include "lab/error.h"
#include "os/error.h"
#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFLIGHT_LIMIT_NS (60 * GT_NSEC_PER_SEC)
#define COMMAND_LIMIT_NS   (60 * GT_NSEC_PER_SEC)
#define CLOSE_LIMIT_MS     120000

#define PREPARE "tools/docker-here prepares a Debian or Ubuntu machine that has none"

/* How much of what a command said is worth repeating. */
enum { LINES_SHOWN = 4 };

struct GtCompose {
  char *dir, *project;
  char *file, *override; /* compose.yml; compose.override.yml, NULL = none */
  char **services;
  char *engine_version;
  guint cpus;
  char **env;
  char *overlay; /* NULL before open() */
  int cancel_fd;
  gboolean ignore_cancel;
  GtSpawned cleaner; /* pidfd -1 = not started */
  int cleaner_fd;    /* closed, by our death too, it sets to work */
  int cleaner_errors;
};

static GtInstant
in_ns (gint64 ns)
{
  return gt_instant_add (gt_instant_now (), ns);
}

/* --- commands -------------------------------------------------------------------------------- */

static int
open_memory (const char *name, GError **error)
{
  int fd = memfd_create (name, MFD_CLOEXEC);
  if (fd < 0)
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "memfd: %s", g_strerror (errno));
  return fd;
}

/* Everything in a memory file, as valid UTF-8. */
static char *
text_of (int fd)
{
  GString *text = g_string_new (NULL);
  char chunk[4096];
  ssize_t got;
  for (off_t at = 0; (got = pread (fd, chunk, sizeof chunk, at)) > 0; at += got)
    g_string_append_len (text, chunk, got);
  char *valid = g_utf8_make_valid (text->str, (gssize) text->len);
  g_string_free (text, TRUE);
  return valid;
}

static GtFamily *
start (GtCompose *c, const char *const *argv, int out_fd, int err_fd, GError **error)
{
  const GtFdMap fds[] = { { out_fd, STDOUT_FILENO }, { err_fd, STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  g_autoptr (GError) cause = NULL;
  spec.argv = argv;
  spec.env = (const char *const *) c->env;
  spec.fds = fds;
  spec.n_fds = G_N_ELEMENTS (fds);
  GtFamily *family = gt_family_spawn (&spec, &cause);
  if (family == NULL && g_error_matches (cause, GT_OS_ERROR, GT_OS_ERROR_COMMAND_NOT_FOUND))
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_UNAVAILABLE,
                 "no docker in PATH: install Docker (" PREPARE ")");
  else if (family == NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  return family;
}

static gboolean
wait_for_end (const GtCompose *c, GtFamily *family, GtInstant until, const char *what,
              GError **error)
{
  while (gt_family_poll (family) < GT_FAMILY_ENDED) {
    struct pollfd fds[] = { { .fd = gt_family_fd (family), .events = POLLIN },
                            { .fd = c->ignore_cancel ? -1 : c->cancel_fd, .events = POLLIN } };
    int n = poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (until));
    if (n > 0 && fds[1].revents != 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
      return FALSE;
    }
    if (gt_instant_until (gt_instant_now (), until) == 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: not done in time", what);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
ended_well (GtFamily *family, const char *what, int err_fd, GError **error)
{
  int status = -1;
  if (gt_family_ended (family, &status) && status == 0)
    return TRUE;
  g_autofree char *said = text_of (err_fd);
  g_autofree char *last = gt_compose_last_lines (said, LINES_SHOWN);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s", what,
               *last != '\0' ? last : "it failed and said nothing");
  return FALSE;
}

/* `what` names the command in errors. */
static gboolean
run (GtCompose *c, const char *what, const char *const *argv, GtInstant until, char **output,
     GError **error)
{
  int out = open_memory ("output", error);
  int err = out >= 0 ? open_memory ("errors", error) : -1;
  GtFamily *family = err >= 0 ? start (c, argv, out, err, error) : NULL;
  gboolean ok = family != NULL && wait_for_end (c, family, until, what, error)
                && ended_well (family, what, err, error);
  gt_family_free (family);
  if (ok && output != NULL)
    *output = text_of (out);
  const int fds[] = { out, err };
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  return ok;
}

/* "docker compose" with the project and its files, then `args`. Free with g_ptr_array_unref(). */
static GPtrArray *
compose_argv (const GtCompose *c, const char *const *args)
{
  const char *const fixed[]
      = { "docker", "compose", "--project-name", c->project, "--project-directory",
          c->dir,   "--file",  c->file };
  GPtrArray *argv = g_ptr_array_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (argv, (gpointer) fixed[i]);
  const char *const more[] = { c->override, c->overlay };
  for (gsize i = 0; i < G_N_ELEMENTS (more); i++)
    if (more[i] != NULL && g_file_test (more[i], G_FILE_TEST_EXISTS)) {
      g_ptr_array_add (argv, (gpointer) "--file");
      g_ptr_array_add (argv, (gpointer) more[i]);
    }
  for (; *args != NULL; args++)
    g_ptr_array_add (argv, (gpointer) *args);
  g_ptr_array_add (argv, NULL);
  return argv;
}

gboolean
gt_compose_run (GtCompose *c, const char *const *args, GtInstant until, char **output,
                GError **error)
{
  g_autoptr (GPtrArray) argv = compose_argv (c, args);
  g_autofree char *what = g_strconcat ("docker compose ", *args, NULL);
  return run (c, what, (const char *const *) argv->pdata, until, output, error);
}

GtFamily *
gt_compose_start (GtCompose *c, const char *const *args, int out_fd, int err_fd, GError **error)
{
  g_autoptr (GPtrArray) argv = compose_argv (c, args);
  return start (c, (const char *const *) argv->pdata, out_fd, err_fd, error);
}

/* --- what is there --------------------------------------------------------------------------- */

/* "26.1.5 2": version of the engine and its CPUs. */
static gboolean
ask_engine (GtCompose *c, GError **error)
{
  const char *const argv[] = { "docker", "info", "--format", "{{.ServerVersion}} {{.NCPU}}", NULL };
  g_autofree char *output = NULL;
  g_autoptr (GError) cause = NULL;
  if (!run (c, "docker info", argv, in_ns (PREFLIGHT_LIMIT_NS), &output, &cause)) {
    if (g_error_matches (cause, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM))
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_UNAVAILABLE,
                   "no Docker engine answers (%s): start it (" PREPARE ")", cause->message);
    else
      g_propagate_error (error, g_steal_pointer (&cause));
    return FALSE;
  }
  g_auto (GStrv) words = g_strsplit_set (g_strstrip (output), " \n", 3);
  guint64 cpus = 0;
  if (g_strv_length (words) < 2
      || !g_ascii_string_to_unsigned (words[1], 10, 1, 4096, &cpus, NULL)) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_UNAVAILABLE,
                 "docker info answers '%s' where version and CPUs of the engine should be", output);
    return FALSE;
  }
  c->engine_version = g_strdup (words[0]);
  c->cpus = (guint) cpus;
  return TRUE;
}

static gboolean
ask_compose (GtCompose *c, GError **error)
{
  const char *const argv[] = { "docker", "compose", "version", NULL };
  g_autoptr (GError) cause = NULL;
  if (run (c, "docker compose version", argv, in_ns (PREFLIGHT_LIMIT_NS), NULL, &cause))
    return TRUE;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_UNAVAILABLE,
               "docker has no compose plug-in (%s): install it (" PREPARE ")", cause->message);
  return FALSE;
}

static gboolean
find_files (GtCompose *c, GError **error)
{
  c->file = g_build_filename (c->dir, "compose.yml", NULL);
  g_autofree char *override = g_build_filename (c->dir, "compose.override.yml", NULL);
  if (!g_file_test (c->file, G_FILE_TEST_EXISTS)) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "%s is not there: run this in the project's folder, or name it with "
                 "--project-directory DIR",
                 c->file);
    return FALSE;
  }
  if (g_file_test (override, G_FILE_TEST_EXISTS))
    c->override = g_steal_pointer (&override);
  return TRUE;
}

static gboolean
read_services (GtCompose *c, GError **error)
{
  static const char *const args[] = { "config", "--services", NULL };
  static const char *const needed[] = { "rabbitmq", "observer" };
  g_autofree char *output = NULL;
  if (!gt_compose_run (c, args, in_ns (PREFLIGHT_LIMIT_NS), &output, error))
    return FALSE;
  c->services = g_strsplit (g_strstrip (output), "\n", -1);
  for (gsize i = 0; i < G_N_ELEMENTS (needed); i++)
    if (!gt_compose_has_service (c, needed[i])) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s has no service '%s'", c->file,
                   needed[i]);
      return FALSE;
    }
  return TRUE;
}

GtCompose *
gt_compose_new (const char *project_dir, GError **error)
{
  g_autoptr (GtCompose) c = g_new0 (GtCompose, 1);
  g_auto (GStrv) env = g_get_environ ();
  g_autofree char *id = g_uuid_string_random ();
  c->dir = g_canonicalize_filename (project_dir != NULL ? project_dir : ".", NULL);
  c->project = g_strdup_printf ("gilotine-lab-%.8s", id);
  c->env = gt_compose_env ((const char *const *) env, "");
  c->cancel_fd = c->cleaner.pidfd = c->cleaner_fd = c->cleaner_errors = -1;
  return find_files (c, error) && ask_engine (c, error) && ask_compose (c, error)
                 && read_services (c, error)
             ? g_steal_pointer (&c)
             : NULL;
}

void
gt_compose_free (GtCompose *c)
{
  if (c == NULL)
    return;
  char *const texts[] = { c->dir, c->project, c->file, c->override, c->engine_version, c->overlay };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_strfreev (c->services);
  g_strfreev (c->env);
  g_free (c);
}

const char *
gt_compose_engine_version (const GtCompose *c)
{
  return c->engine_version;
}

guint
gt_compose_cpus (const GtCompose *c)
{
  return c->cpus;
}

gboolean
gt_compose_has_service (const GtCompose *c, const char *service)
{
  return g_strv_contains ((const char *const *) c->services, service);
}

/* --- the project's end ----------------------------------------------------------------------- */

/* In a session of its own, so that it outlives us, our terminal and Ctrl-C. The project's name is
 * enough: nothing is read from files that may be gone by then. A command of ours that was killed
 * may have left the engine at work: it looks again until two looks find nothing. */
static const char cleaner_script[]
    = "cat >/dev/null\n"
      "ours=\"--filter label=com.docker.compose.project=$0\"\n"
      "for round in 1 2 3 4 5 6 7 8 9 10; do\n"
      "  docker compose --project-name \"$0\" down --volumes --remove-orphans --timeout 0 >&2\n"
      "  sleep 0.3\n"
      "  left=$(docker ps --all --quiet $ours; docker network ls --quiet $ours;\n"
      "         docker volume ls --quiet $ours) || exit 1\n"
      "  [ -n \"$left\" ] || exit 0\n"
      "done\n"
      "echo \"these remained:\" $left >&2\n"
      "exit 1\n";

static gboolean
start_cleaner (GtCompose *c, GError **error)
{
  int lifeline[2];
  c->cleaner_errors = open_memory ("clean-up", error);
  if (c->cleaner_errors < 0 || !g_unix_open_pipe (lifeline, FD_CLOEXEC, error))
    return FALSE;
  char *const argv[] = { (char *) "sh", (char *) "-c", (char *) cleaner_script, c->project, NULL };
  const GtFdMap fds[] = { { lifeline[0], STDIN_FILENO }, { c->cleaner_errors, STDERR_FILENO } };
  /* Not with the mark: it is no part of what must be gone when the run ends. */
  g_auto (GStrv) env = g_environ_unsetenv (g_strdupv (c->env), "GILOTINE_MARK");
  const GtSpawn spawn = { .path = "/bin/sh",
                          .argv = argv,
                          .env = env,
                          .cwd = "/",
                          .fds = fds,
                          .n_fds = G_N_ELEMENTS (fds),
                          .new_session = TRUE };
  gboolean ok = gt_spawn (&spawn, &c->cleaner, error);
  close (lifeline[0]);
  c->cleaner_fd = lifeline[1];
  if (!ok)
    c->cleaner.pidfd = -1;
  return ok;
}

gboolean
gt_compose_open (GtCompose *c, const char *overlay, const char *mark, int cancel_fd, GError **error)
{
  c->overlay = g_strdup (overlay);
  c->env = g_environ_setenv (c->env, "GILOTINE_MARK", mark, TRUE);
  c->cancel_fd = cancel_fd;
  return start_cleaner (c, error);
}

void
gt_compose_ignore_cancel (GtCompose *c, gboolean ignore)
{
  c->ignore_cancel = ignore;
}

static gboolean
reap_cleaner (GtCompose *c, GError **error)
{
  struct pollfd end = { .fd = c->cleaner.pidfd, .events = POLLIN };
  GtReaped reaped = { 0 };
  if (poll (&end, 1, CLOSE_LIMIT_MS) <= 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER,
                 "the containers of project %s could not be removed in time", c->project);
    return FALSE;
  }
  if (gt_pidfd_reap (c->cleaner.pidfd, &reaped) && reaped.known && reaped.wait_status == 0)
    return TRUE;
  g_autofree char *said = text_of (c->cleaner_errors);
  g_autofree char *last = gt_compose_last_lines (said, LINES_SHOWN);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER,
               "the containers of project %s could not be removed: %s", c->project, last);
  return FALSE;
}

gboolean
gt_compose_close (GtCompose *c, GError **error)
{
  if (c->cleaner_fd >= 0)
    close (c->cleaner_fd);
  gboolean ok = c->cleaner.pidfd < 0 || reap_cleaner (c, error);
  const int fds[] = { c->cleaner.pidfd, c->cleaner_errors };
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  c->cleaner_fd = c->cleaner.pidfd = c->cleaner_errors = -1;
  return ok;
}

/* --- containers ------------------------------------------------------------------------------ */

char *
gt_compose_container (GtCompose *c, const char *service, GError **error)
{
  const char *const args[] = { "ps", "--all", "--quiet", service, NULL };
  char *output = NULL;
  if (!gt_compose_run (c, args, in_ns (COMMAND_LIMIT_NS), &output, error))
    return NULL;
  output[strcspn (output, "\n")] = '\0';
  if (*output != '\0')
    return output;
  g_free (output);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "the container of %s is gone", service);
  return NULL;
}

gboolean
gt_compose_exit (GtCompose *c, const char *container, char **how, GError **error)
{
  const char *const argv[]
      = { "docker",   "inspect",
          "--format", "{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}",
          container,  NULL };
  g_autofree char *output = NULL;
  if (!run (c, "docker inspect", argv, in_ns (COMMAND_LIMIT_NS), &output, error))
    return FALSE;
  g_auto (GStrv) words = g_strsplit_set (g_strstrip (output), " ", 3);
  *how = NULL;
  if (g_strv_length (words) == 3 && g_str_equal (words[0], "false"))
    *how = g_strdup_printf ("exit code %s%s", words[1],
                            g_str_equal (words[2], "true") ? ", out of memory" : "");
  return TRUE;
}

GtFamily *
gt_compose_follow (GtCompose *c, const char *container, int out_fd, GError **error)
{
  const char *const argv[] = { "docker", "logs", "--follow", container, NULL };
  return start (c, argv, out_fd, out_fd, error);
}

char *
gt_compose_last_words (GtCompose *c, const char *service)
{
  g_autofree char *container = gt_compose_container (c, service, NULL);
  const char *const argv[] = { "docker", "logs", "--tail", "20", container, NULL };
  int fd = container != NULL ? open_memory ("log", NULL) : -1;
  GtFamily *family = fd >= 0 ? start (c, argv, fd, fd, NULL) : NULL;
  g_autofree char *said = NULL;
  if (family != NULL && wait_for_end (c, family, in_ns (COMMAND_LIMIT_NS), "docker logs", NULL))
    said = text_of (fd);
  gt_family_free (family);
  if (fd >= 0)
    close (fd);
  return said != NULL ? gt_compose_last_lines (said, LINES_SHOWN) : NULL;
}
