#include "executor/busy_poll.h"

/* Waits until one that looks; at most `most`. */
static guint
waits_until_due (GtBusyPoll *poll, guint most)
{
  guint waits = 0;
  while (waits < most && !gt_busy_poll_due (poll))
    waits++;
  return waits;
}

static void
looks_again_where_something_came (void)
{
  GtBusyPoll poll = { 0 };
  for (int i = 0; i < 100; i++) {
    g_assert_true (gt_busy_poll_due (&poll));
    gt_busy_poll_told (&poll, TRUE);
  }
}

static void
spares_more_each_time_up_to_a_bound (void)
{
  GtBusyPoll poll = { 0 };
  guint expected = 0;
  for (int i = 0; i < 10; i++) {
    g_assert_cmpuint (waits_until_due (&poll, 100), ==, expected);
    gt_busy_poll_told (&poll, FALSE);
    expected = CLAMP (expected * 2, 1, GT_BUSY_POLL_SPARED);
  }
  g_assert_cmpuint (expected, ==, GT_BUSY_POLL_SPARED);
}

static void
one_success_forgets_the_failures (void)
{
  GtBusyPoll poll = { 0 };
  for (int i = 0; i < 10; i++) {
    (void) waits_until_due (&poll, 100);
    gt_busy_poll_told (&poll, FALSE);
  }
  (void) waits_until_due (&poll, 100);
  gt_busy_poll_told (&poll, TRUE);
  g_assert_true (gt_busy_poll_due (&poll));
  gt_busy_poll_told (&poll, FALSE);
  g_assert_cmpuint (waits_until_due (&poll, 100), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/busy_poll/looks again where something came", looks_again_where_something_came);
  g_test_add_func ("/busy_poll/spares more each time, up to a bound",
                   spares_more_each_time_up_to_a_bound);
  g_test_add_func ("/busy_poll/one success forgets the failures", one_success_forgets_the_failures);
  return g_test_run ();
}
