#include "broker/amqp_look.h"

#include <amqp_framing.h>

#define CHANNEL 2

#define NOT_FOUND 404

static gboolean
is_not_found (amqp_rpc_reply_t reply)
{
  if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION
      || reply.reply.id != AMQP_CHANNEL_CLOSE_METHOD)
    return FALSE;
  const amqp_channel_close_t *close = reply.reply.decoded;
  return close->reply_code == NOT_FOUND;
}

amqp_rpc_reply_t
gt_amqp_count_consumers (amqp_connection_state_t conn, const char *queue, guint *n_consumers)
{
  *n_consumers = 0;
  if (amqp_channel_open (conn, CHANNEL) == NULL)
    return amqp_get_rpc_reply (conn);
  const amqp_queue_declare_ok_t *found = amqp_queue_declare (
      conn, CHANNEL, amqp_cstring_bytes (queue), TRUE, FALSE, FALSE, FALSE, amqp_empty_table);
  if (found != NULL) {
    *n_consumers = found->consumer_count;
    return amqp_channel_close (conn, CHANNEL, AMQP_REPLY_SUCCESS);
  }
  amqp_rpc_reply_t reply = amqp_get_rpc_reply (conn);
  if (!is_not_found (reply))
    return reply;
  amqp_channel_close_ok_t ok = { 0 };
  amqp_send_method (conn, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
  return (amqp_rpc_reply_t){ .reply_type = AMQP_RESPONSE_NORMAL };
}
