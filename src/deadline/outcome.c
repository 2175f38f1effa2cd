#include "deadline/outcome.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const GtOutcomeInfo infos[GT_OUTCOME_COUNT] = {
#define X(id, name, code, celery, python, retry, text)                                             \
  [GT_OUTCOME_##id] = { name, code, celery, python, GT_RETRY_##retry, text },
  GT_OUTCOMES (X)
#undef X
};

static const struct {
  const char *name;
  const char *text;
} reasons[GT_REASON_COUNT] = {
#define X(id, name, text) [GT_REASON_##id] = { name, text },
  GT_REASONS (X)
#undef X
};

const GtOutcomeInfo *
gt_outcome_info (GtOutcome outcome)
{
  g_assert (outcome < GT_OUTCOME_COUNT);
  return &infos[outcome];
}

gboolean
gt_outcome_by_name (const char *name, GtOutcome *outcome)
{
  for (guint i = 0; i < GT_OUTCOME_COUNT; i++)
    if (strcmp (infos[i].name, name) == 0) {
      *outcome = (GtOutcome) i;
      return TRUE;
    }
  return FALSE;
}

const char *
gt_retry_name (GtRetry retry)
{
  static const char *const names[] = {
#define X(id, name) [GT_RETRY_##id] = (name),
    GT_RETRIES (X)
#undef X
  };
  return names[retry];
}

const char *
gt_reason_name (GtReason reason)
{
  g_return_val_if_fail (reason < GT_REASON_COUNT, NULL);
  return reasons[reason].name;
}

const char *
gt_reason_text (GtReason reason)
{
  g_return_val_if_fail (reason < GT_REASON_COUNT, NULL);
  return reasons[reason].text;
}

#define UNKNOWN_NS   (-1)
#define UNKNOWN_INT  (-1)
#define UNKNOWN_BOOL FALSE
#define UNKNOWN_TEXT NULL
#define UNKNOWN_NAME NULL

void
gt_outcome_record_init (GtOutcomeRecord *record)
{
  *record = (GtOutcomeRecord){ .outcome = GT_OUTCOME_VALUE,
                               .reason = GT_REASON_ANSWER,
#define X(kind, name) .name = UNKNOWN_##kind,
                               GT_OUTCOME_RECORD_FIELDS (X)
#undef X
  };
}

#define CLEAR_NS(field)   (void) (field)
#define CLEAR_INT(field)  (void) (field)
#define CLEAR_BOOL(field) (void) (field)
#define CLEAR_NAME(field) (void) (field)
#define CLEAR_TEXT(field) g_clear_pointer (&(field), g_free)

void
gt_outcome_record_clear (GtOutcomeRecord *record)
{
#define X(kind, name) CLEAR_##kind (record->name);
  GT_OUTCOME_RECORD_FIELDS (X)
#undef X
}

void
gt_outcome_record_finish (GtOutcomeRecord *record)
{
  gint64 ended = record->answered_ns >= 0 ? record->answered_ns : record->dead_ns;
  if (record->started_ns >= 0 && ended >= record->started_ns)
    record->wall_ns = ended - record->started_ns;
  gint64 limit = record->reason == GT_REASON_DEADLINE_SOFT   ? record->soft_ns
                 : record->reason == GT_REASON_DEADLINE_HARD ? record->asked_ns
                                                             : -1;
  gint64 last = MAX (record->told_ns, MAX (record->dead_ns, record->reaped_ns));
  if (limit >= 0 && last >= 0)
    record->overshoot_ns = MAX (last - limit, 0);
}

static json_t *
number (gint64 value)
{
  return value >= 0 ? json_integer (value) : json_null ();
}

/* A name of a file or a message of a library may hold any bytes; JSON holds UTF-8 only. */
static json_t *
text_of (const char *value)
{
  if (value == NULL)
    return json_null ();
  g_autofree char *valid = g_utf8_make_valid (value, -1);
  return json_string (valid);
}

#define JSON_NS(field)   number (field)
#define JSON_INT(field)  number (field)
#define JSON_BOOL(field) json_boolean (field)
#define JSON_TEXT(field) text_of (field)
#define JSON_NAME(field) text_of (field)

char *
gt_outcome_record_json (const GtOutcomeRecord *record)
{
  json_t *object = json_object ();
  const GtOutcomeInfo *info = gt_outcome_info (record->outcome);
  json_object_set_new (object, "outcome", json_string (info->name));
  json_object_set_new (object, "reason", json_string (gt_reason_name (record->reason)));
  json_object_set_new (object, "text", json_string (info->text));
  json_object_set_new (object, "retry", json_string (gt_retry_name (info->retry)));
#define X(kind, name) json_object_set_new (object, #name, JSON_##kind (record->name));
  GT_OUTCOME_RECORD_FIELDS (X)
#undef X
  char *dumped = json_dumps (object, JSON_COMPACT);
  json_decref (object);
  char *copy = g_strdup (dumped);
  free (dumped);
  return copy;
}
