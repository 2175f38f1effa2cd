#include "broker/amqp_url.h"

#include "broker/broker.h"

static GtAmqpUrl *
parse (const char *text, GError **error)
{
  g_autoptr (GUri) uri = g_uri_parse (
      text, (GUriFlags) (G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED_QUERY), error);
  return uri != NULL ? gt_amqp_url_parse (uri, error) : NULL;
}

static void
the_parts_are_what_kombu_takes_them_for (void)
{
  static const struct {
    const char *url, *host, *user, *password, *vhost;
    int port;
  } rows[] = {
    { "amqp://", "localhost", "guest", "guest", "/", 5672 },
    { "amqp://h", "h", "guest", "guest", "/", 5672 },
    { "amqp://h/", "h", "guest", "guest", "/", 5672 },
    { "amqp://guest:guest@h:5672//", "h", "guest", "guest", "/", 5672 },
    { "amqp://h/shop", "h", "guest", "guest", "shop", 5672 },
    { "amqp://h//shop", "h", "guest", "guest", "/shop", 5672 },
    { "amqp://h/%2Fshop", "h", "guest", "guest", "/shop", 5672 },
    { "amqp://us%40er:p%3Ass%2F@h:1/a%20b", "h", "us@er", "p:ss/", "a b", 1 },
    { "amqps://[::1]/x", "::1", "guest", "guest", "x", 5671 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GtAmqpUrl) url = parse (rows[i].url, &error);
    g_assert_no_error (error);
    g_assert (url != NULL);
    g_assert_cmpstr (url->host, ==, rows[i].host);
    g_assert_cmpstr (url->user, ==, rows[i].user);
    g_assert_cmpstr (url->password, ==, rows[i].password);
    g_assert_cmpstr (url->vhost, ==, rows[i].vhost);
    g_assert_cmpint (url->port, ==, rows[i].port);
    g_assert_true (url->verify_peer && url->verify_host);
  }
}

static void
options_have_kombus_names_too (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GtAmqpUrl) url = parse ("amqps://h/?heartbeat=7&ssl_ca_certs=%2Fa%26b.pem&"
                                     "ssl_cert_reqs=CERT_NONE&cert=c&key=k&connect_timeout=0",
                                     &error);
  g_assert_no_error (error);
  g_assert (url != NULL);
  g_assert_cmpint (url->heartbeat_s, ==, 7);
  g_assert_cmpint (url->connect_timeout_s, ==, 0);
  g_assert_cmpstr (url->cacert, ==, "/a&b.pem");
  g_assert_false (url->verify_peer);
}

static void
wrong_options_are_named (void)
{
  static const char *const bad[] = {
    "amqp://h/?heartbeat=soon", "amqp://h/?heartbeat=-1",  "amqp://h/?colour=red",
    "amqps://h/?verify=maybe",  "amqps://h/?cert=onlyone", "amqp://h/?heartbeat",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (parse (bad[i], &error));
    g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL);
  }
}

static void
passwords_are_not_shown (void)
{
  g_autofree char *shown = gt_broker_url_display ("amqp://u:secret@h:1/v?cacert=x");
  g_assert_cmpstr (shown, ==, "amqp://u@h:1/v");
  g_autofree char *broken = gt_broker_url_display ("amqp://u:sec%zzret@h");
  g_assert_cmpstr (broken, ==, "amqp:...");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/amqp-url/parts", the_parts_are_what_kombu_takes_them_for);
  g_test_add_func ("/amqp-url/options", options_have_kombus_names_too);
  g_test_add_func ("/amqp-url/wrong", wrong_options_are_named);
  g_test_add_func ("/amqp-url/display", passwords_are_not_shown);
  return g_test_run ();
}
