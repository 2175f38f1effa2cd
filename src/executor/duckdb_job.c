#include "executor/duckdb_job.h"

#include "executor/duckdb_fail.h"

#include <string.h>

static const struct {
  const char *name, *options;
} outputs[] = {
#define X(name, text, options) [GT_OUTPUT_##name] = { text, options },
  GT_OUTPUTS (X)
#undef X
};

const char *
gt_output_name (GtOutput output)
{
  return outputs[output].name;
}

const char *
gt_output_options (GtOutput output)
{
  return outputs[output].options;
}

/* Names that are known: a misspelt member would silently not count. */
static const char *const members[]
    = { "database", "read_only", "keep_open", "sql", "params", "output" };

static gboolean
check_members (json_t *body, GtFailure *failure)
{
  const char *name = NULL;
  json_t *value = NULL;
  json_object_foreach (body, name, value) {
    gboolean known = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
      known = known || g_str_equal (name, members[i]);
    if (!known)
      return gt_failure_set (failure, GT_WIRE_CLASS_INPUT, "the job's body: \"%s\" is not known",
                             name);
  }
  return TRUE;
}

static gboolean
read_string (json_t *body, const char *name, char **out, GtFailure *failure)
{
  json_t *value = json_object_get (body, name);
  if (value == NULL)
    return TRUE;
  if (!json_is_string (value) || strlen (json_string_value (value)) != json_string_length (value))
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT, "the job's body: \"%s\" is not a string",
                           name);
  *out = g_strdup (json_string_value (value));
  return TRUE;
}

static gboolean
read_bool (json_t *body, const char *name, gboolean *out, GtFailure *failure)
{
  json_t *value = json_object_get (body, name);
  *out = json_is_true (value);
  return value == NULL || json_is_boolean (value)
         || gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                            "the job's body: \"%s\" is not true or false", name);
}

static gboolean
read_output (GtSqlJob *job, json_t *body, GtFailure *failure)
{
  g_autofree char *name = NULL;
  if (!read_string (body, "output", &name, failure))
    return FALSE;
  for (gsize i = 0; name != NULL && i < G_N_ELEMENTS (outputs); i++)
    if (g_str_equal (name, outputs[i].name)) {
      job->output = (GtOutput) i;
      return TRUE;
    }
  return name == NULL
         || gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                            "output \"%s\" is none of rows, parquet, csv, json, ndjson, arrow",
                            name);
}

static gboolean
read_body (GtSqlJob *job, json_t *body, GtFailure *failure)
{
  if (!check_members (body, failure) || !read_string (body, "database", &job->database, failure)
      || !read_string (body, "sql", &job->sql, failure)
      || !read_bool (body, "read_only", &job->read_only, failure)
      || !read_bool (body, "keep_open", &job->keep_open, failure)
      || !read_output (job, body, failure))
    return FALSE;
  if (job->sql == NULL)
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT, "the job's body: \"sql\" is missing");
  if (job->database != NULL && g_str_equal (job->database, ":memory:"))
    g_clear_pointer (&job->database, g_free);
  if (job->database == NULL && job->read_only)
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                           "\"read_only\" needs a \"database\": nothing could be in it");
  json_t *params = json_object_get (body, "params");
  if (params != NULL && !json_is_array (params) && !json_is_object (params))
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                           "\"params\" is neither an array nor an object");
  job->params = json_incref (params);
  return TRUE;
}

static gboolean
check_head (GtSqlJob *job, GtFailure *failure)
{
  if (!g_str_equal (job->head.kind, "sql"))
    return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED,
                           "jobs of kind \"%s\" are not done here, only \"sql\"", job->head.kind);
  if (job->head.memory_bytes < 0 || job->head.threads < 0 || job->head.result_bytes < 0)
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT, "a limit is negative");
  if (job->head.threads > 4096)
    return gt_failure_set (failure, GT_WIRE_CLASS_UNSUPPORTED, "more than 4096 threads");
  return TRUE;
}

gboolean
gt_sql_job_parse (GtSqlJob *job, guint64 id, GBytes *head, GBytes *body, GtFailure *failure)
{
  *job = (GtSqlJob){ .id = id };
  g_autoptr (GError) error = NULL;
  GtFrame frame = { .type = GT_WIRE_JOB, .job = id, .fd = -1 };
  frame.head = g_bytes_get_data (head, &frame.head_bytes);
  if (!gt_job_parse (&frame, &job->head, &error))
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT, "%s", error->message);
  if (!check_head (job, failure))
    return FALSE;
  json_error_t where;
  gsize bytes = 0;
  const char *text = body == NULL ? "" : g_bytes_get_data (body, &bytes);
  json_t *json = json_loadb (text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
  if (!json_is_object (json)) {
    json_decref (json);
    return gt_failure_set (failure, GT_WIRE_CLASS_INPUT,
                           "the job's body is no JSON object: %s; a number beyond 64 bits goes as "
                           "{\"$type\": \"HUGEINT\", \"$value\": \"...\"}",
                           json == NULL ? where.text : "another type");
  }
  gboolean good = read_body (job, json, failure);
  json_decref (json);
  return good;
}

void
gt_sql_job_clear (GtSqlJob *job)
{
  gt_job_clear (&job->head);
  g_free (job->database);
  g_free (job->sql);
  json_decref (job->params);
  *job = (GtSqlJob){ 0 };
}
