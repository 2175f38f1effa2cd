/* A connection to a message broker: publish with confirms, receive replies. One implementation a
 * URL scheme: amqp.c (amqp://, amqps://), spool.c (filesystem://). No global state: a broker
 * belongs to the thread that uses it, several may be open at once. SIGPIPE is not raised by either.
 */
#pragma once

#include "celery/message.h"
#include "os/clock.h"

#include <glib.h>

#define GT_BROKER_ERRORS(X)                                                                        \
  X (URL, "the URL, or an option in it, cannot be used")                                           \
  X (REFUSED, "wrong user or password, no such virtual host, no permission: retrying is no use")   \
  X (UNREACHABLE, "no connection after all attempts")                                              \
  X (LOST, "the connection was open and is gone; what was not confirmed may be lost or sent")      \
  X (NAME, "a queue name that this broker cannot carry")                                           \
  X (QUEUE, "the queue cannot be declared: it exists with other settings, or no permission")       \
  X (UNCONSUMED, "nobody consumes a queue")                                                        \
  X (UNROUTABLE, "no queue took a message")                                                        \
  X (NACK, "the broker answered that it could not store a message")                                \
  X (TIMEOUT, "the deadline passed")                                                               \
  X (CANCELLED, "cancel_fd became readable")                                                       \
  X (IO, "the folder cannot be read or written: missing, not permitted, disk full")                \
  X (PROTOCOL, "the broker said what it may not say")

typedef enum {
#define X(name, text) GT_BROKER_ERROR_##name,
  GT_BROKER_ERRORS (X)
#undef X
} GtBrokerError;

#define GT_BROKER_ERROR (gt_broker_error_quark ())
GQuark gt_broker_error_quark (void);

typedef struct GtBroker GtBroker;

typedef struct {
  /* Attempts to connect, 0 = 6. The delays between them double from 0.5 s up to 8 s. */
  guint attempts;
  /* No attempt starts after it; {0} = never. */
  GtInstant until;
  /* Told to the user as it happens: a retry with its reason and delay, the broker's memory or disk
   * alarm (which holds publishing back), a malformed file. One line, no newline. NULL = silent. */
  void (*notice) (const char *line, gpointer data);
  gpointer notice_data;
  /* Messages first..last (counted from 1 in the order of publishing) are confirmed. Comes out of
   * order across queues, once for each message; from within publish, flush and receive. */
  void (*confirmed) (guint64 first, guint64 last, gpointer data);
  gpointer confirmed_data;
  /* Every wait ends with CANCELLED when it becomes readable (it is not read); 0 = none. Not closed
   * by the broker. Establishing a connection is checked between attempts only. */
  int cancel_fd;
} GtBrokerOptions;

/* `options` may be NULL. Blocks: at most attempts x connect_timeout plus the delays.
 *   amqp://USER:PASSWORD@HOST:PORT/VHOST?heartbeat=S&connect_timeout=S
 *   amqps://...?cacert=FILE&cert=FILE&key=FILE&verify=peer|none
 *   filesystem:///DIR   (DIR/messages, DIR/processed, DIR/control) */
GtBroker *gt_broker_open (const char *url, const GtBrokerOptions *options, GError **error);

/* Drops what is not confirmed. */
void gt_broker_close (GtBroker *broker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtBroker, gt_broker_close)

/* The parts of one broker's URL. NULL and GT_BROKER_ERROR_URL, whose message says what is wrong and
 * quotes nothing: in a URL that cannot be read a password may be anywhere. */
GUri *gt_broker_url_parse (const char *url, GError **error);

/* For messages: without password and options, of a transport that is not ours the scheme alone.
 * "..." for a URL that cannot be read. */
char *gt_broker_uri_display (GUri *uri);
char *gt_broker_url_display (const char *url);

/* Creates the queue with Celery's own settings, so that a worker's declaration agrees: durable
 * direct exchange, durable queue, both named `queue`, bound. */
gboolean gt_broker_declare (GtBroker *broker, const char *queue, GtInstant until, GError **error);

/* Waits until somebody consumes the queue, which may not exist yet and is not created. UNCONSUMED
 * when nobody did until then; URL when the transport cannot know. */
gboolean gt_broker_await_consumer (GtBroker *broker, const char *queue, GtInstant until,
                                   GError **error);

/* Removes the queue, what is in it, and the exchange of its name. No error when there is none. */
gboolean gt_broker_delete (GtBroker *broker, const char *queue, GtInstant until, GError **error);

/* Hands the message over without waiting for its confirm. Waits until `until` only when too many
 * are unconfirmed. An error may be about an earlier message; after one, the broker is good for
 * gt_broker_confirmed and gt_broker_close only. `message` is free to change on return. */
gboolean gt_broker_publish (GtBroker *broker, const char *queue, const GtMessage *message,
                            GtInstant until, GError **error);

/* TRUE when every message so far is confirmed by the broker (on disk, for persistent messages). */
gboolean gt_broker_flush (GtBroker *broker, GtInstant until, GError **error);

/* Messages that the broker has confirmed: certain also after an error. */
guint64 gt_broker_confirmed (const GtBroker *broker);

/* Creates the queue for results, as Celery's rpc backend does, and returns its name (owned by the
 * broker): the reply_to of tasks. The queue goes away with the broker. `name` NULL = a new UUID. */
const char *gt_broker_open_replies (GtBroker *broker, const char *name, GtInstant until,
                                    GError **error);

typedef struct {
  char *correlation_id; /* the task's id; NULL = absent */
  char *content_type;   /* NULL = absent */
  GBytes *body;
} GtDelivery;
void gt_delivery_free (GtDelivery *delivery);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtDelivery, gt_delivery_free)

/* The next reply, which is the caller's; NULL with GT_BROKER_ERROR_TIMEOUT when none came until
 * `until`; {0} does not block. NULL with another code: the broker failed. */
GtDelivery *gt_broker_receive (GtBroker *broker, GtInstant until, GError **error);

/* The same for a main loop: TRUE and *delivery NULL when there is none now. */
gboolean gt_broker_try_receive (GtBroker *broker, GtDelivery **delivery, GError **error);

/* Becomes readable (POLLIN) when a reply may have come. Call gt_broker_try_receive until it finds
 * none *before* each poll, since replies may wait in memory already, and at least every
 * GT_BROKER_TICK_NS (half the heartbeat, when the URL asks for less than 10 s): it answers the
 * broker's heartbeats. The descriptor is the broker's. */
int gt_broker_fd (const GtBroker *broker);
#define GT_BROKER_TICK_NS (5 * GT_NSEC_PER_SEC)
