#include "broker/amqp_connect.h"

#include "broker/vtable.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_ATTEMPTS    6
#define FIRST_DELAY_NS      (GT_NSEC_PER_SEC / 2)
#define LONGEST_DELAY_NS    (8 * GT_NSEC_PER_SEC)
#define HANDSHAKE_TIMEOUT_S 15
#define WHY_NOT_MS          1000
#define FRAME_MAX           131072

/* Where distributions keep the authorities that the system trusts; librabbitmq 0.11 does not ask
 * OpenSSL for its default. */
static const char *const system_cacerts[] = {
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
};

char *
gt_amqp_text (amqp_bytes_t text)
{
  char *valid = g_utf8_make_valid (text.bytes != NULL ? text.bytes : "", (gssize) text.len);
  return g_strdelimit (valid, "\r\n\t", ' ');
}

char *
gt_amqp_reply_text (amqp_rpc_reply_t reply)
{
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    return g_strdup (amqp_error_string2 (reply.library_error));
  if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
    return g_strdup ("no answer");
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    const amqp_channel_close_t *m = reply.reply.decoded;
    g_autofree char *text = gt_amqp_text (m->reply_text);
    return g_strdup_printf ("%s (%d)", text, m->reply_code);
  }
  if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
    const amqp_connection_close_t *m = reply.reply.decoded;
    g_autofree char *text = gt_amqp_text (m->reply_text);
    return g_strdup_printf ("%s (%d)", text, m->reply_code);
  }
  return g_strdup_printf ("unexpected method 0x%08x", reply.reply.id);
}

static amqp_socket_t *
new_tls_socket (amqp_connection_state_t conn, const GtAmqpUrl *url, GError **error)
{
  amqp_socket_t *socket = amqp_ssl_socket_new (conn);
  if (socket == NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_UNREACHABLE, "TLS cannot be set up");
    return NULL;
  }
  amqp_ssl_socket_set_verify_peer (socket, url->verify_peer);
  amqp_ssl_socket_set_verify_hostname (socket, url->verify_peer && url->verify_host);
  const char *cacert = url->cacert != NULL ? url->cacert : g_getenv ("SSL_CERT_FILE");
  for (gsize i = 0; cacert == NULL && i < G_N_ELEMENTS (system_cacerts); i++)
    if (access (system_cacerts[i], R_OK) == 0)
      cacert = system_cacerts[i];
  if (url->verify_peer && cacert == NULL)
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "no trusted authorities found on this system: name them with ?cacert=FILE");
  else if (cacert != NULL && amqp_ssl_socket_set_cacert (socket, cacert) != AMQP_STATUS_OK)
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL, "cannot read authorities from '%s'",
                 cacert);
  else if (url->cert != NULL
           && amqp_ssl_socket_set_key (socket, url->cert, url->key) != AMQP_STATUS_OK)
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "cannot use the certificate '%s' with the key '%s'", url->cert, url->key);
  else
    return socket;
  return NULL;
}

/* The reason of a failed connect, which the library keeps to itself: asked for once more. It only
 * comes here after a quick refusal, so it does not take long either. Owned by the caller. */
static char *
why_not (const GtAmqpUrl *url)
{
  g_autofree char *port = g_strdup_printf ("%d", url->port);
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
  struct addrinfo *addresses = NULL;
  int status = getaddrinfo (url->host, port, &hints, &addresses);
  if (status != 0)
    return g_strdup (gai_strerror (status));
  int problem = 0;
  for (struct addrinfo *a = addresses; a != NULL; a = a->ai_next) {
    int fd = socket (a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
      continue;
    problem = connect (fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    socklen_t len = sizeof problem;
    if (problem == EINPROGRESS && poll (&ready, 1, WHY_NOT_MS) == 1)
      getsockopt (fd, SOL_SOCKET, SO_ERROR, &problem, &len);
    close (fd);
  }
  freeaddrinfo (addresses);
  return g_strdup (problem != 0 ? g_strerror (problem) : "the connection failed");
}

static gboolean
open_socket (amqp_connection_state_t conn, const GtAmqpUrl *url, GError **error)
{
  amqp_socket_t *socket = url->tls ? new_tls_socket (conn, url, error) : amqp_tcp_socket_new (conn);
  if (socket == NULL) {
    if (error != NULL && *error == NULL)
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_UNREACHABLE, "out of memory");
    return FALSE;
  }
  struct timeval timeout = { .tv_sec = url->connect_timeout_s };
  int status = amqp_socket_open_noblock (socket, url->host, url->port,
                                         url->connect_timeout_s > 0 ? &timeout : NULL);
  if (status == AMQP_STATUS_OK)
    return TRUE;
  /* A peer that does not answer TLS, or whom we do not trust, will not be better in a second. */
  gboolean tls_problem = status <= AMQP_STATUS_SSL_ERROR && status > _AMQP_STATUS_SSL_NEXT_VALUE;
  if (tls_problem)
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_REFUSED,
                 "TLS: %s (an authority that is not trusted, another host's certificate, or a port "
                 "without TLS)",
                 amqp_error_string2 (status));
  else {
    g_autofree char *reason
        = status == AMQP_STATUS_SOCKET_ERROR || status == AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED
              ? why_not (url)
              : g_strdup (amqp_error_string2 (status));
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_UNREACHABLE, "%s", reason);
  }
  return FALSE;
}

static gboolean
log_in (amqp_connection_state_t conn, const GtAmqpUrl *url, GError **error)
{
  amqp_table_entry_t capabilities[] = {
    { .key = amqp_cstring_bytes ("authentication_failure_close"),
      .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } },
    { .key = amqp_cstring_bytes ("connection.blocked"),
      .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } },
    { .key = amqp_cstring_bytes ("consumer_cancel_notify"),
      .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } },
  };
  amqp_table_entry_t properties[] = {
    { .key = amqp_cstring_bytes ("product"),
      .value = { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes ("gilotine") } },
    { .key = amqp_cstring_bytes ("version"),
      .value = { .kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes (GT_VERSION) } },
    { .key = amqp_cstring_bytes ("capabilities"),
      .value = { .kind = AMQP_FIELD_KIND_TABLE,
                 .value.table = { G_N_ELEMENTS (capabilities), capabilities } } },
  };
  amqp_table_t table = { G_N_ELEMENTS (properties), properties };
  struct timeval timeout = { .tv_sec = HANDSHAKE_TIMEOUT_S };
  amqp_set_handshake_timeout (conn, &timeout);
  amqp_rpc_reply_t reply
      = amqp_login_with_properties (conn, url->vhost, 0, FRAME_MAX, url->heartbeat_s, &table,
                                    AMQP_SASL_METHOD_PLAIN, url->user, url->password);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL)
    return TRUE;
  g_autofree char *text = gt_amqp_reply_text (reply);
  g_set_error (error, GT_BROKER_ERROR,
               reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION ? GT_BROKER_ERROR_REFUSED
                                                                  : GT_BROKER_ERROR_UNREACHABLE,
               "%s", text);
  return FALSE;
}

static amqp_connection_state_t
try_once (const GtAmqpUrl *url, GError **error)
{
  amqp_connection_state_t conn = amqp_new_connection ();
  if (conn == NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_UNREACHABLE, "out of memory");
    return NULL;
  }
  if (open_socket (conn, url, error) && log_in (conn, url, error))
    return conn;
  amqp_destroy_connection (conn);
  return NULL;
}

/* FALSE: cancelled. */
static gboolean
pause_for (const GtBrokerOptions *options, gint64 delay_ns, GError **error)
{
  g_autoptr (GError) waited = NULL;
  gt_broker_wait (options, -1, 0, gt_instant_add (gt_instant_now (), delay_ns), &waited);
  if (g_error_matches (waited, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&waited));
  return FALSE;
}

amqp_connection_state_t
gt_amqp_connect (const GtAmqpUrl *url, const char *shown, const GtBrokerOptions *options,
                 GError **error)
{
  guint attempts = options->attempts > 0 ? options->attempts : DEFAULT_ATTEMPTS;
  GtInstant until = options->until.ns != 0 ? options->until : GT_NEVER;
  gint64 delay_ns = FIRST_DELAY_NS;
  for (guint attempt = 1;; attempt++) {
    g_autoptr (GError) problem = NULL;
    amqp_connection_state_t conn = try_once (url, &problem);
    if (conn != NULL)
      return conn;
    gboolean retry = g_error_matches (problem, GT_BROKER_ERROR, GT_BROKER_ERROR_UNREACHABLE);
    if (!retry || attempt >= attempts || gt_instant_until (gt_instant_now (), until) <= delay_ns) {
      g_propagate_prefixed_error (error, g_steal_pointer (&problem),
                                  "%s to %s%s: ", retry ? "no connection" : "no access", shown,
                                  retry && attempt > 1 ? ", all attempts failed" : "");
      return NULL;
    }
    gt_broker_notice (options, "no connection to %s: %s; attempt %u of %u in %.1f s", shown,
                      problem->message, attempt + 1, attempts,
                      (double) delay_ns / (double) GT_NSEC_PER_SEC);
    if (!pause_for (options, delay_ns, error))
      return NULL;
    delay_ns = MIN (2 * delay_ns, LONGEST_DELAY_NS);
  }
}
