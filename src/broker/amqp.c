/* The AMQP transport. One channel for everything. Replies, confirms and the broker's complaints
 * come as frames in any order: pump() takes each as it comes and keeps what nobody asked for yet.
 */
#include "broker/amqp_connect.h"
#include "broker/amqp_look.h"
#include "broker/amqp_send.h"
#include "broker/confirms.h"
#include "broker/vtable.h"

#include "celery/result.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CHANNEL 1

/* What Celery's rpc backend declares: a day. */
#define REPLIES_EXPIRE_MS 86400000

/* Waiting for the answer to a declaration when the caller does not limit it. */
#define RPC_TIMEOUT_NS   (30 * GT_NSEC_PER_SEC)
#define CLOSE_TIMEOUT_NS (2 * GT_NSEC_PER_SEC)

/* A message that arrives in pieces: method, header, body frames. */
typedef struct {
  gboolean returned; /* by basic.return, not delivered */
  GtDelivery *delivery;
  char *text;      /* of basic.return */
  guint64 missing; /* bytes of the body still to come */
  GByteArray *body;
  gboolean too_big;
} Incoming;

typedef struct {
  GtBroker base;
  amqp_connection_state_t conn;
  int fd;
  char *replies;
  GQueue deliveries;
  Incoming incoming;
  GError *failure; /* the first; nothing works after it */
  gboolean blocked;
  gboolean corked;
  gboolean window_full;
  gint64 tick_ns; /* longest time without a look at the heartbeats */
  GtConfirms confirms;
} Amqp;

static gboolean
fail (Amqp *a, GtBrokerError code, char *message, GError **error)
{
  g_autofree char *owned = message;
  if (a->failure == NULL)
    a->failure = g_error_new (GT_BROKER_ERROR, code, "%s", owned);
  g_propagate_error (error, g_error_copy (a->failure));
  return FALSE;
}

/* FALSE and the failure again when there was one. */
static gboolean
is_good (const Amqp *a, GError **error)
{
  if (a->failure != NULL)
    g_propagate_error (error, g_error_copy (a->failure));
  return a->failure == NULL;
}

static gboolean
fail_library (Amqp *a, const char *doing, int status, GError **error)
{
  return fail (a, GT_BROKER_ERROR_LOST,
               g_strdup_printf ("connection lost while %s: %s", doing, amqp_error_string2 (status)),
               error);
}

/* Small frames gather in the kernel until it has a full segment or we are about to wait. */
static void
cork (Amqp *a, gboolean on)
{
  if (a->corked == on)
    return;
  int value = on;
  setsockopt (a->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
  a->corked = on;
}

static void
confirmed (guint64 first, guint64 last, gpointer data)
{
  gt_broker_confirm (data, first, last);
}

static gboolean
on_ack (Amqp *a, const void *decoded, GError **error)
{
  const amqp_basic_ack_t *m = decoded;
  if (gt_confirms_ack (&a->confirms, m->delivery_tag, m->multiple, confirmed, &a->base))
    return TRUE;
  return fail (a, GT_BROKER_ERROR_PROTOCOL, g_strdup ("the broker confirmed an unknown message"),
               error);
}

static gboolean
on_nack (Amqp *a, const void *decoded, GError **error)
{
  (void) decoded;
  return fail (a, GT_BROKER_ERROR_NACK,
               g_strdup ("the broker could not store a message (see the broker's log)"), error);
}

static gboolean
on_return (Amqp *a, const void *decoded, GError **error)
{
  (void) error;
  const amqp_basic_return_t *m = decoded;
  g_autofree char *queue = gt_amqp_text (m->routing_key);
  g_autofree char *text = gt_amqp_text (m->reply_text);
  a->incoming.returned = TRUE;
  g_free (a->incoming.text);
  a->incoming.text
      = g_strdup_printf ("no queue '%s' took the message: %s (%d)", queue, text, m->reply_code);
  return TRUE;
}

static gboolean
on_deliver (Amqp *a, const void *decoded, GError **error)
{
  (void) decoded;
  (void) error;
  a->incoming.returned = FALSE;
  return TRUE;
}

static gboolean
on_cancel (Amqp *a, const void *decoded, GError **error)
{
  (void) decoded;
  return fail (a, GT_BROKER_ERROR_LOST,
               g_strdup_printf ("the queue for results, '%s', was deleted", a->replies), error);
}

static gboolean
on_blocked (Amqp *a, const void *decoded, GError **error)
{
  (void) error;
  const amqp_connection_blocked_t *m = decoded;
  g_autofree char *reason = gt_amqp_text (m->reason);
  a->blocked = TRUE;
  gt_broker_notice (&a->base.options, "the broker takes no messages for now (%s); waiting", reason);
  return TRUE;
}

static gboolean
on_unblocked (Amqp *a, const void *decoded, GError **error)
{
  (void) decoded;
  (void) error;
  a->blocked = FALSE;
  gt_broker_notice (&a->base.options, "the broker takes messages again");
  return TRUE;
}

static gboolean
on_channel_close (Amqp *a, const void *decoded, GError **error)
{
  const amqp_channel_close_t *m = decoded;
  g_autofree char *text = gt_amqp_text (m->reply_text);
  amqp_channel_close_ok_t ok = { 0 };
  amqp_send_method (a->conn, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
  return fail (a, GT_BROKER_ERROR_LOST,
               g_strdup_printf ("the broker closed the channel: %s (%d)", text, m->reply_code),
               error);
}

static gboolean
on_connection_close (Amqp *a, const void *decoded, GError **error)
{
  const amqp_connection_close_t *m = decoded;
  g_autofree char *text = gt_amqp_text (m->reply_text);
  amqp_connection_close_ok_t ok = { 0 };
  amqp_send_method (a->conn, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
  return fail (a, GT_BROKER_ERROR_LOST,
               g_strdup_printf ("the broker closed the connection: %s (%d)", text, m->reply_code),
               error);
}

static const struct {
  amqp_method_number_t id;
  gboolean (*handle) (Amqp *a, const void *decoded, GError **error);
} methods[] = {
  { AMQP_BASIC_ACK_METHOD, on_ack },
  { AMQP_BASIC_NACK_METHOD, on_nack },
  { AMQP_BASIC_RETURN_METHOD, on_return },
  { AMQP_BASIC_DELIVER_METHOD, on_deliver },
  { AMQP_BASIC_CANCEL_METHOD, on_cancel },
  { AMQP_CONNECTION_BLOCKED_METHOD, on_blocked },
  { AMQP_CONNECTION_UNBLOCKED_METHOD, on_unblocked },
  { AMQP_CHANNEL_CLOSE_METHOD, on_channel_close },
  { AMQP_CONNECTION_CLOSE_METHOD, on_connection_close },
};

static void
incoming_clear (Incoming *in)
{
  g_clear_pointer (&in->delivery, gt_delivery_free);
  g_clear_pointer (&in->text, g_free);
  g_clear_pointer (&in->body, g_byte_array_unref);
  in->missing = 0;
  in->too_big = FALSE;
}

static gboolean
incoming_done (Amqp *a, GError **error)
{
  Incoming *in = &a->incoming;
  if (in->returned)
    return fail (a, GT_BROKER_ERROR_UNROUTABLE, g_steal_pointer (&in->text), error);
  in->delivery->body = g_byte_array_free_to_bytes (g_steal_pointer (&in->body));
  g_queue_push_tail (&a->deliveries, g_steal_pointer (&in->delivery));
  return TRUE;
}

static gboolean
on_header (Amqp *a, const amqp_frame_t *frame, GError **error)
{
  Incoming *in = &a->incoming;
  const amqp_basic_properties_t *p = frame->payload.properties.decoded;
  g_clear_pointer (&in->delivery, gt_delivery_free);
  g_clear_pointer (&in->body, g_byte_array_unref);
  in->delivery = g_new0 (GtDelivery, 1);
  if (p->_flags & AMQP_BASIC_CORRELATION_ID_FLAG)
    in->delivery->correlation_id = gt_amqp_text (p->correlation_id);
  if (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
    in->delivery->content_type = gt_amqp_text (p->content_type);
  in->missing = frame->payload.properties.body_size;
  in->too_big = in->missing > GT_RESULT_MAX_BYTES;
  if (in->too_big && !in->returned)
    gt_broker_notice (&a->base.options, "a reply of %" G_GUINT64_FORMAT " bytes is too big to take",
                      in->missing);
  in->body = g_byte_array_new ();
  return in->missing > 0 || incoming_done (a, error);
}

static gboolean
on_body (Amqp *a, const amqp_frame_t *frame, GError **error)
{
  Incoming *in = &a->incoming;
  amqp_bytes_t piece = frame->payload.body_fragment;
  if (in->body == NULL || piece.len > in->missing)
    return fail (a, GT_BROKER_ERROR_PROTOCOL, g_strdup ("the broker sent a body too many"), error);
  if (!in->too_big && !in->returned)
    g_byte_array_append (in->body, piece.bytes, (guint) piece.len);
  in->missing -= piece.len;
  return in->missing > 0 || incoming_done (a, error);
}

static gboolean
on_frame (Amqp *a, const amqp_frame_t *frame, GError **error)
{
  if (frame->frame_type == AMQP_FRAME_HEADER)
    return on_header (a, frame, error);
  if (frame->frame_type == AMQP_FRAME_BODY)
    return on_body (a, frame, error);
  if (frame->frame_type != AMQP_FRAME_METHOD)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (methods); i++)
    if (methods[i].id == frame->payload.method.id)
      return methods[i].handle (a, frame->payload.method.decoded, error);
  return fail (a, GT_BROKER_ERROR_PROTOCOL,
               g_strdup_printf ("unexpected method 0x%08x", frame->payload.method.id), error);
}

/* All frames that are here, without waiting. FALSE: the broker failed. */
static gboolean
pump (Amqp *a, GError **error)
{
  for (;;) {
    if (!is_good (a, error))
      return FALSE;
    amqp_frame_t frame;
    struct timeval none = { 0 };
    int status = amqp_simple_wait_frame_noblock (a->conn, &frame, &none);
    if (status == AMQP_STATUS_TIMEOUT)
      return TRUE;
    if (status != AMQP_STATUS_OK)
      return fail_library (a, "reading", status, error);
    gboolean ok = on_frame (a, &frame, error);
    amqp_maybe_release_buffers (a->conn);
    if (!ok)
      return FALSE;
  }
}

/* Waits for `events` of the socket and takes what has come. FALSE: failed, TIMEOUT or CANCELLED. */
static gboolean
wait_and_pump (Amqp *a, short events, GtInstant until, GError **error)
{
  cork (a, FALSE);
  /* Wakes up early for heartbeats, which the library sends and checks as it reads. */
  GtInstant tick = gt_instant_add (gt_instant_now (), a->tick_ns);
  gboolean last = until.ns <= tick.ns;
  g_autoptr (GError) waited = NULL;
  if (!gt_broker_wait (&a->base.options, a->fd, events, last ? until : tick, &waited)
      && (last || !g_error_matches (waited, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT))) {
    g_propagate_error (error, g_steal_pointer (&waited));
    return FALSE;
  }
  return pump (a, error);
}

static void
set_rpc_timeout (Amqp *a, GtInstant until, gint64 longest_ns)
{
  gint64 ns = CLAMP (gt_instant_until (gt_instant_now (), until), GT_NSEC_PER_MSEC, longest_ns);
  struct timeval timeout
      = { .tv_sec = ns / GT_NSEC_PER_SEC, .tv_usec = (ns % GT_NSEC_PER_SEC) / 1000 };
  amqp_set_rpc_timeout (a->conn, &timeout);
}

static gboolean
check_reply (Amqp *a, amqp_rpc_reply_t reply, const char *doing, const char *queue, GError **error)
{
  if (reply.reply_type == AMQP_RESPONSE_NORMAL)
    return TRUE;
  GtBrokerError code = GT_BROKER_ERROR_QUEUE;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    code = reply.library_error == AMQP_STATUS_TIMEOUT ? GT_BROKER_ERROR_TIMEOUT
                                                      : GT_BROKER_ERROR_LOST;
  g_autofree char *text = gt_amqp_reply_text (reply);
  return fail (a, code, g_strdup_printf ("cannot %s '%s': %s", doing, queue, text), error);
}

/* After an rpc of the library: TRUE when it went well, else what went wrong, lastingly. */
static gboolean
check_rpc (Amqp *a, const char *doing, const char *queue, GError **error)
{
  return check_reply (a, amqp_get_rpc_reply (a->conn), doing, queue, error);
}

static gboolean
check_name (const char *queue, GError **error)
{
  gsize len = strlen (queue);
  if (len > 0 && len <= G_MAXUINT8 && g_utf8_validate (queue, (gssize) len, NULL))
    return TRUE;
  g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_NAME,
               "queue '%.40s': a name is 1 to 255 bytes of UTF-8", queue);
  return FALSE;
}

static void amqp_close (GtBroker *broker);

static GtBroker *
amqp_open (GUri *uri, const GtBrokerOptions *options, GError **error)
{
  g_autoptr (GtAmqpUrl) url = gt_amqp_url_parse (uri, error);
  if (url == NULL)
    return NULL;
  g_autofree char *shown = gt_broker_uri_display (uri);
  amqp_connection_state_t conn = gt_amqp_connect (url, shown, options, error);
  if (conn == NULL)
    return NULL;
  Amqp *a = g_new0 (Amqp, 1);
  a->base.class = &gt_amqp_class;
  a->base.options = *options;
  a->conn = conn;
  a->fd = amqp_get_sockfd (conn);
  a->tick_ns = url->heartbeat_s > 0
                   ? MIN (GT_BROKER_TICK_NS, url->heartbeat_s * GT_NSEC_PER_SEC / 2)
                   : GT_BROKER_TICK_NS;
  g_queue_init (&a->deliveries);
  gt_confirms_init (&a->confirms);
  set_rpc_timeout (a, GT_NEVER, RPC_TIMEOUT_NS);
  if (amqp_channel_open (conn, CHANNEL) != NULL && amqp_confirm_select (conn, CHANNEL) != NULL)
    return &a->base;
  check_rpc (a, "open a channel on", shown, error);
  amqp_close (&a->base);
  return NULL;
}

static gboolean
amqp_declare (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!check_name (queue, error) || !pump (a, error))
    return FALSE;
  cork (a, FALSE);
  set_rpc_timeout (a, until, RPC_TIMEOUT_NS);
  amqp_bytes_t name = amqp_cstring_bytes (queue);
  amqp_exchange_declare (a->conn, CHANNEL, name, amqp_cstring_bytes ("direct"), FALSE, TRUE, FALSE,
                         FALSE, amqp_empty_table);
  if (!check_rpc (a, "declare the exchange", queue, error))
    return FALSE;
  amqp_queue_declare (a->conn, CHANNEL, name, FALSE, TRUE, FALSE, FALSE, amqp_empty_table);
  if (!check_rpc (a, "declare the queue", queue, error))
    return FALSE;
  amqp_queue_bind (a->conn, CHANNEL, name, name, name, amqp_empty_table);
  return check_rpc (a, "bind the queue", queue, error);
}

static gboolean
amqp_count_consumers (GtBroker *broker, const char *queue, GtInstant until, guint *n_consumers,
                      GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!check_name (queue, error) || !pump (a, error))
    return FALSE;
  cork (a, FALSE);
  set_rpc_timeout (a, until, RPC_TIMEOUT_NS);
  amqp_rpc_reply_t reply = gt_amqp_count_consumers (a->conn, queue, n_consumers);
  return check_reply (a, reply, "look at the queue", queue, error);
}

static gboolean
amqp_delete (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!check_name (queue, error) || !pump (a, error))
    return FALSE;
  cork (a, FALSE);
  set_rpc_timeout (a, until, RPC_TIMEOUT_NS);
  amqp_queue_delete (a->conn, CHANNEL, amqp_cstring_bytes (queue), FALSE, FALSE);
  if (!check_rpc (a, "delete the queue", queue, error))
    return FALSE;
  amqp_exchange_delete (a->conn, CHANNEL, amqp_cstring_bytes (queue), FALSE);
  return check_rpc (a, "delete the exchange", queue, error);
}

/* A full window empties by half before it takes more: the broker works best in long bursts. */
static gboolean
window_is_full (Amqp *a)
{
  guint64 in_flight = gt_confirms_in_flight (&a->confirms);
  if (in_flight >= GT_CONFIRMS_WINDOW)
    a->window_full = TRUE;
  else if (in_flight <= GT_CONFIRMS_WINDOW / 2)
    a->window_full = FALSE;
  return a->window_full;
}

/* Until there is room for a message: in the window, at the broker, and in the socket, since the
 * library blocks for ever in a full one. Takes what has come meanwhile. */
static gboolean
wait_for_room (Amqp *a, GtInstant until, GError **error)
{
  struct pollfd fd = { .fd = a->fd, .events = POLLIN | POLLOUT };
  for (;;) {
    gboolean full = window_is_full (a) || a->blocked;
    int ready = poll (&fd, 1, 0);
    if (ready > 0 && fd.revents == POLLOUT && !full)
      return TRUE;
    if (ready > 0 && (fd.revents & ~POLLOUT) != 0) {
      if (!pump (a, error))
        return FALSE;
    } else if (!wait_and_pump (a, full ? POLLIN : POLLIN | POLLOUT, until, error)) {
      return FALSE;
    }
  }
}

static gboolean
amqp_publish (GtBroker *broker, const char *queue, const GtMessage *message, GtInstant until,
              GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!check_name (queue, error))
    return FALSE;
  if (!wait_for_room (a, until, error))
    return FALSE;
  if (!is_good (a, error))
    return FALSE;
  cork (a, TRUE);
  gt_confirms_add (&a->confirms);
  int status = gt_amqp_send (a->conn, CHANNEL, queue, message);
  if (status == AMQP_STATUS_OK)
    return TRUE;
  /* The broker may have said why before it closed the connection. */
  pump (a, NULL);
  return fail_library (a, "sending", status, error);
}

static gboolean
amqp_flush (GtBroker *broker, GtInstant until, GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!pump (a, error))
    return FALSE;
  while (gt_confirms_in_flight (&a->confirms) > 0)
    if (!wait_and_pump (a, POLLIN, until, error))
      return FALSE;
  cork (a, FALSE);
  return TRUE;
}

static const char *
amqp_open_replies (GtBroker *broker, const char *name, GtInstant until, GError **error)
{
  Amqp *a = (Amqp *) broker;
  if (!check_name (name, error) || !pump (a, error))
    return NULL;
  amqp_table_entry_t expires = {
    .key = amqp_cstring_bytes ("x-expires"),
    .value = { .kind = AMQP_FIELD_KIND_I32, .value.i32 = REPLIES_EXPIRE_MS },
  };
  amqp_table_t arguments = { 1, &expires };
  cork (a, FALSE);
  set_rpc_timeout (a, until, RPC_TIMEOUT_NS);
  a->replies = g_strdup (name);
  amqp_bytes_t queue = amqp_cstring_bytes (a->replies);
  amqp_queue_declare (a->conn, CHANNEL, queue, FALSE, TRUE, FALSE, TRUE, arguments);
  if (!check_rpc (a, "declare the queue for results", name, error))
    return NULL;
  /* no_ack, as Celery's clients consume: a reply that was delivered is gone from the broker. */
  amqp_basic_consume (a->conn, CHANNEL, queue, amqp_empty_bytes, FALSE, TRUE, FALSE,
                      amqp_empty_table);
  return check_rpc (a, "consume the queue for results", name, error) ? a->replies : NULL;
}

static GtDelivery *
amqp_receive (GtBroker *broker, GtInstant until, GError **error)
{
  Amqp *a = (Amqp *) broker;
  /* What arrived before a failure is still good. */
  while (g_queue_is_empty (&a->deliveries)) {
    if (!pump (a, error))
      return NULL;
    if (g_queue_is_empty (&a->deliveries) && !wait_and_pump (a, POLLIN, until, error))
      return NULL;
  }
  return g_queue_pop_head (&a->deliveries);
}

static int
amqp_fd (const GtBroker *broker)
{
  return ((const Amqp *) broker)->fd;
}

static void
free_delivery (gpointer delivery)
{
  gt_delivery_free (delivery);
}

static void
amqp_close (GtBroker *broker)
{
  Amqp *a = (Amqp *) broker;
  cork (a, FALSE);
  if (a->failure == NULL) {
    set_rpc_timeout (a, GT_NEVER, CLOSE_TIMEOUT_NS);
    amqp_connection_close (a->conn, AMQP_REPLY_SUCCESS);
  }
  amqp_destroy_connection (a->conn);
  g_queue_clear_full (&a->deliveries, free_delivery);
  incoming_clear (&a->incoming);
  g_clear_error (&a->failure);
  g_free (a->replies);
  g_free (a);
}

const GtBrokerClass gt_amqp_class = {
  .open = amqp_open,
  .close = amqp_close,
  .declare = amqp_declare,
  .count_consumers = amqp_count_consumers,
  .delete = amqp_delete,
  .publish = amqp_publish,
  .flush = amqp_flush,
  .open_replies = amqp_open_replies,
  .receive = amqp_receive,
  .fd = amqp_fd,
};
