#include "lab/rabbit.h"

#include "lab/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define POLL_MS 50

struct GtRabbit {
  GtFamily *family;
  char *url;
};

/* Debian's rabbitmq-server in PATH is a wrapper that changes the user and drops the environment;
 * the server's own script is what we want where it exists. */
static char *
find_server (GError **error)
{
  static const char *const own[]
      = { "/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server", NULL };
  for (const char *const *path = own; *path != NULL; path++)
    if (g_file_test (*path, G_FILE_TEST_IS_EXECUTABLE))
      return g_strdup (*path);
  char *found = g_find_program_in_path ("rabbitmq-server");
  if (found == NULL)
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_UNAVAILABLE,
                 "no rabbitmq-server on this machine: 'tools/deps' installs it, or leave "
                 "--broker out (the default needs no server)");
  return found;
}

/* A TCP port of the loopback that is free now. Whoever takes it in between makes the server's start
 * fail, which is said. */
static int
free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl (INADDR_LOOPBACK) } };
  socklen_t length = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = -1;
  if (fd >= 0 && bind (fd, (struct sockaddr *) &address, length) == 0
      && getsockname (fd, (struct sockaddr *) &address, &length) == 0)
    port = ntohs (address.sin_port);
  if (fd >= 0)
    close (fd);
  return port;
}

static gboolean
takes_connections (int port)
{
  const struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons ((guint16) port),
                                       .sin_addr = { htonl (INADDR_LOOPBACK) } };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  gboolean ok = fd >= 0 && connect (fd, (const struct sockaddr *) &address, sizeof address) == 0;
  if (fd >= 0)
    close (fd);
  return ok;
}

static char **
server_env (const char *dir, const char *const *base, const int *ports)
{
  const struct {
    const char *name;
    char *value;
  } pairs[] = {
    { "HOME", g_strdup (dir) },
    { "RABBITMQ_NODENAME", g_strdup_printf ("gilotine-%d@localhost", ports[0]) },
    { "RABBITMQ_NODE_IP_ADDRESS", g_strdup ("127.0.0.1") },
    { "RABBITMQ_NODE_PORT", g_strdup_printf ("%d", ports[0]) },
    { "RABBITMQ_DIST_PORT", g_strdup_printf ("%d", ports[1]) },
    { "ERL_EPMD_PORT", g_strdup_printf ("%d", ports[2]) },
    { "ERL_EPMD_ADDRESS", g_strdup ("127.0.0.1") },
    { "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
      g_strdup ("-kernel inet_dist_use_interface {127,0,0,1}") },
    { "RABBITMQ_MNESIA_BASE", g_build_filename (dir, "data", NULL) },
    { "RABBITMQ_LOG_BASE", g_build_filename (dir, "log", NULL) },
    { "RABBITMQ_PID_FILE", g_build_filename (dir, "pid", NULL) },
    { "RABBITMQ_CONFIG_FILE", g_build_filename (dir, "rabbitmq.conf", NULL) },
    { "RABBITMQ_CONF_ENV_FILE", g_build_filename (dir, "no-env.conf", NULL) },
    { "RABBITMQ_ENABLED_PLUGINS_FILE", g_build_filename (dir, "enabled_plugins", NULL) },
  };
  char **env = base != NULL ? g_strdupv ((char **) base) : g_get_environ ();
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++) {
    env = g_environ_setenv (env, pairs[i].name, pairs[i].value, TRUE);
    g_free (pairs[i].value);
  }
  return env;
}

static gboolean
write_config (const char *dir, GError **error)
{
  g_autofree char *plugins = g_build_filename (dir, "enabled_plugins", NULL);
  g_autofree char *config = g_build_filename (dir, "rabbitmq.conf", NULL);
  g_autofree char *none = g_build_filename (dir, "no-env.conf", NULL);
  return g_file_set_contents (plugins, "[].\n", -1, error)
         && g_file_set_contents (none, "", -1, error)
         /* A small disk is no reason not to run an experiment of a few messages. */
         && g_file_set_contents (config, "disk_free_limit.absolute = 10MB\n", -1, error);
}

static gboolean
wait_until_up (GtRabbit *rabbit, int port, const char *log, int cancel_fd, GtInstant until,
               GError **error)
{
  struct pollfd cancel = { .fd = cancel_fd, .events = POLLIN };
  while (!takes_connections (port)) {
    if (poll (&cancel, 1, POLL_MS) > 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INTERRUPTED, "interrupted");
      return FALSE;
    }
    gboolean ended = gt_family_poll (rabbit->family) >= GT_FAMILY_ENDED;
    if (ended || gt_instant_until (gt_instant_now (), until) == 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM,
                   "RabbitMQ %s; its output is in %s (--keep keeps it)",
                   ended ? "ended while starting" : "takes no connections in time", log);
      return FALSE;
    }
  }
  return TRUE;
}

GtRabbit *
gt_rabbit_start (const char *dir, const char *const *env, int cancel_fd, GtInstant until,
                 GError **error)
{
  g_autofree char *program = find_server (error);
  if (program == NULL || !write_config (dir, error))
    return NULL;
  const int ports[] = { free_port (), free_port (), free_port () };
  g_auto (GStrv) full_env = server_env (dir, env, ports);
  g_autofree char *log = g_build_filename (dir, "output.log", NULL);
  int log_fd = open (log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const char *const argv[] = { program, NULL };
  const GtFdMap fds[] = { { log_fd, STDOUT_FILENO }, { log_fd, STDERR_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = argv;
  spec.env = (const char *const *) full_env;
  spec.cwd = dir;
  spec.fds = fds;
  spec.n_fds = log_fd >= 0 ? G_N_ELEMENTS (fds) : 0;
  GtRabbit *rabbit = g_new0 (GtRabbit, 1);
  rabbit->url = g_strdup_printf ("amqp://guest:guest@127.0.0.1:%d//", ports[0]);
  rabbit->family = gt_family_spawn (&spec, error);
  if (log_fd >= 0)
    close (log_fd);
  if (rabbit->family != NULL && wait_until_up (rabbit, ports[0], log, cancel_fd, until, error))
    return rabbit;
  gt_rabbit_stop (rabbit);
  return NULL;
}

const char *
gt_rabbit_url (const GtRabbit *rabbit)
{
  return rabbit->url;
}

void
gt_rabbit_stop (GtRabbit *rabbit)
{
  if (rabbit == NULL)
    return;
  gt_family_free (rabbit->family);
  g_free (rabbit->url);
  g_free (rabbit);
}
