/* The JSON text in which kombu's transports without AMQP (filesystem, redis, ...) carry a message.
 * Pure. */
#pragma once

#include "celery/message.h"

/* The message for the queue `routing_key` on the anonymous exchange. `delivery_tag`: a new UUID. */
char *gt_envelope_encode (const GtMessage *message, const char *routing_key,
                          const char *delivery_tag);

/* Any message that kombu wrote. */
typedef struct {
  json_t *headers;    /* object */
  json_t *properties; /* object */
  char *content_type;
  char *content_encoding;
  char *correlation_id; /* of the properties; NULL = absent */
  GBytes *body;         /* base64 undone */
} GtEnvelope;

/* NULL and GT_CELERY_ERROR for anything else. */
GtEnvelope *gt_envelope_decode (const char *text, gsize len, GError **error);
void gt_envelope_free (GtEnvelope *envelope);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtEnvelope, gt_envelope_free)
