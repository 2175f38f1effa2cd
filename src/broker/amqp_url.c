#include "broker/amqp_url.h"

#include "broker/broker.h"

#include <string.h>

typedef enum {
  OPTION_TEXT,    /* char * */
  OPTION_SECONDS, /* int, 0..3600 */
  OPTION_VERIFY,  /* gboolean: peer, required, true / none, false; CERT_ before it as in Python */
} OptionKind;

/* What a value must be. Messages do not quote the URL: an option may hold a secret, too. */
static const char *const wanted[] = {
  [OPTION_TEXT] = "a text",
  [OPTION_SECONDS] = "a number of seconds from 0 to 3600",
  [OPTION_VERIFY] = "one of peer, required, true, none, false",
};

/* X (name, kind, member). Several names of one member are aliases: kombu's and librabbitmq's. */
#define OPTIONS(X)                                                                                 \
  X ("heartbeat", OPTION_SECONDS, heartbeat_s)                                                     \
  X ("connect_timeout", OPTION_SECONDS, connect_timeout_s)                                         \
  X ("cacert", OPTION_TEXT, cacert)                                                                \
  X ("ssl_ca_certs", OPTION_TEXT, cacert)                                                          \
  X ("cert", OPTION_TEXT, cert)                                                                    \
  X ("ssl_certfile", OPTION_TEXT, cert)                                                            \
  X ("key", OPTION_TEXT, key)                                                                      \
  X ("ssl_keyfile", OPTION_TEXT, key)                                                              \
  X ("verify", OPTION_VERIFY, verify_peer)                                                         \
  X ("ssl_cert_reqs", OPTION_VERIFY, verify_peer)                                                  \
  X ("ssl_check_hostname", OPTION_VERIFY, verify_host)

static const struct {
  const char *name;
  OptionKind kind;
  gsize offset;
} options[] = {
#define X(name, kind, member) { name, kind, G_STRUCT_OFFSET (GtAmqpUrl, member) },
  OPTIONS (X)
#undef X
};

static gboolean
read_verify (const char *value, gboolean *verify)
{
  if (g_ascii_strncasecmp (value, "cert_", 5) == 0)
    value += 5;
  static const struct {
    const char *text;
    gboolean verify;
  } words[] = {
    { "peer", TRUE }, { "required", TRUE }, { "true", TRUE }, { "none", FALSE }, { "false", FALSE }
  };
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_ascii_strcasecmp (value, words[i].text) == 0) {
      *verify = words[i].verify;
      return TRUE;
    }
  return FALSE;
}

static gboolean
set_option (GtAmqpUrl *url, const char *name, const char *value, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++) {
    if (strcmp (options[i].name, name) != 0)
      continue;
    gpointer member = G_STRUCT_MEMBER_P (url, options[i].offset);
    guint64 seconds = 0;
    gboolean ok = TRUE;
    switch (options[i].kind) {
    case OPTION_TEXT:
      g_free (*(char **) member);
      *(char **) member = g_strdup (value);
      break;
    case OPTION_SECONDS:
      ok = g_ascii_string_to_unsigned (value, 10, 0, 3600, &seconds, NULL);
      *(int *) member = (int) seconds;
      break;
    case OPTION_VERIFY:
    default:
      ok = read_verify (value, member);
      break;
    }
    if (!ok)
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL, "broker URL: option '%s' is not %s",
                   name, wanted[options[i].kind]);
    return ok;
  }
  GString *known = g_string_new (NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", options[i].name);
  g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
               "broker URL: an option that is unknown; there are %s", known->str);
  g_string_free (known, TRUE);
  return FALSE;
}

static gboolean
read_query (GtAmqpUrl *url, const char *query, GError **error)
{
  if (query == NULL)
    return TRUE;
  GUriParamsIter iter;
  g_uri_params_iter_init (&iter, query, -1, "&", G_URI_PARAMS_NONE);
  for (;;) {
    g_autofree char *name = NULL;
    g_autofree char *value = NULL;
    g_autoptr (GError) problem = NULL;
    if (!g_uri_params_iter_next (&iter, &name, &value, &problem)) {
      if (problem == NULL)
        return TRUE;
      g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                   "broker URL: what follows '?' cannot be read; expected NAME=VALUE&NAME=VALUE, "
                   "percent-encoded");
      return FALSE;
    }
    if (!set_option (url, name, value, error))
      return FALSE;
  }
}

static char *
text_or (const char *text, const char *fallback)
{
  return g_strdup (text != NULL && text[0] != '\0' ? text : fallback);
}

static gboolean
check_certificate (const GtAmqpUrl *url, GError **error)
{
  if ((url->cert == NULL) == (url->key == NULL))
    return TRUE;
  g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
               "broker URL: a client certificate needs both cert and key");
  return FALSE;
}

GtAmqpUrl *
gt_amqp_url_parse (GUri *uri, GError **error)
{
  GtAmqpUrl *url = g_new0 (GtAmqpUrl, 1);
  url->tls = strcmp (g_uri_get_scheme (uri), "amqps") == 0;
  url->host = text_or (g_uri_get_host (uri), "localhost");
  url->port = g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : url->tls ? 5671 : 5672;
  url->user = text_or (g_uri_get_user (uri), "guest");
  url->password = text_or (g_uri_get_password (uri), "guest");
  /* The first slash separates; what follows is the name: "//" names the host "/". */
  const char *path = g_uri_get_path (uri);
  url->vhost = text_or (path[0] == '/' ? path + 1 : path, "/");
  url->heartbeat_s = 30;
  url->connect_timeout_s = 5;
  url->verify_peer = url->verify_host = TRUE;
  if (read_query (url, g_uri_get_query (uri), error) && check_certificate (url, error))
    return url;
  gt_amqp_url_free (url);
  return NULL;
}

void
gt_amqp_url_free (GtAmqpUrl *url)
{
  g_free (url->host);
  g_free (url->user);
  g_free (url->password);
  g_free (url->vhost);
  g_free (url->cacert);
  g_free (url->cert);
  g_free (url->key);
  g_free (url);
}
