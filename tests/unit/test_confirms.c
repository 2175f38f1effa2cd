#include "broker/confirms.h"

static void
note (guint64 first, guint64 last, gpointer data)
{
  g_string_append_printf (data, "%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT " ", first, last);
}

static GtConfirms *
in_flight (guint count)
{
  GtConfirms *c = g_new (GtConfirms, 1);
  gt_confirms_init (c);
  for (guint i = 0; i < count; i++)
    gt_confirms_add (c);
  return c;
}

static void
each_message_is_told_once_however_the_acks_overlap (void)
{
  g_autofree GtConfirms *c = in_flight (10);
  g_autoptr (GString) told = g_string_new (NULL);
  g_assert_true (gt_confirms_ack (c, 3, FALSE, note, told));
  g_assert_true (gt_confirms_ack (c, 5, FALSE, note, told));
  g_assert_true (gt_confirms_ack (c, 6, TRUE, note, told));
  g_assert_true (gt_confirms_ack (c, 8, FALSE, note, told));
  g_assert_true (gt_confirms_ack (c, 7, FALSE, note, told));
  g_assert_cmpstr (told->str, ==, "3-3 5-5 1-2 4-4 6-6 8-8 7-7 ");
  g_assert_cmpuint (gt_confirms_in_flight (c), ==, 2);
}

static void
tag_zero_with_multiple_means_all (void)
{
  g_autofree GtConfirms *c = in_flight (4);
  g_autoptr (GString) told = g_string_new (NULL);
  g_assert_true (gt_confirms_ack (c, 0, TRUE, note, told));
  g_assert_cmpstr (told->str, ==, "1-4 ");
  g_assert_cmpuint (gt_confirms_in_flight (c), ==, 0);
}

static void
tags_that_are_not_in_flight_are_refused (void)
{
  g_autofree GtConfirms *c = in_flight (2);
  g_autoptr (GString) told = g_string_new (NULL);
  g_assert_false (gt_confirms_ack (c, 0, FALSE, note, told));
  g_assert_false (gt_confirms_ack (c, 3, FALSE, note, told));
  g_assert_true (gt_confirms_ack (c, 2, FALSE, note, told));
  g_assert_false (gt_confirms_ack (c, 2, FALSE, note, told));
  g_assert_true (gt_confirms_ack (c, 1, FALSE, note, told));
  g_assert_false (gt_confirms_ack (c, 1, FALSE, note, told));
  g_assert_cmpstr (told->str, ==, "2-2 1-1 ");
}

static void
the_ring_goes_round (void)
{
  g_autofree GtConfirms *c = in_flight (0);
  g_autoptr (GString) told = g_string_new (NULL);
  for (guint round = 0; round < 5; round++) {
    guint64 last = 0;
    for (guint i = 0; i < GT_CONFIRMS_WINDOW; i++)
      last = gt_confirms_add (c);
    g_assert_cmpuint (gt_confirms_in_flight (c), ==, GT_CONFIRMS_WINDOW);
    g_string_truncate (told, 0);
    g_assert_true (gt_confirms_ack (c, last, FALSE, note, told));
    g_assert_true (gt_confirms_ack (c, last - 1, TRUE, note, told));
    g_assert_cmpuint (gt_confirms_in_flight (c), ==, 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/confirms/overlap", each_message_is_told_once_however_the_acks_overlap);
  g_test_add_func ("/confirms/zero", tag_zero_with_multiple_means_all);
  g_test_add_func ("/confirms/refused", tags_that_are_not_in_flight_are_refused);
  g_test_add_func ("/confirms/ring", the_ring_goes_round);
  return g_test_run ();
}
