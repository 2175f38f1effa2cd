/* A look at a queue that leaves it as it is. For amqp.c. */
#pragma once

#include <amqp.h>
#include <glib.h>

/* How many consumers the queue has; a queue that does not exist has none. On a channel of its own,
 * since the broker closes the one that asks for such a queue. */
amqp_rpc_reply_t gt_amqp_count_consumers (amqp_connection_state_t conn, const char *queue,
                                          guint *n_consumers);
