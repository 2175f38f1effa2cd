#include "broker/amqp_url.h"

#include "broker/broker.h"

#include <string.h>

static GtAmqpUrl *
parse (const char *text, GError **error)
{
  g_autoptr (GUri) uri = gt_broker_url_parse (text, error);
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
wrong_options_are_told_and_not_quoted (void)
{
  static const char *const bad[] = {
    "amqp://h/?heartbeat=soon", "amqp://h/?heartbeat=-1",  "amqp://h/?colour=red",
    "amqps://h/?verify=maybe",  "amqps://h/?cert=onlyone", "amqp://h/?heartbeat",
    "amqp://h/?heartbeat=%zz",
  };
  static const char *const values[] = { "soon", "-1", "colour", "maybe", "onlyone", "%zz" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (parse (bad[i], &error));
    g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL);
    for (gsize v = 0; v < G_N_ELEMENTS (values); v++)
      g_assert_null (strstr (error->message, values[v]));
  }
}

static void
passwords_are_not_shown (void)
{
  g_autofree char *shown = gt_broker_url_display ("amqp://u:secret@h:1/v?cacert=x");
  g_assert_cmpstr (shown, ==, "amqp://u@h:1/v");
  g_autofree char *foreign = gt_broker_url_display ("redis://:secret@h/0");
  g_assert_cmpstr (foreign, ==, "redis://...");
}

/* Each has a password in which something is not percent-encoded, or no password where one looks. */
static void
of_what_cannot_be_read_nothing_is_shown (void)
{
  static const char *const bad[] = {
    "secret",
    "u:secret@h:1//",
    "amqp:u:secret@h",
    "amqp:/u:secret@h",
    "amqp://u:secret",
    "amqp://u:sec%zzret@h",
    "amqp://u:sec/secret@h",
    "amqp://u:sec@secret@h:1/v",
    "amqp://u:1/secret@h:1/v",
    "amqp://u:1?secret@h:1/v",
    "amqp://u:1?cacert=secret@h:1/v",
    "amqp://u:1#secret@h:1/v",
    "amqp://u:1;secret@h:1/v",
    "amqp://u:secret@h#/v",
    "amqp:///secret@h",
    "amqp://u%3Asecret%40h/v",
    "filesystem://u:1/secret@h",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *shown = gt_broker_url_display (bad[i]);
    g_assert_cmpstr (shown, ==, "...");
    g_assert_null (gt_broker_url_parse (bad[i], &error));
    g_assert_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL);
    g_assert_null (strstr (error->message, "sec"));
    g_assert_nonnull (strstr (error->message, "expected SCHEME://"));
  }
}

static void
a_folder_may_have_an_at_sign (void)
{
  g_autofree char *shown = gt_broker_url_display ("filesystem:///tmp/a@b");
  g_assert_cmpstr (shown, ==, "filesystem:///tmp/a@b");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/amqp-url/parts", the_parts_are_what_kombu_takes_them_for);
  g_test_add_func ("/amqp-url/options", options_have_kombus_names_too);
  g_test_add_func ("/amqp-url/wrong", wrong_options_are_told_and_not_quoted);
  g_test_add_func ("/amqp-url/display", passwords_are_not_shown);
  g_test_add_func ("/amqp-url/unreadable", of_what_cannot_be_read_nothing_is_shown);
  g_test_add_func ("/amqp-url/folder", a_folder_may_have_an_at_sign);
  return g_test_run ();
}
