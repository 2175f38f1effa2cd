/* A task message as AMQP frames. For amqp.c. */
#pragma once

#include "celery/message.h"

#include <amqp.h>
#include <amqp_framing.h>

/* To the queue by way of the anonymous exchange, mandatory. Returns an amqp_status_enum. */
int gt_amqp_send (amqp_connection_state_t conn, amqp_channel_t channel, const char *queue,
                  const GtMessage *message);
