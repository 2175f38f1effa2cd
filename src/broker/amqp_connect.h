/* From a URL to an open AMQP connection, with visible retries. For amqp.c. */
#pragma once

#include "broker/amqp_url.h"
#include "broker/broker.h"

#include <amqp.h>

/* Owned by the caller (amqp_destroy_connection). Errors: REFUSED at once, UNREACHABLE after all
 * attempts, CANCELLED, URL for certificates that cannot be read. `shown`: the URL for messages. */
amqp_connection_state_t gt_amqp_connect (const GtAmqpUrl *url, const char *shown,
                                         const GtBrokerOptions *options, GError **error);

/* A server's text on one line, valid UTF-8. */
char *gt_amqp_text (amqp_bytes_t text);

/* What a failed reply says: the server's own words, or the library's. */
char *gt_amqp_reply_text (amqp_rpc_reply_t reply);
