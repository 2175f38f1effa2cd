/* What a transport implements, and what the transports share. For src/broker only. */
#pragma once

#include "broker/broker.h"

/* The members mean what the gt_broker_ functions of the same name say. */
typedef struct {
  GtBroker *(*open) (GUri *url, const GtBrokerOptions *options, GError **error);
  void (*close) (GtBroker *broker);
  gboolean (*declare) (GtBroker *broker, const char *queue, GtInstant until, GError **error);
  /* NULL: the transport does not know its consumers. A queue that does not exist has none. */
  gboolean (*count_consumers) (GtBroker *broker, const char *queue, GtInstant until,
                               guint *n_consumers, GError **error);
  gboolean (*delete) (GtBroker *broker, const char *queue, GtInstant until, GError **error);
  gboolean (*publish) (GtBroker *broker, const char *queue, const GtMessage *message,
                       GtInstant until, GError **error);
  gboolean (*flush) (GtBroker *broker, GtInstant until, GError **error);
  const char *(*open_replies) (GtBroker *broker, const char *name, GtInstant until, GError **error);
  GtDelivery *(*receive) (GtBroker *broker, GtInstant until, GError **error);
  int (*fd) (const GtBroker *broker);
} GtBrokerClass;

/* First member of every transport's own struct. */
struct GtBroker {
  const GtBrokerClass *class;
  GtBrokerOptions options;
  guint64 confirmed;
};

extern const GtBrokerClass gt_amqp_class;
extern const GtBrokerClass gt_spool_class;

/* One line to options->notice. */
void gt_broker_notice (const GtBrokerOptions *options, const char *format, ...)
    G_GNUC_PRINTF (2, 3);

/* Counts and tells: messages first..last are confirmed. */
void gt_broker_confirm (GtBroker *broker, guint64 first, guint64 last);

/* Waits for `events` (poll's) on fd, -1 = for nothing but time. TRUE: they came. FALSE: TIMEOUT or
 * CANCELLED. */
gboolean gt_broker_wait (const GtBrokerOptions *options, int fd, short events, GtInstant until,
                         GError **error);
