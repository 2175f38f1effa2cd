#include "lab/sight.h"

#include <string.h>

gboolean
gt_sight_note (GtWatchState *state, const json_t *event, const char *task_id)
{
  const char *name = json_string_value (json_object_get (event, "ev"));
  const char *task = json_string_value (json_object_get (event, "task_id"));
  if (name == NULL)
    return FALSE;
  gboolean starts
      = strcmp (name, "task_start") == 0 && (task_id == NULL || g_strcmp0 (task, task_id) == 0);
  state->task_started |= starts;
  state->task_ended |= strcmp (name, "task_end") == 0;
  state->iterations_told += strcmp (name, "iter_told") == 0;
  return starts;
}
