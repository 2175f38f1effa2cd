/* A RabbitMQ server of our own: node name, ports, port mapper, data folder and home are private, so
 * that a server of the machine is neither used nor disturbed. */
#pragma once

#include "os/family.h"

typedef struct GtRabbit GtRabbit;

/* Starts one with everything below `dir` (which must exist) and waits until it takes connections,
 * at most until `until`. `env` is the base environment (NULL = ours). Ends early when cancel_fd
 * (-1 = none) becomes readable. Errors say what to do; the server's log is named in them. */
GtRabbit *gt_rabbit_start (const char *dir, const char *const *env, int cancel_fd, GtInstant until,
                           GError **error);

/* amqp://... of the server; owned by it. */
const char *gt_rabbit_url (const GtRabbit *rabbit);

/* Ends the server and its port mapper and frees. NULL is allowed. */
void gt_rabbit_stop (GtRabbit *rabbit);
