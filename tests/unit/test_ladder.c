/* Every cell, against what is written here as sentences; and what must hold of the table at large.
 */
#include "deadline/ladder.h"

#include <string.h>

/* "event state action": all cells that do something. A cell that is not listed must leave the state
 * alone and do nothing. */
static const char *const expected[GT_SLOT_STATE_COUNT][24] = {
  [GT_SLOT_EMPTY] = { "WANTED STARTING START", "STOP GONE FREE" },
  [GT_SLOT_STARTING]
  = { "FAILED EMPTY PAUSE", "WARM IDLE ADOPT", "ACK KILLING KILL", "ANSWER KILLING KILL",
      "END KILLING KILL", "END_BUSY KILLING KILL", "END_LEFT KILLING KILL", "GARBAGE KILLING KILL",
      "CLOSED LEAVING NONE", "DIED LEAVING NONE", "REAPED EMPTY REAP", "LATE KILLING KILL",
      "STOP KILLING KILL" },
  [GT_SLOT_IDLE] = { "JOB RUNNING SEND", "WARM KILLING KILL", "ANSWER KILLING KILL",
                     "END KILLING KILL", "END_BUSY KILLING KILL", "END_LEFT KILLING KILL",
                     "GARBAGE KILLING KILL", "CLOSED LEAVING NONE", "DIED LEAVING NONE",
                     "REAPED EMPTY REAP", "RECYCLE RETIRING BYE", "STOP KILLING KILL" },
  [GT_SLOT_RUNNING]
  = { "SOFT INTERRUPTING INTERRUPT", "HARD KILLING KILL", "OVER KILLING KILL",
      "ANSWER ANSWERED HOLD", "WARM KILLING KILL", "END KILLING KILL", "END_BUSY KILLING KILL",
      "END_LEFT KILLING KILL", "GARBAGE KILLING KILL", "CLOSED LEAVING NONE", "DIED LEAVING NONE",
      "REAPED EMPTY REAP", "STOP KILLING KILL" },
  [GT_SLOT_INTERRUPTING]
  = { "HARD KILLING KILL", "OVER KILLING KILL", "ACK INTERRUPTING NOTE", "ANSWER ANSWERED HOLD",
      "WARM KILLING KILL", "END KILLING KILL", "END_BUSY KILLING KILL", "END_LEFT KILLING KILL",
      "GARBAGE KILLING KILL", "CLOSED LEAVING NONE", "DIED LEAVING NONE", "REAPED EMPTY REAP",
      "STOP KILLING KILL" },
  [GT_SLOT_ANSWERED]
  = { "HARD KILLING KILL", "OVER KILLING KILL", "ACK ANSWERED NOTE", "ANSWER KILLING KILL",
      "WARM KILLING KILL", "END IDLE TELL", "END_BUSY SETTLING TELL", "END_LEFT KILLING KEEP_KILL",
      "GARBAGE KILLING KILL", "CLOSED LEAVING NONE", "DIED LEAVING NONE", "REAPED EMPTY REAP",
      "STOP KILLING KILL" },
  [GT_SLOT_SETTLING]
  = { "SETTLED IDLE NONE", "LATE KILLING KILL", "RECYCLE RETIRING BYE", "WARM KILLING KILL",
      "ANSWER KILLING KILL", "END KILLING KILL", "END_BUSY KILLING KILL", "END_LEFT KILLING KILL",
      "GARBAGE KILLING KILL", "CLOSED LEAVING NONE", "DIED LEAVING NONE", "REAPED EMPTY REAP",
      "STOP KILLING KILL" },
  [GT_SLOT_RETIRING] = { "REAPED EMPTY REAP", "LATE KILLING KILL", "WARM KILLING KILL",
                         "ANSWER KILLING KILL", "END KILLING KILL", "END_BUSY KILLING KILL",
                         "END_LEFT KILLING KILL", "GARBAGE KILLING KILL", "STOP KILLING KILL" },
  [GT_SLOT_LEAVING] = { "HARD KILLING KILL", "OVER KILLING KILL", "REAPED EMPTY REAP",
                        "LATE KILLING KILL", "STOP KILLING KILL" },
  [GT_SLOT_KILLING] = { "FAILED EMPTY PAUSE", "REAPED EMPTY REAP", "LATE UNDEAD QUARANTINE" },
  [GT_SLOT_UNDEAD] = { "FAILED GONE FREE", "REAPED GONE BURY", "LATE UNDEAD AGAIN" },
};

static const char *const states[] = {
#define X(id, name) #id,
  GT_SLOT_STATES (X)
#undef X
};
static const char *const events[] = {
#define X(id, name) #id,
  GT_SLOT_EVENTS (X)
#undef X
};
static const char *const actions[] = {
#define X(id, name) #id,
  GT_SLOT_ACTIONS (X)
#undef X
};

static char *
expected_cell (guint state, guint event)
{
  g_autofree char *prefix = g_strconcat (events[event], " ", NULL);
  for (guint i = 0; i < 24 && expected[state][i] != NULL; i++)
    if (g_str_has_prefix (expected[state][i], prefix))
      return g_strdup (expected[state][i]);
  return g_strconcat (events[event], " ", states[state], " NONE", NULL);
}

static void
every_cell_is_as_written_here (void)
{
  for (guint state = 0; state < GT_SLOT_STATE_COUNT; state++)
    for (guint event = 0; event < GT_SLOT_EVENT_COUNT; event++) {
      GtStep step = gt_ladder_step ((GtSlotState) state, (GtSlotEvent) event);
      g_autofree char *want = expected_cell (state, event);
      g_autofree char *got
          = g_strconcat (events[event], " ", states[step.next], " ", actions[step.action], NULL);
      if (strcmp (want, got) != 0)
        g_error ("%s: expected '%s', the table has '%s'", states[state], want, got);
    }
}

/* States from which nothing that the executor says counts. */
static void
nothing_is_believed_after_the_kill (void)
{
  const GtSlotState deaf[] = { GT_SLOT_KILLING, GT_SLOT_UNDEAD, GT_SLOT_GONE };
  const GtSlotEvent said[]
      = { GT_EVENT_WARM,     GT_EVENT_ACK,     GT_EVENT_ANSWER, GT_EVENT_END,    GT_EVENT_END_BUSY,
          GT_EVENT_END_LEFT, GT_EVENT_GARBAGE, GT_EVENT_CLOSED, GT_EVENT_SETTLED };
  for (guint i = 0; i < G_N_ELEMENTS (deaf); i++)
    for (guint j = 0; j < G_N_ELEMENTS (said); j++) {
      GtStep step = gt_ladder_step (deaf[i], said[j]);
      g_assert_cmpint (step.next, ==, deaf[i]);
      g_assert_cmpint (step.action, ==, GT_ACTION_NONE);
    }
}

static void
a_hard_limit_kills_wherever_a_job_runs (void)
{
  for (guint i = 0; i < GT_SLOT_STATE_COUNT; i++) {
    GtStep step = gt_ladder_step ((GtSlotState) i, GT_EVENT_HARD);
    gboolean kills = gt_slot_state_may_have_job ((GtSlotState) i) && i != GT_SLOT_KILLING;
    g_assert_true ((step.action == GT_ACTION_KILL) == kills);
  }
}

static void
an_answer_is_told_only_with_its_end_frame (void)
{
  for (guint i = 0; i < GT_SLOT_STATE_COUNT; i++)
    for (guint j = 0; j < GT_SLOT_EVENT_COUNT; j++) {
      GtStep step = gt_ladder_step ((GtSlotState) i, (GtSlotEvent) j);
      if (step.action == GT_ACTION_TELL || step.action == GT_ACTION_KEEP_KILL)
        g_assert_true (i == GT_SLOT_ANSWERED
                       && (j == GT_EVENT_END || j == GT_EVENT_END_BUSY || j == GT_EVENT_END_LEFT));
    }
}

static gboolean
reaches (GtSlotState from, GtSlotState to)
{
  gboolean seen[GT_SLOT_STATE_COUNT] = { FALSE };
  seen[from] = TRUE;
  for (guint round = 0; round < GT_SLOT_STATE_COUNT; round++)
    for (guint state = 0; state < GT_SLOT_STATE_COUNT; state++)
      for (guint event = 0; seen[state] && event < GT_SLOT_EVENT_COUNT; event++)
        seen[gt_ladder_step ((GtSlotState) state, (GtSlotEvent) event).next] = TRUE;
  return seen[to];
}

static void
every_state_can_be_reached_and_left_for_the_grave (void)
{
  for (guint state = 0; state < GT_SLOT_STATE_COUNT; state++) {
    g_assert_true (reaches (GT_SLOT_EMPTY, (GtSlotState) state));
    g_assert_true (reaches ((GtSlotState) state, GT_SLOT_GONE));
  }
}

static void
every_action_is_used_and_every_name_is_there (void)
{
  gboolean used[GT_SLOT_ACTION_COUNT] = { FALSE };
  for (guint i = 0; i < GT_SLOT_STATE_COUNT; i++) {
    g_assert_nonnull (gt_slot_state_name ((GtSlotState) i));
    for (guint j = 0; j < GT_SLOT_EVENT_COUNT; j++)
      used[gt_ladder_step ((GtSlotState) i, (GtSlotEvent) j).action] = TRUE;
  }
  for (guint j = 0; j < GT_SLOT_EVENT_COUNT; j++)
    g_assert_nonnull (gt_slot_event_name ((GtSlotEvent) j));
  for (guint i = 0; i < GT_SLOT_ACTION_COUNT; i++) {
    g_assert_true (used[i]);
    g_assert_nonnull (gt_slot_action_text ((GtSlotAction) i));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ladder/cells", every_cell_is_as_written_here);
  g_test_add_func ("/ladder/after-the-kill", nothing_is_believed_after_the_kill);
  g_test_add_func ("/ladder/hard", a_hard_limit_kills_wherever_a_job_runs);
  g_test_add_func ("/ladder/answer", an_answer_is_told_only_with_its_end_frame);
  g_test_add_func ("/ladder/reach", every_state_can_be_reached_and_left_for_the_grave);
  g_test_add_func ("/ladder/names", every_action_is_used_and_every_name_is_there);
  return g_test_run ();
}
