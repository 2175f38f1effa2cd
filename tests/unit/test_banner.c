#include "broker/banner.h"

#include <string.h>

/* A frame of method 10.10 with these server properties. */
static GByteArray *
make_start (const guint8 *table, gsize length)
{
  GByteArray *frame = g_byte_array_new ();
  const guint32 size = (guint32) length + 10;
  const guint8 head[] = {
    1,  0, 0, 0, 0, (guint8) (size >> 8),   (guint8) size,   0, 10, 0,
    10, 0, 9, 0, 0, (guint8) (length >> 8), (guint8) length,
  };
  g_byte_array_append (frame, head, sizeof head);
  g_byte_array_append (frame, table, (guint) length);
  g_byte_array_append (frame, (const guint8 *) "\xCE", 1);
  return frame;
}

#define TABLE                                                                                      \
  "\x04none"                                                                                       \
  "V"                                                                                              \
  "\x03num"                                                                                        \
  "I\0\0\0\x07"                                                                                    \
  "\x0c"                                                                                           \
  "capabilities"                                                                                   \
  "F\0\0\0\x04"                                                                                    \
  "\x01xt\x01"                                                                                     \
  "\x07product"                                                                                    \
  "S\0\0\0\x08RabbitMQ"                                                                            \
  "\x07version"                                                                                    \
  "S\0\0\0\x06"                                                                                    \
  "3.10.8"

static void
a_server_says_its_product_and_version (void)
{
  g_autoptr (GByteArray) frame = make_start ((const guint8 *) TABLE, sizeof TABLE - 1);
  g_auto (GtBanner) banner = { 0 };
  g_assert_cmpint (gt_banner_parse (frame->data, frame->len, &banner), ==, 1);
  g_assert_cmpstr (banner.product, ==, "RabbitMQ");
  g_assert_cmpstr (banner.version, ==, "3.10.8");
}

static void
a_part_of_it_asks_for_more (void)
{
  g_autoptr (GByteArray) frame = make_start ((const guint8 *) TABLE, sizeof TABLE - 1);
  for (gsize length = 0; length < frame->len; length++) {
    g_auto (GtBanner) banner = { 0 };
    g_assert_cmpint (gt_banner_parse (frame->data, length, &banner), ==, 0);
    g_assert_null (banner.product);
  }
}

static void
a_table_that_is_cut_is_refused (void)
{
  for (gsize length = 1; length < sizeof TABLE - 1; length++) {
    g_autoptr (GByteArray) frame = make_start ((const guint8 *) TABLE, length);
    g_auto (GtBanner) banner = { 0 };
    int result = gt_banner_parse (frame->data, frame->len, &banner);
    /* Where an entry ends, the rest is a shorter table. */
    g_assert_true (result == -1 || (result == 1 && banner.version == NULL));
  }
}

static void
others_than_amqp_are_refused (void)
{
  static const char *const texts[] = {
    "HTTP/1.1 400 Bad Request\r\n",
    "AMQP\x01\x01\x08",
    "-ERR unknown command\r\n",
    "SSH-2.0-x\r\n",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_auto (GtBanner) banner = { 0 };
    g_assert_cmpint (gt_banner_parse ((const guint8 *) texts[i], strlen (texts[i]), &banner), ==,
                     -1);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/banner/a server says its product and version",
                   a_server_says_its_product_and_version);
  g_test_add_func ("/banner/a part of it asks for more", a_part_of_it_asks_for_more);
  g_test_add_func ("/banner/a table that is cut is refused", a_table_that_is_cut_is_refused);
  g_test_add_func ("/banner/others than AMQP are refused", others_than_amqp_are_refused);
  return g_test_run ();
}
