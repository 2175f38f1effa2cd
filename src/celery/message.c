#include "celery/message.h"

#include "celery/pyrepr.h"

#include <math.h>
#include <string.h>

#define USEC_PER_SEC 1000000

/* Dates of the years 1 to 9999 differ by less; it also keeps microseconds within 64 bits. */
#define MAX_SECONDS 3.2e11

char *
gt_message_date (gint64 unix_us)
{
  gint64 seconds = unix_us / USEC_PER_SEC;
  gint64 us = unix_us % USEC_PER_SEC;
  if (us < 0) {
    us += USEC_PER_SEC;
    seconds--;
  }
  g_autoptr (GDateTime) date = g_date_time_new_from_unix_utc (seconds);
  if (date == NULL)
    return NULL;
  int year, month, day;
  g_date_time_get_ymd (date, &year, &month, &day);
  GString *text = g_string_new (NULL);
  g_string_printf (text, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day,
                   g_date_time_get_hour (date), g_date_time_get_minute (date),
                   g_date_time_get_second (date));
  if (us != 0)
    g_string_append_printf (text, ".%06d", (int) us);
  g_string_append (text, "+00:00");
  return g_string_free (text, FALSE);
}

static gboolean
is_given (GtSeconds s)
{
  return s.kind == GT_FIELD_INT || s.kind == GT_FIELD_DOUBLE;
}

static const char *
own (GtMessage *m, char *text)
{
  g_ptr_array_add (m->texts, text);
  return text;
}

static void
set_text (GtMessage *m, GtHeader header, const char *text)
{
  if (text == NULL)
    return;
  m->headers[header].kind = GT_FIELD_TEXT;
  m->headers[header].text = text;
}

/* The date `after` from now in a header; FALSE when it cannot be written. */
static gboolean
set_date (GtMessage *m, GtHeader header, GtSeconds after, gint64 now_unix_us, GError **error)
{
  const char *name = m->headers[header].name;
  char *date = NULL;
  if (isfinite (after.seconds) && fabs (after.seconds) < MAX_SECONDS)
    date = gt_message_date (now_unix_us + llrint (after.seconds * USEC_PER_SEC));
  if (date == NULL) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE,
                 "%s in %g s is outside of the years 1 to 9999", name, after.seconds);
    return FALSE;
  }
  set_text (m, header, own (m, date));
  return TRUE;
}

static gboolean
set_dates (GtMessage *m, const GtTask *task, GError **error)
{
  /* A countdown of 0 is none, but what expires in 0 s has expired. */
  if (is_given (task->countdown) && task->countdown.seconds != 0
      && !set_date (m, GT_HEADER_eta, task->countdown, task->now_unix_us, error))
    return FALSE;
  if (!is_given (task->expires))
    return TRUE;
  if (!set_date (m, GT_HEADER_expires, task->expires, task->now_unix_us, error))
    return FALSE;
  double ms = MAX (trunc (task->expires.seconds * 1000), 0);
  m->expiration = own (m, g_strdup_printf ("%.0f", ms));
  return TRUE;
}

static gboolean
set_limit (GtField *field, GtSeconds limit, const char *name, GError **error)
{
  field->kind = GT_FIELD_VOID;
  if (!is_given (limit))
    return TRUE;
  if (!isfinite (limit.seconds) || fabs (limit.seconds) > G_MAXINT32) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE, "%s of %g s is out of range", name,
                 limit.seconds);
    return FALSE;
  }
  field->kind = limit.kind;
  field->real = limit.seconds;
  field->integer = (gint32) limit.seconds;
  return TRUE;
}

static gboolean
set_limits (GtMessage *m, const GtTask *task, GError **error)
{
  GtField *field = &m->headers[GT_HEADER_timelimit];
  field->kind = GT_FIELD_ARRAY;
  field->items = m->timelimit;
  field->n_items = G_N_ELEMENTS (m->timelimit);
  /* Celery's order: the hard one first. */
  return set_limit (&m->timelimit[0], task->time_limit, "time limit", error)
         && set_limit (&m->timelimit[1], task->soft_time_limit, "soft time limit", error);
}

static void
set_constants (GtMessage *m)
{
  set_text (m, GT_HEADER_lang, "py");
  m->headers[GT_HEADER_retries].kind = GT_FIELD_INT;
  m->headers[GT_HEADER_replaced_task_nesting].kind = GT_FIELD_INT;
  m->headers[GT_HEADER_stamps].kind = GT_FIELD_TABLE;
}

static void
set_body (GtMessage *m, json_t *args, json_t *kwargs)
{
  set_text (m, GT_HEADER_argsrepr, own (m, gt_pyrepr (args, GT_PYREPR_TUPLE, GT_PYREPR_MAX_CHARS)));
  set_text (m, GT_HEADER_kwargsrepr,
            own (m, gt_pyrepr (kwargs, GT_PYREPR_LIST, GT_PYREPR_MAX_CHARS)));
  char *args_text = json_dumps (args, 0);
  char *kwargs_text = json_dumps (kwargs, 0);
  char *body = g_strdup_printf ("[%s, %s, {\"callbacks\": null, \"errbacks\": null, "
                                "\"chain\": null, \"chord\": null}]",
                                args_text, kwargs_text);
  free (args_text);
  free (kwargs_text);
  m->body = own (m, body);
  m->body_len = strlen (body);
}

static gboolean
check_task (const GtTask *task, GError **error)
{
  if (task->task == NULL || task->task[0] == '\0' || task->id == NULL || task->id[0] == '\0')
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE, "a task needs a name and an id");
  else if (strlen (task->id) > G_MAXUINT8)
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE,
                 "the task id is longer than 255 bytes");
  else if (task->priority > G_MAXUINT8)
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE, "priority %u is above 255",
                 task->priority);
  else if ((task->args != NULL && !json_is_array (task->args))
           || (task->kwargs != NULL && !json_is_object (task->kwargs)))
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_RANGE,
                 "args must be an array and kwargs an object");
  else
    return TRUE;
  return FALSE;
}

GtMessage *
gt_message_new (const GtTask *task, GError **error)
{
  static const char *const names[] = {
#define X(name) #name,
    GT_TASK_HEADERS (X)
#undef X
  };
  if (!check_task (task, error))
    return NULL;
  g_autoptr (GtMessage) m = g_new0 (GtMessage, 1);
  m->texts = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < GT_N_HEADERS; i++)
    m->headers[i] = (GtField){ .name = names[i], .kind = GT_FIELD_VOID };
  set_constants (m);
  set_text (m, GT_HEADER_task, own (m, g_strdup (task->task)));
  set_text (m, GT_HEADER_origin, own (m, g_strdup (task->origin)));
  if (task->ignore_result) {
    m->headers[GT_HEADER_ignore_result].kind = GT_FIELD_BOOL;
    m->headers[GT_HEADER_ignore_result].integer = 1;
  }
  if (!set_dates (m, task, error) || !set_limits (m, task, error))
    return NULL;
  m->reply_to = own (m, g_strdup (task->reply_to));
  m->priority = (guint8) task->priority;
  json_t *args = task->args != NULL ? NULL : json_array ();
  json_t *kwargs = task->kwargs != NULL ? NULL : json_object ();
  set_body (m, args != NULL ? args : task->args, kwargs != NULL ? kwargs : task->kwargs);
  json_decref (args);
  json_decref (kwargs);
  gt_message_set_id (m, task->id);
  return g_steal_pointer (&m);
}

void
gt_message_set_id (GtMessage *message, const char *id)
{
  g_strlcpy (message->id, id, sizeof message->id);
  set_text (message, GT_HEADER_id, message->id);
  set_text (message, GT_HEADER_root_id, message->id);
}

void
gt_message_free (GtMessage *message)
{
  g_ptr_array_unref (message->texts);
  g_free (message);
}
