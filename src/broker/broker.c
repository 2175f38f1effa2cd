#include "broker/broker.h"

#include "broker/vtable.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

G_DEFINE_QUARK (gt_broker_error, gt_broker_error)

/* X (scheme, class); the first of a class is the name that its documentation uses */
#define SCHEMES(X)                                                                                 \
  X ("amqp", gt_amqp_class)                                                                        \
  X ("amqps", gt_amqp_class)                                                                       \
  X ("pyamqp", gt_amqp_class)                                                                      \
  X ("filesystem", gt_spool_class)

/* Between two looks for a consumer, and when the user is told that there is none. */
#define LOOK_PERIOD_NS  (GT_NSEC_PER_SEC / 5)
#define FIRST_NOTICE_NS GT_NSEC_PER_SEC
#define NEXT_NOTICE_NS  (10 * GT_NSEC_PER_SEC)

#define URL_FLAGS  ((GUriFlags) (G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED_QUERY))
#define HIDE_FLAGS ((GUriHideFlags) (G_URI_HIDE_PASSWORD | G_URI_HIDE_QUERY))

static const GtBrokerClass *
class_of_scheme (const char *scheme)
{
#define X(name, class)                                                                             \
  if (strcmp (scheme, name) == 0)                                                                  \
    return &(class);
  SCHEMES (X)
#undef X
  return NULL;
}

/* --- URLs ----------------------------------------------------------------------------------------
 */

#define FORM                                                                                       \
  "SCHEME://USER:PASSWORD@HOST:PORT/VHOST, with special characters of a name or password "         \
  "percent-encoded (@ is %40, / is %2F)"

static const char *
fault_of_error (const GError *problem)
{
  static const struct {
    GUriError code;
    const char *fault;
  } faults[] = {
    { G_URI_ERROR_BAD_SCHEME, "SCHEME cannot be read" },
    { G_URI_ERROR_BAD_USER, "USER cannot be read" },
    { G_URI_ERROR_BAD_PASSWORD, "PASSWORD cannot be read" },
    { G_URI_ERROR_BAD_HOST, "HOST cannot be read" },
    { G_URI_ERROR_BAD_PORT, "PORT is no number up to 65535" },
    { G_URI_ERROR_BAD_PATH, "VHOST cannot be read" },
    { G_URI_ERROR_BAD_QUERY, "what follows '?' cannot be read" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++)
    if (g_error_matches (problem, G_URI_ERROR, (int) faults[i].code))
      return faults[i].fault;
  return "it cannot be read";
}

/* What GLib would read, but not as it was meant: of amqp://u:3/x@h it makes a host 'u' and a path
 * with the rest of the password. NULL: nothing. */
static const char *
misread_fault (const char *url)
{
  g_autofree char *scheme = g_uri_parse_scheme (url);
  const char *authority = url + (scheme != NULL ? strlen (scheme) : 0);
  if (scheme == NULL || !g_str_has_prefix (authority, "://"))
    return "there is no SCHEME://";
  authority += strlen ("://");
  gsize length = strcspn (authority, "/?#");
  const char *at = memchr (authority, '@', length);
  const char *host = at != NULL ? at + 1 : authority;
  gboolean is_folder = length == 0 && strcmp (scheme, "filesystem") == 0;
  if (strpbrk (authority, ";#") != NULL)
    return "there is a ';' or '#'";
  if (!is_folder && strchr (at != NULL ? host : authority, '@') != NULL)
    return "there is an '@' that does not end USER:PASSWORD";
  if (*host != '[' && memchr (host, '%', (gsize) (authority + length - host)) != NULL)
    return "HOST has a '%'";
  return NULL;
}

GUri *
gt_broker_url_parse (const char *url, GError **error)
{
  g_autoptr (GError) problem = NULL;
  const char *misread = misread_fault (url);
  GUri *uri = misread == NULL ? g_uri_parse (url, URL_FLAGS, &problem) : NULL;
  if (uri == NULL)
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL, "no broker's URL: %s; expected %s",
                 misread != NULL ? misread : fault_of_error (problem), FORM);
  return uri;
}

char *
gt_broker_uri_display (GUri *uri)
{
  return class_of_scheme (g_uri_get_scheme (uri)) != NULL
             ? g_uri_to_string_partial (uri, HIDE_FLAGS)
             : g_strdup_printf ("%s://...", g_uri_get_scheme (uri));
}

char *
gt_broker_url_display (const char *url)
{
  g_autoptr (GUri) uri = gt_broker_url_parse (url, NULL);
  return uri != NULL ? gt_broker_uri_display (uri) : g_strdup ("...");
}

/* --- a broker ------------------------------------------------------------------------------------
 */

GtBroker *
gt_broker_open (const char *url, const GtBrokerOptions *options, GError **error)
{
  static const GtBrokerOptions defaults = { 0 };
  if (strchr (url, ';') != NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "a list of brokers (';' between URLs) is not supported: name one");
    return NULL;
  }
  g_autoptr (GUri) uri = gt_broker_url_parse (url, error);
  if (uri == NULL)
    return NULL;
  const GtBrokerClass *class = class_of_scheme (g_uri_get_scheme (uri));
  if (class == NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "no transport '%s'; use amqp://, amqps:// or filesystem://",
                 g_uri_get_scheme (uri));
    return NULL;
  }
  return class->open (uri, options != NULL ? options : &defaults, error);
}

void
gt_broker_close (GtBroker *broker)
{
  broker->class->close (broker);
}

gboolean
gt_broker_declare (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  return broker->class->declare (broker, queue, until, error);
}

/* FALSE: cancelled. */
static gboolean
pause_between_looks (GtBroker *broker, GtInstant until, GError **error)
{
  GtInstant next = gt_instant_add (gt_instant_now (), LOOK_PERIOD_NS);
  g_autoptr (GError) waited = NULL;
  gt_broker_wait (&broker->options, -1, 0, next.ns < until.ns ? next : until, &waited);
  if (g_error_matches (waited, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&waited));
  return FALSE;
}

gboolean
gt_broker_await_consumer (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  if (broker->class->count_consumers == NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "this transport does not know its consumers: they cannot be waited for");
    return FALSE;
  }
  GtInstant notice = gt_instant_add (gt_instant_now (), FIRST_NOTICE_NS);
  for (;;) {
    guint n_consumers = 0;
    if (!broker->class->count_consumers (broker, queue, GT_NEVER, &n_consumers, error))
      return FALSE;
    if (n_consumers > 0)
      return TRUE;
    GtInstant now = gt_instant_now ();
    gint64 left_ns = gt_instant_until (now, until);
    if (left_ns == 0) {
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_UNCONSUMED,
                   "nobody consumes the queue '%s': no worker would take the task", queue);
      return FALSE;
    }
    if (gt_instant_until (now, notice) == 0) {
      gt_broker_notice (&broker->options,
                        "nobody consumes the queue '%s' yet; waiting for a worker, %.0f s left",
                        queue, (double) left_ns / (double) GT_NSEC_PER_SEC);
      notice = gt_instant_add (now, NEXT_NOTICE_NS);
    }
    if (!pause_between_looks (broker, until, error))
      return FALSE;
  }
}

gboolean
gt_broker_delete (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  return broker->class->delete (broker, queue, until, error);
}

gboolean
gt_broker_publish (GtBroker *broker, const char *queue, const GtMessage *message, GtInstant until,
                   GError **error)
{
  return broker->class->publish (broker, queue, message, until, error);
}

gboolean
gt_broker_flush (GtBroker *broker, GtInstant until, GError **error)
{
  return broker->class->flush (broker, until, error);
}

guint64
gt_broker_confirmed (const GtBroker *broker)
{
  return broker->confirmed;
}

const char *
gt_broker_open_replies (GtBroker *broker, const char *name, GtInstant until, GError **error)
{
  g_autofree char *unique = name == NULL ? g_uuid_string_random () : NULL;
  return broker->class->open_replies (broker, name != NULL ? name : unique, until, error);
}

GtDelivery *
gt_broker_receive (GtBroker *broker, GtInstant until, GError **error)
{
  return broker->class->receive (broker, until, error);
}

gboolean
gt_broker_try_receive (GtBroker *broker, GtDelivery **delivery, GError **error)
{
  g_autoptr (GError) problem = NULL;
  *delivery = broker->class->receive (broker, (GtInstant){ 0 }, &problem);
  if (*delivery != NULL || g_error_matches (problem, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

int
gt_broker_fd (const GtBroker *broker)
{
  return broker->class->fd (broker);
}

void
gt_delivery_free (GtDelivery *delivery)
{
  g_free (delivery->correlation_id);
  g_free (delivery->content_type);
  g_clear_pointer (&delivery->body, g_bytes_unref);
  g_free (delivery);
}

void
gt_broker_notice (const GtBrokerOptions *options, const char *format, ...)
{
  if (options->notice == NULL)
    return;
  va_list args;
  va_start (args, format);
  g_autofree char *line = g_strdup_vprintf (format, args);
  va_end (args);
  options->notice (line, options->notice_data);
}

void
gt_broker_confirm (GtBroker *broker, guint64 first, guint64 last)
{
  broker->confirmed += last - first + 1;
  if (broker->options.confirmed != NULL)
    broker->options.confirmed (first, last, broker->options.confirmed_data);
}

gboolean
gt_broker_wait (const GtBrokerOptions *options, int fd, short events, GtInstant until,
                GError **error)
{
  for (;;) {
    struct pollfd fds[] = {
      { .fd = fd, .events = events },
      { .fd = options->cancel_fd > 0 ? options->cancel_fd : -1, .events = POLLIN },
    };
    int n = poll (fds, G_N_ELEMENTS (fds), gt_instant_poll_ms (until));
    if (n < 0 && errno != EINTR) {
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_IO, "poll: %s", g_strerror (errno));
      return FALSE;
    }
    if (n > 0 && fds[1].revents != 0) {
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_CANCELLED, "interrupted");
      return FALSE;
    }
    if (n > 0)
      return TRUE;
    if (n == 0 && gt_instant_until (gt_instant_now (), until) == 0) {
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT, "the time limit passed");
      return FALSE;
    }
  }
}
