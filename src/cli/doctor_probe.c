/* The side of gilotine doctor that may hang or crash: it runs in a family of its own. */
#include "broker/amqp_url.h"
#include "broker/banner.h"
#include "broker/broker.h"
#include "cli/cli.h"
#include "cli/doctor.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BROKER_NS GT_NSEC_PER_SEC

/* Questions. X (name, function) */
#define QUESTIONS(X)                                                                               \
  X ("duckdb", ask_duckdb)                                                                         \
  X ("broker", ask_broker)

static int
say (json_t *answer)
{
  char *text = json_dumps (answer, JSON_COMPACT);
  json_decref (answer);
  (void) printf ("%s\n", text);
  free (text);
  return fflush (stdout) == 0 ? GT_EXIT_OK : GT_EXIT_SYSTEM;
}

/* The version of a libduckdb.so, by really loading it. */
static int
ask_duckdb (const char *path)
{
  if (path == NULL)
    return GT_EXIT_USAGE;
  void *library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    (void) printf ("%s\n", dlerror ());
    return GT_EXIT_FAILED;
  }
  const char *(*version) (void) = NULL;
  void *symbol = dlsym (library, "duckdb_library_version");
  memcpy (&version, &symbol, sizeof version);
  if (version == NULL) {
    (void) printf ("no duckdb_library_version in it: this is no libduckdb\n");
    return GT_EXIT_FAILED;
  }
  return say (json_pack ("{ss}", "version", version ()));
}

/* -1 and a reason. */
static int
connect_within (const char *host, const char *port, GtInstant until, const char **reason)
{
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  struct addrinfo *addresses = NULL;
  int status = getaddrinfo (host, port, &hints, &addresses);
  *reason = status != 0 ? gai_strerror (status) : "no address";
  int connected = -1;
  for (struct addrinfo *a = addresses; a != NULL && connected < 0; a = a->ai_next) {
    int fd = socket (a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
      continue;
    int problem = connect (fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    socklen_t length = sizeof problem;
    if (problem == EINPROGRESS && poll (&ready, 1, gt_instant_poll_ms (until)) == 1)
      getsockopt (fd, SOL_SOCKET, SO_ERROR, &problem, &length);
    if (problem == 0)
      connected = fd;
    else
      close (fd);
    *reason = problem == EINPROGRESS ? "no answer within 1 s" : g_strerror (problem);
  }
  if (addresses != NULL)
    freeaddrinfo (addresses);
  return connected;
}

/* As gt_banner_parse(); 0 also when nothing comes in time. */
static int
read_banner (int fd, GtInstant until, GtBanner *banner)
{
  guint8 bytes[16 * 1024];
  gsize length = 0;
  int result = 0;
  if (send (fd, GT_AMQP_HEADER, GT_AMQP_HEADER_LENGTH, MSG_NOSIGNAL) != GT_AMQP_HEADER_LENGTH)
    return -1;
  while (result == 0 && length < sizeof bytes) {
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    if (poll (&ready, 1, gt_instant_poll_ms (until)) != 1)
      break;
    ssize_t n = recv (fd, bytes + length, sizeof bytes - length, 0);
    if (n <= 0)
      return -1;
    length += (gsize) n;
    result = gt_banner_parse (bytes, length, banner);
  }
  return result;
}

/* Logs in and out again, as Celery would. */
static json_t *
log_in (const char *url, GtInstant until)
{
  g_autoptr (GError) error = NULL;
  GtBrokerOptions options = { .attempts = 1, .until = until };
  g_autoptr (GtBroker) broker = gt_broker_open (url, &options, &error);
  return broker != NULL ? json_null () : gt_doctor_text (error->message);
}

GStrv
gt_doctor_broker_urls (gboolean *named)
{
  const char *given = g_getenv ("CELERY_BROKER_URL");
  *named = given != NULL && *given != '\0';
  return g_strsplit (*named ? given : GT_DOCTOR_BROKER, ";", -1);
}

/* The URL is taken from the environment: arguments can be seen by everybody. */
static int
ask_broker (const char *number)
{
  gboolean named;
  guint64 place = 0;
  g_auto (GStrv) urls = gt_doctor_broker_urls (&named);
  g_autoptr (GError) error = NULL;
  if (number == NULL
      || !g_ascii_string_to_unsigned (number, 10, 0, g_strv_length (urls) - 1, &place, NULL))
    return GT_EXIT_USAGE;
  const char *url = urls[place];
  g_autoptr (GUri) uri = gt_broker_url_parse (url, &error);
  g_autoptr (GtAmqpUrl) amqp = uri != NULL ? gt_amqp_url_parse (uri, &error) : NULL;
  if (amqp == NULL) {
    (void) printf ("%s\n", error->message);
    return GT_EXIT_FAILED;
  }
  GtInstant until = gt_instant_add (gt_instant_now (), BROKER_NS);
  g_autofree char *port = g_strdup_printf ("%d", amqp->port);
  const char *reason;
  int fd = connect_within (amqp->host, port, until, &reason);
  if (fd < 0)
    return say (json_pack ("{sb, ss}", "reachable", FALSE, "reason", reason));
  g_auto (GtBanner) banner = { 0 };
  int spoken = amqp->tls ? 0 : read_banner (fd, until, &banner);
  close (fd);
  if (!amqp->tls && spoken <= 0)
    return say (json_pack ("{sb, ss}", "reachable", FALSE, "reason",
                           spoken < 0 ? "something else than AMQP answers there"
                                      : "it takes connections and says nothing within 1 s"));
  return say (json_pack ("{sb, so, so, so}", "reachable", TRUE, "product",
                         gt_doctor_text (banner.product), "version",
                         gt_doctor_text (banner.version), "login_problem", log_in (url, until)));
}

int
gt_doctor_answer (const char *question, const char *argument)
{
  static const struct {
    const char *name;
    int (*func) (const char *argument);
  } questions[] = {
#define X(name, func) { name, func },
    QUESTIONS (X)
#undef X
  };
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    if (g_str_equal (question, questions[i].name))
      return questions[i].func (argument);
  return gt_cli_fail (GT_EXIT_USAGE, "doctor", "--ask is for its own use");
}
