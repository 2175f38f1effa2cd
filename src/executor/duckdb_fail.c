#include "executor/duckdb_fail.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGE 8192

/* How DuckDB begins a message, what that is to the caller. The first that fits. */
static const struct {
  const char *prefix;
  GtWireClass class_id;
} kinds[] = {
  { "INTERRUPT Error", GT_WIRE_CLASS_INTERRUPTED },
  { "Parser Error", GT_WIRE_CLASS_SYNTAX },
  { "Syntax Error", GT_WIRE_CLASS_SYNTAX },
  { "Binder Error", GT_WIRE_CLASS_SYNTAX },
  { "Catalog Error", GT_WIRE_CLASS_SYNTAX },
  { "Out of Memory Error", GT_WIRE_CLASS_MEMORY },
  { "IO Error", GT_WIRE_CLASS_IO },
  { "HTTP Error", GT_WIRE_CLASS_IO },
  { "Permission Error", GT_WIRE_CLASS_IO },
  { "Parameter Not Resolved Error", GT_WIRE_CLASS_PARAMETER },
  { "Parameter Not Allowed Error", GT_WIRE_CLASS_PARAMETER },
  { "INTERNAL Error", GT_WIRE_CLASS_INTERNAL },
  { "FATAL Error", GT_WIRE_CLASS_INTERNAL },
};

/* What its text says more exactly than its kind. */
static const struct {
  const char *text;
  GtWireClass class_id;
} texts[] = {
  { "Could not set lock on file", GT_WIRE_CLASS_LOCKED },
  { "attached in read-only mode", GT_WIRE_CLASS_READ_ONLY },
  { "in read-only mode: database does not exist", GT_WIRE_CLASS_MISSING },
  { "No files found that match the pattern", GT_WIRE_CLASS_MISSING },
  { "No such file or directory", GT_WIRE_CLASS_MISSING },
  { "prepared statement parameters", GT_WIRE_CLASS_PARAMETER },
};

static void
fill (GtFailure *failure, GtWireClass class_id, const char *message)
{
  g_autofree char *valid = g_utf8_make_valid (message, (gssize) strnlen (message, MAX_MESSAGE));
  gt_failure_clear (failure);
  failure->class_name = g_strdup (gt_wire_class_name (class_id));
  failure->message = g_steal_pointer (&valid);
}

gboolean
gt_failure_set (GtFailure *failure, GtWireClass class_id, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);
  fill (failure, class_id, message);
  return FALSE;
}

static GtWireClass
classify (const char *message)
{
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    if (strstr (message, texts[i].text) != NULL && !g_str_has_prefix (message, "Parser Error"))
      return texts[i].class_id;
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_str_has_prefix (message, kinds[i].prefix))
      return kinds[i].class_id;
  return GT_WIRE_CLASS_QUERY;
}

gboolean
gt_failure_from_duckdb (GtFailure *failure, const char *message)
{
  if (message == NULL)
    return gt_failure_set (failure, GT_WIRE_CLASS_INTERNAL, "DuckDB failed without a message");
  const char *colon = strchr (message, ':');
  const char *pid = strstr (message, "(PID ");
  GtWireClass class_id = classify (message);
  fill (failure, class_id, message);
  if (colon != NULL && colon - message < 64)
    failure->detail = g_strndup (message, (gsize) (colon - message));
  if (class_id == GT_WIRE_CLASS_LOCKED && pid != NULL)
    failure->holder_pid = g_ascii_strtoll (pid + strlen ("(PID "), NULL, 10);
  return FALSE;
}
