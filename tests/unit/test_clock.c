#include "os/clock.h"

static void
additions_saturate_instead_of_overflowing (void)
{
  g_assert_cmpint (gt_instant_add ((GtInstant){ 5 }, 7).ns, ==, 12);
  g_assert_cmpint (gt_instant_add ((GtInstant){ G_MAXINT64 - 1 }, 7).ns, ==, GT_NEVER.ns);
  g_assert_cmpint (gt_instant_add (GT_NEVER, -7).ns, ==, GT_NEVER.ns);
}

static void
a_past_instant_is_zero_away_and_never_is_infinite (void)
{
  g_assert_cmpint (gt_instant_until ((GtInstant){ 10 }, (GtInstant){ 3 }), ==, 0);
  g_assert_cmpint (gt_instant_until ((GtInstant){ 3 }, (GtInstant){ 10 }), ==, 7);
  g_assert_cmpint (gt_instant_until ((GtInstant){ 3 }, GT_NEVER), ==, G_MAXINT64);
}

static void
poll_milliseconds_round_up (void)
{
  g_assert_cmpint (gt_instant_poll_ms (GT_NEVER), ==, -1);
  g_assert_cmpint (gt_instant_poll_ms ((GtInstant){ 0 }), ==, 0);
  GtInstant soon = gt_instant_add (gt_instant_now (), 30 * GT_NSEC_PER_SEC);
  int ms = gt_instant_poll_ms (soon);
  g_assert_cmpint (ms, >, 20000);
  g_assert_cmpint (ms, <=, 30000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/clock/add", additions_saturate_instead_of_overflowing);
  g_test_add_func ("/clock/until", a_past_instant_is_zero_away_and_never_is_infinite);
  g_test_add_func ("/clock/poll-ms", poll_milliseconds_round_up);
  return g_test_run ();
}
