/* amqp:// and amqps:// URLs, read as kombu reads them. Pure. */
#pragma once

#include <glib.h>

typedef struct {
  char *host; /* "localhost" when the URL names none */
  int port;   /* 5672, or 5671 for TLS */
  char *user; /* guest */
  char *password;
  char *vhost; /* decoded; "/" for no path, "/" and "//" */
  gboolean tls;
  int heartbeat_s; /* 0 = off */
  int connect_timeout_s;
  /* TLS */
  char *cacert; /* NULL = the system's */
  char *cert;
  char *key;
  gboolean verify_peer;
  gboolean verify_host;
} GtAmqpUrl;

/* NULL and GT_BROKER_ERROR_URL for an unknown or malformed option. */
GtAmqpUrl *gt_amqp_url_parse (GUri *uri, GError **error);
void gt_amqp_url_free (GtAmqpUrl *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtAmqpUrl, gt_amqp_url_free)
