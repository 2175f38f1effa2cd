#include "executor/duckdb_bind.h"

#include "executor/duckdb_fail.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32

/* What makes a value of one type from its element of a vector: type id, C type, function. */
#define FROM_VECTOR(X)                                                                             \
  X (DUCKDB_TYPE_BOOLEAN, bool, duckdb_create_bool)                                                \
  X (DUCKDB_TYPE_TINYINT, int8_t, duckdb_create_int8)                                              \
  X (DUCKDB_TYPE_SMALLINT, int16_t, duckdb_create_int16)                                           \
  X (DUCKDB_TYPE_INTEGER, int32_t, duckdb_create_int32)                                            \
  X (DUCKDB_TYPE_BIGINT, int64_t, duckdb_create_int64)                                             \
  X (DUCKDB_TYPE_UTINYINT, uint8_t, duckdb_create_uint8)                                           \
  X (DUCKDB_TYPE_USMALLINT, uint16_t, duckdb_create_uint16)                                        \
  X (DUCKDB_TYPE_UINTEGER, uint32_t, duckdb_create_uint32)                                         \
  X (DUCKDB_TYPE_UBIGINT, uint64_t, duckdb_create_uint64)                                          \
  X (DUCKDB_TYPE_HUGEINT, duckdb_hugeint, duckdb_create_hugeint)                                   \
  X (DUCKDB_TYPE_UHUGEINT, duckdb_uhugeint, duckdb_create_uhugeint)                                \
  X (DUCKDB_TYPE_FLOAT, float, duckdb_create_float)                                                \
  X (DUCKDB_TYPE_DOUBLE, double, duckdb_create_double)                                             \
  X (DUCKDB_TYPE_DATE, duckdb_date, duckdb_create_date)                                            \
  X (DUCKDB_TYPE_TIME, duckdb_time, duckdb_create_time)                                            \
  X (DUCKDB_TYPE_TIME_TZ, duckdb_time_tz, duckdb_create_time_tz_value)                             \
  X (DUCKDB_TYPE_TIMESTAMP, duckdb_timestamp, duckdb_create_timestamp)                             \
  X (DUCKDB_TYPE_TIMESTAMP_TZ, duckdb_timestamp, duckdb_create_timestamp_tz)                       \
  X (DUCKDB_TYPE_TIMESTAMP_S, duckdb_timestamp_s, duckdb_create_timestamp_s)                       \
  X (DUCKDB_TYPE_TIMESTAMP_MS, duckdb_timestamp_ms, duckdb_create_timestamp_ms)                    \
  X (DUCKDB_TYPE_TIMESTAMP_NS, duckdb_timestamp_ns, duckdb_create_timestamp_ns)                    \
  X (DUCKDB_TYPE_INTERVAL, duckdb_interval, duckdb_create_interval)

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

static duckdb_value
decimal_value (duckdb_logical_type type, const void *data)
{
  duckdb_decimal value
      = { .width = duckdb_decimal_width (type), .scale = duckdb_decimal_scale (type) };
  gint64 narrow = 0;
  switch ((int) duckdb_decimal_internal_type (type)) {
  case DUCKDB_TYPE_SMALLINT:
    narrow = *(const gint16 *) data;
    break;
  case DUCKDB_TYPE_INTEGER:
    narrow = *(const gint32 *) data;
    break;
  case DUCKDB_TYPE_BIGINT:
    narrow = *(const gint64 *) data;
    break;
  default:
    value.value = *(const duckdb_hugeint *) data;
    return duckdb_create_decimal (value);
  }
  value.value = (duckdb_hugeint){ .lower = (guint64) narrow, .upper = narrow < 0 ? -1 : 0 };
  return duckdb_create_decimal (value);
}

/* Stored with its first bit flipped. */
static duckdb_value
uuid_value (const duckdb_hugeint *data)
{
  duckdb_uhugeint value
      = { .lower = data->lower,
          .upper = (guint64) data->upper ^ G_GUINT64_CONSTANT (0x8000000000000000) };
  return duckdb_create_uuid (value);
}

/* NULL: a type that cannot be a typed parameter. */
static duckdb_value
value_from_vector (duckdb_logical_type type, void *data)
{
  switch ((int) duckdb_get_type_id (type)) {
#define X(id, CType, create)                                                                       \
  case id:                                                                                         \
    return create (*(CType *) data);
    FROM_VECTOR (X)
#undef X
  case DUCKDB_TYPE_DECIMAL:
    return decimal_value (type, data);
  case DUCKDB_TYPE_UUID:
    return uuid_value (data);
  case DUCKDB_TYPE_VARCHAR:
    return duckdb_create_varchar_length (duckdb_string_t_data (data),
                                         duckdb_string_t_length (*(duckdb_string_t *) data));
  case DUCKDB_TYPE_BLOB:
    return duckdb_create_blob ((const uint8_t *) duckdb_string_t_data (data),
                               duckdb_string_t_length (*(duckdb_string_t *) data));
  default:
    return NULL;
  }
}

/* Letters of type names only: the text goes into SQL. */
static gboolean
is_type_name (const char *name)
{
  gsize length = strlen (name);
  return length > 0 && length < 64
         && strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_(), ")
                == length;
}

static duckdb_value
first_value (duckdb_result *result, const char *type_name, GtFailure *failure)
{
  duckdb_value value = NULL;
  duckdb_logical_type type = duckdb_column_logical_type (result, 0);
  duckdb_data_chunk chunk = duckdb_fetch_chunk (*result);
  if (chunk != NULL) {
    duckdb_vector vector = duckdb_data_chunk_get_vector (chunk, 0);
    uint64_t *validity = duckdb_vector_get_validity (vector);
    value = validity != NULL && !duckdb_validity_row_is_valid (validity, 0)
                ? duckdb_create_null_value ()
                : value_from_vector (type, duckdb_vector_get_data (vector));
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
  const char *text = json_string_value (json_object_get (json, "$value"));
  if (type_name == NULL || text == NULL || json_object_size (json) != 2
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
  else if (duckdb_bind_varchar (statement, 1, text) != DuckDBSuccess
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
    if (id == DUCKDB_TYPE_LIST || id == DUCKDB_TYPE_STRUCT || id == DUCKDB_TYPE_DECIMAL)
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
