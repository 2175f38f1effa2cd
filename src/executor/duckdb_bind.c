#include "executor/duckdb_bind.h"

#include "executor/duckdb_cell.h"
#include "executor/duckdb_fail.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32

void
gt_binder_init (GtBinder *self, json_t *params)
{
  *self = (GtBinder){ .params = params };
  self->used = g_hash_table_new (g_str_hash, g_str_equal);
}

void
gt_binder_clear (GtBinder *self)
{
  g_clear_pointer (&self->used, g_hash_table_unref);
}

/* One type and nothing else: the name goes into SQL, within parentheses that it must not close. */
static gboolean
is_type_name (const char *name)
{
  int depth = 0;
  for (const char *c = name; *c != '\0'; c++) {
    if (*c == '\'' || *c == '"') { /* the words of an enum, the names of members */
      c = strchr (c + 1, *c);
      if (c == NULL)
        return FALSE;
    } else if (*c == '(' || *c == '[') {
      depth++;
    } else if (*c == ')' || *c == ']') {
      if (depth-- == 0)
        return FALSE;
    } else if (!g_ascii_isalnum (*c) && strchr ("_., ", *c) == NULL) {
      return FALSE;
    }
  }
  return *name != '\0' && depth == 0;
}

static duckdb_value
first_value (duckdb_result *result, const char *type_name, GtFailure *failure)
{
  duckdb_value value = NULL;
  duckdb_logical_type type = duckdb_column_logical_type (result, 0);
  duckdb_data_chunk chunk = duckdb_fetch_chunk (*result);
  if (chunk != NULL) {
    value = gt_cell_value (type, duckdb_data_chunk_get_vector (chunk, 0), 0);
    duckdb_destroy_data_chunk (&chunk);
  }
  duckdb_destroy_logical_type (&type);
  if (value == NULL)
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER,
                    "a parameter cannot have the type %s; give it as text and cast it in the query",
                    type_name);
  return value;
}

/* {"$type": T, "$value": text}: DuckDB's own cast decides what the text means. */
static duckdb_value
typed_value (duckdb_connection connection, json_t *json, GtFailure *failure)
{
  const char *type_name = json_string_value (json_object_get (json, "$type"));
  json_t *text = json_object_get (json, "$value");
  if (type_name == NULL || !json_is_string (text) || json_object_size (json) != 2
      || !is_type_name (type_name)) {
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER,
                    "a typed parameter is {\"$type\": \"DECIMAL(18,3)\", \"$value\": \"1.5\"}");
    return NULL;
  }
  gboolean blob = g_ascii_strcasecmp (type_name, "BLOB") == 0;
  g_autofree char *sql = blob ? g_strdup ("SELECT from_base64($1)")
                              : g_strdup_printf ("SELECT CAST($1 AS %s)", type_name);
  duckdb_prepared_statement statement = NULL;
  duckdb_result result = { 0 };
  duckdb_value value = NULL;
  if (duckdb_prepare (connection, sql, &statement) != DuckDBSuccess)
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "type %s: %s", type_name,
                    duckdb_prepare_error (statement));
  else if (duckdb_bind_varchar_length (statement, 1, json_string_value (text),
                                       json_string_length (text))
               != DuckDBSuccess
           || duckdb_execute_prepared (statement, &result) != DuckDBSuccess)
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "a value of type %s: %s", type_name,
                    duckdb_result_error (&result));
  else
    value = first_value (&result, type_name, failure);
  duckdb_destroy_result (&result);
  duckdb_destroy_prepare (&statement);
  return value;
}

static duckdb_value json_value (duckdb_connection connection, json_t *json, int depth,
                                GtFailure *failure);

static void
destroy_values (duckdb_value *values, gsize n_values)
{
  for (gsize i = 0; i < n_values; i++)
    if (values[i] != NULL)
      duckdb_destroy_value (&values[i]);
}

/* Whether a type is more than its id. */
static gboolean
needs_more (duckdb_type id)
{
  static const duckdb_type ids[]
      = { DUCKDB_TYPE_LIST,  DUCKDB_TYPE_ARRAY, DUCKDB_TYPE_MAP,    DUCKDB_TYPE_STRUCT,
          DUCKDB_TYPE_UNION, DUCKDB_TYPE_ENUM,  DUCKDB_TYPE_DECIMAL };
  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    if (ids[i] == id)
      return TRUE;
  return FALSE;
}

/* The type of what stands in a list: of the first element that is not null; integers beside
 * fractions are doubles. NULL: no common type. */
static duckdb_logical_type
element_type (json_t *json, duckdb_value *values)
{
  duckdb_type common = DUCKDB_TYPE_INVALID;
  gsize nested = G_MAXSIZE;
  for (gsize i = 0; i < json_array_size (json); i++) {
    json_t *item = json_array_get (json, i);
    if (json_is_null (item))
      continue;
    duckdb_logical_type type = duckdb_get_value_type (values[i]); /* the value's own: not freed */
    duckdb_type id = duckdb_get_type_id (type);
    gboolean numbers = (id == DUCKDB_TYPE_BIGINT || id == DUCKDB_TYPE_DOUBLE)
                       && (common == DUCKDB_TYPE_BIGINT || common == DUCKDB_TYPE_DOUBLE);
    if (common == DUCKDB_TYPE_INVALID)
      common = id;
    else if (numbers && id != common)
      common = DUCKDB_TYPE_DOUBLE;
    else if (id != common)
      return NULL;
    if (needs_more (id))
      nested = nested == G_MAXSIZE ? i : nested;
  }
  if (nested != G_MAXSIZE)
    return NULL;
  return duckdb_create_logical_type (common == DUCKDB_TYPE_INVALID ? DUCKDB_TYPE_VARCHAR : common);
}

static duckdb_value
text_of (json_t *json)
{
  char *text = json_dumps (json, JSON_COMPACT | JSON_ENCODE_ANY);
  duckdb_value value = duckdb_create_varchar (text);
  free (text);
  return value;
}

/* A list of one type is a LIST; anything else is its JSON text, for DuckDB's JSON functions. */
static duckdb_value
array_value (duckdb_connection connection, json_t *json, int depth, GtFailure *failure)
{
  gsize size = json_array_size (json);
  duckdb_value value = NULL;
  g_autofree duckdb_value *values = g_new0 (duckdb_value, size + 1);
  for (gsize i = 0; i < size; i++) {
    values[i] = json_value (connection, json_array_get (json, i), depth + 1, failure);
    if (values[i] == NULL) {
      destroy_values (values, size);
      return NULL;
    }
  }
  duckdb_logical_type type = element_type (json, values);
  if (type != NULL) {
    if (duckdb_get_type_id (type) == DUCKDB_TYPE_DOUBLE)
      for (gsize i = 0; i < size; i++)
        if (json_is_integer (json_array_get (json, i))) {
          duckdb_destroy_value (&values[i]);
          values[i] = duckdb_create_double (json_number_value (json_array_get (json, i)));
        }
    value = duckdb_create_list_value (type, values, size);
    duckdb_destroy_logical_type (&type);
  }
  destroy_values (values, size);
  return value != NULL ? value : text_of (json);
}

/* NULL with `failure` set: it cannot be. */
static duckdb_value
json_value (duckdb_connection connection, json_t *json, int depth, GtFailure *failure)
{
  if (depth > MAX_DEPTH) {
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "a parameter is nested more than %d deep",
                    MAX_DEPTH);
    return NULL;
  }
  switch (json_typeof (json)) {
  case JSON_NULL:
    return duckdb_create_null_value ();
  case JSON_TRUE:
  case JSON_FALSE:
    return duckdb_create_bool (json_is_true (json));
  case JSON_INTEGER:
    return duckdb_create_int64 (json_integer_value (json));
  case JSON_REAL:
    return duckdb_create_double (json_real_value (json));
  case JSON_STRING:
    return duckdb_create_varchar_length (json_string_value (json), json_string_length (json));
  case JSON_ARRAY:
    return array_value (connection, json, depth, failure);
  case JSON_OBJECT:
    return json_object_get (json, "$type") != NULL ? typed_value (connection, json, failure)
                                                   : text_of (json);
  }
  return NULL;
}

/* The JSON for the parameter, and what to call it in a message. */
static json_t *
find (GtBinder *self, duckdb_prepared_statement statement, idx_t index, GtFailure *failure)
{
  const char *name = duckdb_parameter_name (statement, index);
  json_t *value = NULL;
  if (json_is_object (self->params)) {
    value = json_object_get (self->params, name == NULL ? "" : name);
    const char *key = NULL;
    json_t *other = NULL;
    json_object_foreach (self->params, key, other) {
      if (value != NULL && g_strcmp0 (key, name) == 0)
        g_hash_table_add (self->used, (gpointer) key); /* lives as long as the job */
    }
  } else if (json_is_array (self->params)) {
    value = json_array_get (self->params, self->next + index - 1);
  }
  if (value == NULL)
    gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "no value was given for the parameter $%s",
                    name == NULL ? "?" : name);
  duckdb_free ((void *) name);
  return value;
}

static gboolean
check_leftovers (const GtBinder *self, GtFailure *failure)
{
  const char *key = NULL;
  json_t *value = NULL;
  if (json_is_array (self->params) && self->next < json_array_size (self->params))
    return gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER,
                           "%zu parameters were given, the query takes %zu",
                           json_array_size (self->params), self->next);
  json_object_foreach (self->params, key, value) {
    if (!g_hash_table_contains (self->used, key))
      return gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "the query has no parameter $%s",
                             key);
  }
  return TRUE;
}

gboolean
gt_binder_bind (GtBinder *self, duckdb_connection connection, duckdb_prepared_statement statement,
                gboolean last, GtFailure *failure)
{
  idx_t n_params = duckdb_nparams (statement);
  for (idx_t i = 1; i <= n_params; i++) {
    json_t *json = find (self, statement, i, failure);
    duckdb_value value = json == NULL ? NULL : json_value (connection, json, 0, failure);
    if (value == NULL)
      return FALSE;
    duckdb_state state = duckdb_bind_value (statement, i, value);
    duckdb_destroy_value (&value);
    if (state != DuckDBSuccess)
      return gt_failure_set (failure, GT_WIRE_CLASS_PARAMETER, "parameter %lu: %s", i,
                             duckdb_prepare_error (statement));
  }
  if (json_is_array (self->params))
    self->next += n_params;
  return !last || check_leftovers (self, failure);
}
