#include "executor/duckdb_cell.h"

#include <glib.h>

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
  X (DUCKDB_TYPE_TIME_NS, duckdb_time_ns, duckdb_create_time_ns)                                   \
  X (DUCKDB_TYPE_TIME_TZ, duckdb_time_tz, duckdb_create_time_tz_value)                             \
  X (DUCKDB_TYPE_TIMESTAMP, duckdb_timestamp, duckdb_create_timestamp)                             \
  X (DUCKDB_TYPE_TIMESTAMP_TZ, duckdb_timestamp, duckdb_create_timestamp_tz)                       \
  X (DUCKDB_TYPE_TIMESTAMP_S, duckdb_timestamp_s, duckdb_create_timestamp_s)                       \
  X (DUCKDB_TYPE_TIMESTAMP_MS, duckdb_timestamp_ms, duckdb_create_timestamp_ms)                    \
  X (DUCKDB_TYPE_TIMESTAMP_NS, duckdb_timestamp_ns, duckdb_create_timestamp_ns)                    \
  X (DUCKDB_TYPE_INTERVAL, duckdb_interval, duckdb_create_interval)

static duckdb_value
decimal_value (duckdb_logical_type type, const void *data, idx_t row)
{
  duckdb_decimal value
      = { .width = duckdb_decimal_width (type), .scale = duckdb_decimal_scale (type) };
  gint64 narrow = 0;
  switch ((int) duckdb_decimal_internal_type (type)) {
  case DUCKDB_TYPE_SMALLINT:
    narrow = ((const gint16 *) data)[row];
    break;
  case DUCKDB_TYPE_INTEGER:
    narrow = ((const gint32 *) data)[row];
    break;
  case DUCKDB_TYPE_BIGINT:
    narrow = ((const gint64 *) data)[row];
    break;
  default:
    value.value = ((const duckdb_hugeint *) data)[row];
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

/* Three bytes of header whose first bit is set for numbers >= 0, then the magnitude, big-endian; of
 * negative numbers every bit is flipped. */
static duckdb_value
bignum_value (const guint8 *data, idx_t bytes)
{
  if (bytes <= 3)
    return NULL;
  gboolean negative = (data[0] & 0x80) == 0;
  g_autofree guint8 *magnitude = g_memdup2 (data + 3, bytes - 3);
  for (idx_t i = 0; negative && i < bytes - 3; i++)
    magnitude[i] = (guint8) ~magnitude[i];
  return duckdb_create_bignum ((duckdb_bignum){ magnitude, bytes - 3, negative });
}

/* Of the types that DuckDB stores as a string of bytes. */
static duckdb_value
bytes_value (duckdb_type id, duckdb_string_t *stored)
{
  const char *text = duckdb_string_t_data (stored);
  idx_t bytes = duckdb_string_t_length (*stored);
  switch ((int) id) {
  case DUCKDB_TYPE_BLOB:
    return duckdb_create_blob ((const uint8_t *) text, bytes);
  case DUCKDB_TYPE_BIT:
    return duckdb_create_bit ((duckdb_bit){ (uint8_t *) text, bytes });
  case DUCKDB_TYPE_BIGNUM:
    return bignum_value ((const guint8 *) text, bytes);
  default:
    return duckdb_create_varchar_length (text, bytes);
  }
}

static duckdb_value
enum_value (duckdb_logical_type type, const void *data, idx_t row)
{
  switch ((int) duckdb_enum_internal_type (type)) {
  case DUCKDB_TYPE_UTINYINT:
    return duckdb_create_enum_value (type, ((const guint8 *) data)[row]);
  case DUCKDB_TYPE_USMALLINT:
    return duckdb_create_enum_value (type, ((const guint16 *) data)[row]);
  default:
    return duckdb_create_enum_value (type, ((const guint32 *) data)[row]);
  }
}

/* --- types of values in values -------------------------------------------------------------------
 */

/* Values that are made one after the other; `failed`: one could not be. */
typedef struct {
  duckdb_value *values;
  idx_t n_values;
  gboolean failed;
} Items;

static void
items_clear (Items *self)
{
  for (idx_t i = 0; i < self->n_values; i++)
    duckdb_destroy_value (&self->values[i]);
  g_free (self->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Items, items_clear)

static void
items_init (Items *self, idx_t most)
{
  *self = (Items){ .values = g_new0 (duckdb_value, most + 1) };
}

static void
items_add (Items *self, duckdb_logical_type type, duckdb_vector vector, idx_t from, idx_t count)
{
  for (idx_t i = 0; i < count && !self->failed; i++) {
    duckdb_value value = gt_cell_value (type, vector, from + i);
    self->failed = value == NULL;
    if (value != NULL)
      self->values[self->n_values++] = value;
  }
}

/* The type is taken over. */
static void
items_take (Items *self, duckdb_logical_type type, duckdb_vector vector, idx_t from, idx_t count)
{
  items_add (self, type, vector, from, count);
  duckdb_destroy_logical_type (&type);
}

/* A list or an array, by its `create`. The type is taken over. */
static duckdb_value
sequence_value (duckdb_logical_type child, duckdb_vector vector, idx_t from, idx_t count,
                duckdb_value (*create) (duckdb_logical_type, duckdb_value *, idx_t))
{
  g_auto (Items) items;
  items_init (&items, count);
  items_add (&items, child, vector, from, count);
  duckdb_value value = items.failed ? NULL : create (child, items.values, items.n_values);
  duckdb_destroy_logical_type (&child);
  return value;
}

static duckdb_value
map_value (duckdb_logical_type type, duckdb_vector vector, duckdb_list_entry entry)
{
  duckdb_vector pairs = duckdb_list_vector_get_child (vector);
  g_auto (Items) keys;
  g_auto (Items) values;
  items_init (&keys, entry.length);
  items_init (&values, entry.length);
  items_take (&keys, duckdb_map_type_key_type (type), duckdb_struct_vector_get_child (pairs, 0),
              entry.offset, entry.length);
  items_take (&values, duckdb_map_type_value_type (type), duckdb_struct_vector_get_child (pairs, 1),
              entry.offset, entry.length);
  return keys.failed || values.failed
             ? NULL
             : duckdb_create_map_value (type, keys.values, values.values, entry.length);
}

static duckdb_value
struct_value (duckdb_logical_type type, duckdb_vector vector, idx_t row)
{
  idx_t n_members = duckdb_struct_type_child_count (type);
  g_auto (Items) items;
  items_init (&items, n_members);
  for (idx_t i = 0; i < n_members; i++)
    items_take (&items, duckdb_struct_type_child_type (type, i),
                duckdb_struct_vector_get_child (vector, i), row, 1);
  return items.failed ? NULL : duckdb_create_struct_value (type, items.values);
}

/* A struct whose first member is the tag. */
static duckdb_value
union_value (duckdb_logical_type type, duckdb_vector vector, idx_t row)
{
  const guint8 *tags = duckdb_vector_get_data (duckdb_struct_vector_get_child (vector, 0));
  g_auto (Items) items;
  items_init (&items, 1);
  items_take (&items, duckdb_union_type_member_type (type, tags[row]),
              duckdb_struct_vector_get_child (vector, 1 + (idx_t) tags[row]), row, 1);
  return items.failed ? NULL : duckdb_create_union_value (type, tags[row], items.values[0]);
}

static duckdb_value
any_value (duckdb_logical_type type, duckdb_vector vector, idx_t row)
{
  void *data = duckdb_vector_get_data (vector);
  switch ((int) duckdb_get_type_id (type)) {
#define X(id, CType, create)                                                                       \
  case id:                                                                                         \
    return create (((CType *) data)[row]);
    FROM_VECTOR (X)
#undef X
  case DUCKDB_TYPE_DECIMAL:
    return decimal_value (type, data, row);
  case DUCKDB_TYPE_UUID:
    return uuid_value ((duckdb_hugeint *) data + row);
  case DUCKDB_TYPE_ENUM:
    return enum_value (type, data, row);
  case DUCKDB_TYPE_LIST:
    return sequence_value (duckdb_list_type_child_type (type),
                           duckdb_list_vector_get_child (vector),
                           ((duckdb_list_entry *) data)[row].offset,
                           ((duckdb_list_entry *) data)[row].length, duckdb_create_list_value);
  case DUCKDB_TYPE_ARRAY:
    return sequence_value (duckdb_array_type_child_type (type),
                           duckdb_array_vector_get_child (vector),
                           row * duckdb_array_type_array_size (type),
                           duckdb_array_type_array_size (type), duckdb_create_array_value);
  case DUCKDB_TYPE_MAP:
    return map_value (type, vector, ((duckdb_list_entry *) data)[row]);
  case DUCKDB_TYPE_STRUCT:
    return struct_value (type, vector, row);
  case DUCKDB_TYPE_UNION:
    return union_value (type, vector, row);
  case DUCKDB_TYPE_VARCHAR:
  case DUCKDB_TYPE_BLOB:
  case DUCKDB_TYPE_BIT:
  case DUCKDB_TYPE_BIGNUM:
    return bytes_value (duckdb_get_type_id (type), (duckdb_string_t *) data + row);
  default:
    return NULL;
  }
}

/* JSON is a VARCHAR of another name, and the API makes no value of a type with a name; but a list
 * casts what comes into it. Takes the value over. */
static duckdb_value
with_alias (duckdb_logical_type type, duckdb_value value)
{
  duckdb_value list = duckdb_create_list_value (type, &value, 1);
  duckdb_value named = list != NULL ? duckdb_get_list_child (list, 0) : NULL;
  duckdb_destroy_value (&value);
  duckdb_destroy_value (&list);
  return named;
}

duckdb_value
gt_cell_value (duckdb_logical_type type, duckdb_vector vector, idx_t row)
{
  uint64_t *validity = duckdb_vector_get_validity (vector);
  if (validity != NULL && !duckdb_validity_row_is_valid (validity, row))
    return duckdb_create_null_value ();
  duckdb_value value = any_value (type, vector, row);
  char *alias = duckdb_logical_type_get_alias (type);
  if (value != NULL && alias != NULL)
    value = with_alias (type, value);
  duckdb_free (alias);
  return value;
}
