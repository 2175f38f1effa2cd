/* A result document (the body of an rpc reply, or a stored result), decoded. Input is untrusted:
 * size and depth are limited, wrong types are errors. Pure. */
#pragma once

#include "celery/error.h"

#include <glib.h>
#include <jansson.h>

#define GT_RESULT_MAX_BYTES ((gsize) 64 * 1024 * 1024)

typedef struct {
  char *task_id;
  char *status;      /* SUCCESS, FAILURE, REVOKED, RETRY, STARTED, or the task's own */
  gboolean ready;    /* SUCCESS, FAILURE or REVOKED: the last document of its task */
  json_t *result;    /* any JSON; never NULL */
  char *exc_type;    /* "ValueError"; NULL unless the result is an exception */
  char *exc_module;  /* "builtins"; NULL when not given */
  char *exc_message; /* arguments joined by ", " (texts bare, the rest as JSON); NULL as exc_type */
  char *traceback;   /* NULL = none */
  GStrv children;    /* ids of tasks that this one sent; NULL = not told */
} GtResult;

/* NULL and GT_CELERY_ERROR for anything that is no result document. */
GtResult *gt_result_decode (const char *body, gsize len, GError **error);
void gt_result_free (GtResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtResult, gt_result_free)
