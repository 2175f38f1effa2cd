#include "celery/result.h"

#include "celery/pynumber.h"
#include "celery/read.h"

#include <string.h>

#define GT_READY_STATES(X)                                                                         \
  X (SUCCESS)                                                                                      \
  X (FAILURE)                                                                                      \
  X (REVOKED)

/* children of children ...: as deep as groups of groups are nested in earnest. */
#define MAX_CHILD_DEPTH 64

static gboolean
is_ready (const char *status)
{
#define X(name)                                                                                    \
  if (strcmp (status, #name) == 0)                                                                 \
    return TRUE;
  GT_READY_STATES (X)
#undef X
  return FALSE;
}

static gboolean
take_exc_message (GtResult *r, json_t *message, GError **error)
{
  if (message == NULL || json_is_null (message)) {
    r->exc_message = g_strdup ("");
    return TRUE;
  }
  if (json_is_string (message)) {
    r->exc_message = gt_read_dup (message);
    return TRUE;
  }
  if (!json_is_array (message))
    return gt_read_error (error, "exc_message", "a text or an array");
  GString *text = g_string_new (NULL);
  size_t i;
  json_t *item;
  json_array_foreach (message, i, item) {
    if (i > 0)
      g_string_append (text, ", ");
    if (json_is_string (item)) {
      g_autofree char *bare = gt_read_dup (item);
      g_string_append (text, bare);
    } else {
      char *json = json_dumps (item, JSON_ENCODE_ANY | JSON_COMPACT);
      g_string_append (text, json);
      free (json);
    }
  }
  r->exc_message = g_string_free (text, FALSE);
  return TRUE;
}

/* FAILURE and REVOKED carry an exception, RETRY an exception or null; Celery's own client refuses
 * anything else too. Other states carry what the task likes. */
static gboolean
take_exception (GtResult *r, GError **error)
{
  gboolean retry = strcmp (r->status, "RETRY") == 0;
  if (strcmp (r->status, "SUCCESS") == 0 || (!r->ready && !retry)
      || (retry && json_is_null (r->result)))
    return TRUE;
  if (!json_is_object (r->result))
    return gt_read_error (error, "result", "an exception");
  return gt_read_text (r->result, "exc_type", &r->exc_type, error)
         && gt_read_optional (r->result, "exc_module", &r->exc_module, error)
         && take_exc_message (r, json_object_get (r->result, "exc_message"), error);
}

/* [[id, parent], nodes]; nodes = null, or an array of the same. */
static gboolean
take_child (const json_t *tuple, GPtrArray *ids, guint depth, GError **error)
{
  const json_t *head = json_array_get (tuple, 0);
  const json_t *id = json_array_get (head, 0);
  json_t *nodes = json_array_get (tuple, 1);
  if (depth > MAX_CHILD_DEPTH) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_TOO_BIG, "children nest deeper than %d",
                 MAX_CHILD_DEPTH);
    return FALSE;
  }
  if (!json_is_string (id) || (nodes != NULL && !json_is_null (nodes) && !json_is_array (nodes)))
    return gt_read_error (error, "children", "an array of [[id, parent], nodes]");
  g_ptr_array_add (ids, gt_read_dup (id));
  size_t i;
  json_t *node;
  json_array_foreach (nodes, i, node)
    if (!take_child (node, ids, depth + 1, error))
      return FALSE;
  return TRUE;
}

static gboolean
take_children (GtResult *r, const json_t *root, GError **error)
{
  json_t *children = json_object_get (root, "children");
  if (children == NULL || json_is_null (children))
    return TRUE;
  if (!json_is_array (children))
    return gt_read_error (error, "children", "an array or null");
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);
  size_t i;
  json_t *child;
  json_array_foreach (children, i, child)
    if (!take_child (child, ids, 0, error))
      return FALSE;
  g_ptr_array_add (ids, NULL);
  r->children = (GStrv) g_ptr_array_free (g_steal_pointer (&ids), FALSE);
  return TRUE;
}

static gboolean
take_document (GtResult *r, const json_t *root, GError **error)
{
  if (!json_is_object (root))
    return gt_read_error (error, "document", "an object");
  if (!gt_read_text (root, "task_id", &r->task_id, error)
      || !gt_read_text (root, "status", &r->status, error)
      || !gt_read_optional (root, "traceback", &r->traceback, error))
    return FALSE;
  json_t *result = json_object_get (root, "result");
  r->result = result != NULL ? json_incref (result) : json_null ();
  r->ready = is_ready (r->status);
  return take_exception (r, error) && take_children (r, root, error);
}

/* Python writes numbers that JSON's grammar or 64 bits do not hold: those become texts, but only in
 * documents that do not parse without it. */
static json_t *
parse (const char *body, gsize len, GError **error)
{
  json_error_t problem;
  json_t *root = json_loadb (body, len, JSON_ALLOW_NUL, &problem);
  if (root != NULL)
    return root;
  g_autoptr (GString) plain = gt_pynumber_quote (body, len);
  if (plain != NULL)
    root = json_loadb (plain->str, plain->len, JSON_ALLOW_NUL, &problem);
  if (root == NULL)
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_SYNTAX, "not JSON: %s at byte %d",
                 problem.text, problem.position);
  return root;
}

GtResult *
gt_result_decode (const char *body, gsize len, GError **error)
{
  if (len > GT_RESULT_MAX_BYTES) {
    g_set_error (error, GT_CELERY_ERROR, GT_CELERY_ERROR_TOO_BIG,
                 "a result of %" G_GSIZE_FORMAT " bytes is bigger than is accepted", len);
    return NULL;
  }
  json_t *root = parse (body, len, error);
  if (root == NULL)
    return NULL;
  GtResult *r = g_new0 (GtResult, 1);
  gboolean ok = take_document (r, root, error);
  json_decref (root);
  if (ok)
    return r;
  gt_result_free (r);
  return NULL;
}

void
gt_result_free (GtResult *result)
{
  g_free (result->task_id);
  g_free (result->status);
  json_decref (result->result);
  g_free (result->exc_type);
  g_free (result->exc_module);
  g_free (result->exc_message);
  g_free (result->traceback);
  g_strfreev (result->children);
  g_free (result);
}
