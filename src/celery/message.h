/* A Celery task message, protocol 2, independent of the transport that carries it. Pure: time and
 * ids come from the caller. Nothing here is shared: any thread may use its own message. */
#pragma once

#include "celery/error.h"

#include <glib.h>
#include <jansson.h>

/* Kinds of a header value; the AMQP type letter that Celery's client writes for it. */
#define GT_FIELD_KINDS(X)                                                                          \
  X (VOID, 'V')                                                                                    \
  X (BOOL, 't')                                                                                    \
  X (INT, 'I')                                                                                     \
  X (DOUBLE, 'd')                                                                                  \
  X (TEXT, 'S')                                                                                    \
  X (ARRAY, 'A')                                                                                   \
  X (TABLE, 'F')

typedef enum {
#define X(name, letter) GT_FIELD_##name = (letter),
  GT_FIELD_KINDS (X)
#undef X
} GtFieldKind;

typedef struct GtField GtField;
struct GtField {
  const char *name; /* NULL for the items of an array */
  GtFieldKind kind;
  gint32 integer;       /* BOOL (0, 1) and INT */
  double real;          /* DOUBLE */
  const char *text;     /* TEXT, UTF-8 */
  const GtField *items; /* ARRAY and TABLE */
  guint n_items;
};

/* A number of seconds as the user gave it: Celery sends 20 as an integer and 20.5 as a double. */
typedef struct {
  GtFieldKind kind; /* VOID (not given; also 0, so that {0} is "not given"), INT or DOUBLE */
  double seconds;
} GtSeconds;

#define GT_SECONDS_NONE ((GtSeconds){ GT_FIELD_VOID, 0 })

/* What to send. Everything is borrowed, and copied where the message needs it. */
typedef struct {
  const char *task; /* required */
  const char *id;   /* required; any text of 1 to 255 bytes */
  json_t *args;     /* not changed; array, NULL = [] */
  json_t *kwargs;   /* not changed; object, NULL = {} */
  GtSeconds countdown;
  GtSeconds expires; /* from now */
  GtSeconds time_limit;
  GtSeconds soft_time_limit;
  guint priority; /* 0..255, normally 0; higher is served first by RabbitMQ */
  gboolean ignore_result;
  const char *reply_to; /* queue for the result; NULL = none */
  const char *origin;   /* "gen<pid>@<host>", shown by monitors */
  gint64 now_unix_us;   /* wall clock: eta and expires are dates */
} GtTask;

/* The headers in the order in which Celery writes them: X (name). gt_message_new fills each; both
 * transports render the table and nothing else. */
#define GT_TASK_HEADERS(X)                                                                         \
  X (lang)                                                                                         \
  X (task)                                                                                         \
  X (id)                                                                                           \
  X (shadow)                                                                                       \
  X (eta)                                                                                          \
  X (expires)                                                                                      \
  X (group)                                                                                        \
  X (group_index)                                                                                  \
  X (retries)                                                                                      \
  X (timelimit)                                                                                    \
  X (root_id)                                                                                      \
  X (parent_id)                                                                                    \
  X (argsrepr)                                                                                     \
  X (kwargsrepr)                                                                                   \
  X (origin)                                                                                       \
  X (ignore_result)                                                                                \
  X (replaced_task_nesting)                                                                        \
  X (stamped_headers)                                                                              \
  X (stamps)

typedef enum {
#define X(name) GT_HEADER_##name,
  GT_TASK_HEADERS (X)
#undef X
      GT_N_HEADERS,
} GtHeader;

/* Read it freely; write it through the functions only. */
typedef struct {
  GtField headers[GT_N_HEADERS];
  GtField timelimit[2];
  char id[G_MAXUINT8 + 1]; /* also the correlation_id */
  const char *reply_to;    /* NULL = absent */
  const char *expiration;  /* milliseconds as decimal text, NULL = absent */
  guint8 priority;
  const char *body; /* JSON, UTF-8 */
  gsize body_len;
  GPtrArray *texts; /* owns every text above */
} GtMessage;

#define GT_CONTENT_TYPE     "application/json"
#define GT_CONTENT_ENCODING "utf-8"
/* Persistent, as Celery's default is. */
#define GT_DELIVERY_MODE 2

/* NULL and GT_CELERY_ERROR_RANGE when a value cannot be sent. */
GtMessage *gt_message_new (const GtTask *task, GError **error);
void gt_message_free (GtMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtMessage, gt_message_free)

/* The same task under another id (id, root_id, correlation_id): what --count needs, without
 * building the rest again. `id` is copied; 1 to 255 bytes. */
void gt_message_set_id (GtMessage *message, const char *id);

/* Celery's text of a date: "2026-11-22T15:58:03.943348+00:00", no fraction when it is zero.
 * Years 1 to 9999, else NULL. */
char *gt_message_date (gint64 unix_us);
