#include "executor/duckdb_type.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICROS_PER_SEC 1000000
#define NANOS_PER_SEC  1000000000

void
gt_json_append_string (GString *out, const char *text, gsize bytes)
{
  gsize start = 0;
  g_string_append_c (out, '"');
  for (gsize i = 0; i < bytes; i++) {
    guchar c = (guchar) text[i];
    if (c >= 0x20 && c != '"' && c != '\\')
      continue;
    g_string_append_len (out, text + start, (gssize) (i - start));
    start = i + 1;
    if (c == '"' || c == '\\')
      g_string_append_printf (out, "\\%c", c);
    else if (c == '\n')
      g_string_append (out, "\\n");
    else
      g_string_append_printf (out, "\\u%04x", c);
  }
  g_string_append_len (out, text + start, (gssize) (bytes - start));
  g_string_append_c (out, '"');
}

/* Digits of an unsigned 128-bit number, with a point before the last `scale` ones. */
static void
append_digits (GString *out, unsigned __int128 value, gboolean negative, guint scale)
{
  char digits[48];
  guint at = sizeof digits;
  for (guint n = 0; value != 0 || n <= scale; n++) {
    if (n == scale && scale > 0)
      digits[--at] = '.';
    digits[--at] = (char) ('0' + (int) (value % 10));
    value /= 10;
  }
  if (negative)
    digits[--at] = '-';
  g_string_append_len (out, digits + at, sizeof digits - at);
}

static void
append_wide (GString *out, __int128 value, guint scale)
{
  gboolean negative = value < 0;
  append_digits (out, negative ? -(unsigned __int128) value : (unsigned __int128) value, negative,
                 scale);
}

static __int128
to_wide (duckdb_hugeint value)
{
  return (__int128) (((unsigned __int128) (guint64) value.upper << 64) | value.lower);
}

static void
append_decimal (const GtType *self, const void *data, idx_t row, GString *out)
{
  __int128 value = 0;
  switch ((int) self->internal) {
  case DUCKDB_TYPE_SMALLINT:
    value = ((const gint16 *) data)[row];
    break;
  case DUCKDB_TYPE_INTEGER:
    value = ((const gint32 *) data)[row];
    break;
  case DUCKDB_TYPE_BIGINT:
    value = ((const gint64 *) data)[row];
    break;
  default:
    value = to_wide (((const duckdb_hugeint *) data)[row]);
    break;
  }
  append_wide (out, value, self->scale);
}

static gboolean
reads_back (const char *text, double value, gboolean single)
{
  return single ? strtof (text, NULL) == (float) value : strtod (text, NULL) == value;
}

/* A power of two has less room below than above: the nearest text of so many digits may be too far
 * below, and one above be near enough. FALSE: it is none, or there is none. */
static gboolean
write_power (char *text, gsize size, int digits, double value, gboolean single)
{
  int exponent = 0;
  if (fabs (frexp (value, &exponent)) != 0.5)
    return FALSE;
  /* From the middle of all that reads back as it. */
  long double middle = (long double) value;
  middle += ldexpl (middle, -(single ? FLT_MANT_DIG : DBL_MANT_DIG) - 2);
  (void) snprintf (text, size, "%.*Lg", digits, middle);
  return reads_back (text, value, single);
}

/* The fewest digits that read back as the same number. Those that a type always keeps are enough
 * for most; only what is too small to have them all can need fewer. */
static void
write_shortest (char *text, gsize size, double value, gboolean single)
{
  gboolean small = fabs (value) < (single ? (double) FLT_MIN : DBL_MIN);
  for (int digits = small ? 1 : single ? FLT_DIG : DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
    (void) snprintf (text, size, "%.*g", digits, value);
    if (reads_back (text, value, single) || write_power (text, size, digits, value, single))
      return;
  }
}

/* Never without '.', 'e' or quotes, so that a reader sees a floating-point number. */
static void
append_double (GString *out, double value, gboolean single)
{
  char text[40];
  if (!isfinite (value)) {
    g_string_append (out, isnan (value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"");
    return;
  }
  write_shortest (text, sizeof text, value, single);
  g_string_append (out, text);
  if (strpbrk (text, ".e") == NULL)
    g_string_append (out, ".0");
}

static void
append_date (GString *out, duckdb_date date)
{
  if (!duckdb_is_finite_date (date)) {
    g_string_append (out, date.days > 0 ? "infinity" : "-infinity");
    return;
  }
  duckdb_date_struct parts = duckdb_from_date (date);
  g_string_append_printf (out, "%s%04d-%02d-%02d", parts.year < 0 ? "-" : "", abs (parts.year),
                          parts.month, parts.day);
}

/* hh:mm:ss and the fraction's digits without trailing zeros. */
static void
append_clock (GString *out, gint64 seconds, gint64 fraction, int digits)
{
  char text[24];
  g_string_append_printf (out, "%02d:%02d:%02d", (int) (seconds / 3600), (int) (seconds / 60 % 60),
                          (int) (seconds % 60));
  if (fraction == 0)
    return;
  (void) snprintf (text, sizeof text, "%0*ld", digits, fraction);
  gsize length = strlen (text);
  while (length > 1 && text[length - 1] == '0')
    length--;
  g_string_append_printf (out, ".%.*s", (int) length, text);
}

/* `value` in units of 1/per_second since 1970. */
static void
append_timestamp (GString *out, gint64 value, gint64 per_second, int digits, const char *zone)
{
  if (value == G_MAXINT64 || value == -G_MAXINT64) {
    g_string_append (out, value > 0 ? "infinity" : "-infinity");
    return;
  }
  gint64 seconds = value / per_second, fraction = value % per_second;
  if (fraction < 0) {
    fraction += per_second;
    seconds--;
  }
  gint64 days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    days--;
  }
  append_date (out, (duckdb_date){ (gint32) days });
  g_string_append_c (out, ' ');
  append_clock (out, rest, fraction, digits);
  g_string_append (out, zone);
}

static void
append_time_tz (GString *out, duckdb_time_tz value)
{
  duckdb_time_tz_struct parts = duckdb_from_time_tz (value);
  gint32 offset = abs (parts.offset);
  append_clock (out, parts.time.hour * 3600 + parts.time.min * 60 + parts.time.sec,
                parts.time.micros, 6);
  g_string_append_printf (out, "%c%02d:%02d", parts.offset < 0 ? '-' : '+', offset / 3600,
                          offset / 60 % 60);
  if (offset % 60 != 0)
    g_string_append_printf (out, ":%02d", offset % 60);
}

/* Stored with the first bit flipped, so that it sorts. */
static void
append_uuid (GString *out, duckdb_hugeint value)
{
  guint64 upper = (guint64) value.upper ^ G_GUINT64_CONSTANT (0x8000000000000000);
  g_string_append_printf (out, "%08x-%04x-%04x-%04x-%012lx", (guint) (upper >> 32),
                          (guint) (upper >> 16) & 0xffff, (guint) upper & 0xffff,
                          (guint) (value.lower >> 48), value.lower & 0xffffffffffffUL);
}

/* The first byte says how many bits of the second are padding. */
static void
append_bits (GString *out, const guint8 *data, gsize bytes)
{
  guint padding = bytes > 0 ? data[0] : 0;
  for (gsize bit = padding; bytes > 1 && bit < (bytes - 1) * 8; bit++)
    g_string_append_c (out, (data[1 + bit / 8] >> (7 - bit % 8)) & 1 ? '1' : '0');
}

/* Three bytes of header whose first bit is set for numbers >= 0, then the magnitude, big-endian; of
 * negative numbers every bit is flipped. Divided by 10^9 again and again. */
static void
append_bignum (GString *out, const guint8 *data, gsize bytes)
{
  if (bytes <= 3)
    return;
  gboolean negative = (data[0] & 0x80) == 0;
  gsize n = bytes - 3;
  g_autofree guint8 *magnitude = g_memdup2 (data + 3, n);
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; negative && i < n; i++)
    magnitude[i] = (guint8) ~magnitude[i];
  for (gsize first = 0; first < n;) {
    guint64 rest = 0;
    char part[16];
    for (gsize i = first; i < n; i++) {
      rest = rest << 8 | magnitude[i];
      magnitude[i] = (guint8) (rest / NANOS_PER_SEC);
      rest %= NANOS_PER_SEC;
    }
    (void) snprintf (part, sizeof part, "%09lu", rest);
    g_string_prepend (text, part);
    while (first < n && magnitude[first] == 0)
      first++;
  }
  const char *digits = text->str;
  while (digits[0] == '0' && digits[1] != '\0')
    digits++;
  g_string_append_printf (out, "%s%s", negative ? "-" : "", digits);
}

static void
append_blob (GString *out, const guint8 *data, gsize bytes)
{
  g_autofree char *text = g_base64_encode (data, bytes);
  g_string_append (out, text);
}

static void
append_enum (const GtType *self, const void *data, idx_t row, GString *out)
{
  guint32 index = self->internal == DUCKDB_TYPE_UTINYINT    ? ((const guint8 *) data)[row]
                  : self->internal == DUCKDB_TYPE_USMALLINT ? ((const guint16 *) data)[row]
                                                            : ((const guint32 *) data)[row];
  gt_json_append_string (out, self->dictionary[index], strlen (self->dictionary[index]));
}

static void
append_items (const GtType *self, duckdb_vector items, duckdb_list_entry entry, GString *out)
{
  g_string_append_c (out, '[');
  for (idx_t i = 0; i < entry.length; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    gt_type_append (self, items, entry.offset + i, out);
  }
  g_string_append_c (out, ']');
}

/* Pairs, not an object: keys may be of any type. */
static void
append_map (const GtType *self, duckdb_vector vector, duckdb_list_entry entry, GString *out)
{
  duckdb_vector pairs = duckdb_list_vector_get_child (vector);
  duckdb_vector keys = duckdb_struct_vector_get_child (pairs, 0);
  duckdb_vector values = duckdb_struct_vector_get_child (pairs, 1);
  g_string_append_c (out, '[');
  for (idx_t i = entry.offset; i < entry.offset + entry.length; i++) {
    g_string_append (out, i > entry.offset ? ",[" : "[");
    gt_type_append (self->children[0], keys, i, out);
    g_string_append_c (out, ',');
    gt_type_append (self->children[1], values, i, out);
    g_string_append_c (out, ']');
  }
  g_string_append_c (out, ']');
}

static void
append_member (const GtType *self, guint i, duckdb_vector vector, idx_t row, GString *out)
{
  if (self->names != NULL) {
    gt_json_append_string (out, self->names[i], strlen (self->names[i]));
    g_string_append_c (out, ':');
  }
  gt_type_append (self->children[i], vector, row, out);
}

/* An array when the members have no names: an object would have one key again and again. */
static void
append_struct (const GtType *self, duckdb_vector vector, idx_t row, GString *out)
{
  g_string_append_c (out, self->names != NULL ? '{' : '[');
  for (guint i = 0; i < self->n_children; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    append_member (self, i, duckdb_struct_vector_get_child (vector, i), row, out);
  }
  g_string_append_c (out, self->names != NULL ? '}' : ']');
}

/* A struct whose first member is the tag; the object has the member that is set. */
static void
append_union (const GtType *self, duckdb_vector vector, idx_t row, GString *out)
{
  const guint8 *tags = duckdb_vector_get_data (duckdb_struct_vector_get_child (vector, 0));
  g_string_append_c (out, '{');
  append_member (self, tags[row], duckdb_struct_vector_get_child (vector, 1 + tags[row]), row, out);
  g_string_append_c (out, '}');
}

static void
append_interval (GString *out, duckdb_interval value)
{
  g_string_append_printf (out, "{\"months\":%d,\"days\":%d,\"micros\":%" G_GINT64_FORMAT "}",
                          value.months, value.days, value.micros);
}

/* Numbers that every JSON reader holds exactly. FALSE: not one of these. */
static gboolean
append_number (const GtType *self, const void *data, idx_t row, GString *out)
{
  switch ((int) self->id) {
  case DUCKDB_TYPE_BOOLEAN:
    g_string_append (out, ((const bool *) data)[row] ? "true" : "false");
    return TRUE;
  case DUCKDB_TYPE_TINYINT:
    append_wide (out, ((const gint8 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_SMALLINT:
    append_wide (out, ((const gint16 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_INTEGER:
    append_wide (out, ((const gint32 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_BIGINT:
    append_wide (out, ((const gint64 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_UTINYINT:
    append_wide (out, ((const guint8 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_USMALLINT:
    append_wide (out, ((const guint16 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_UINTEGER:
    append_wide (out, ((const guint32 *) data)[row], 0);
    return TRUE;
  case DUCKDB_TYPE_FLOAT:
    append_double (out, (double) ((const float *) data)[row], TRUE);
    return TRUE;
  case DUCKDB_TYPE_DOUBLE:
    append_double (out, ((const double *) data)[row], FALSE);
    return TRUE;
  case DUCKDB_TYPE_INTERVAL:
    append_interval (out, ((const duckdb_interval *) data)[row]);
    return TRUE;
  default:
    return FALSE;
  }
}

/* Texts of fixed alphabet, between quotes. FALSE: not one of these. */
static gboolean
append_plain (const GtType *self, const void *data, idx_t row, GString *out)
{
  gint64 value = 0;
  switch ((int) self->id) {
  case DUCKDB_TYPE_UBIGINT:
    append_digits (out, ((const guint64 *) data)[row], FALSE, 0);
    return TRUE;
  case DUCKDB_TYPE_HUGEINT:
    append_wide (out, to_wide (((const duckdb_hugeint *) data)[row]), 0);
    return TRUE;
  case DUCKDB_TYPE_UHUGEINT:
    append_digits (out, (unsigned __int128) to_wide (((const duckdb_hugeint *) data)[row]), FALSE,
                   0);
    return TRUE;
  case DUCKDB_TYPE_DECIMAL:
    append_decimal (self, data, row, out);
    return TRUE;
  case DUCKDB_TYPE_DATE:
    append_date (out, ((const duckdb_date *) data)[row]);
    return TRUE;
  case DUCKDB_TYPE_TIME:
    value = ((const gint64 *) data)[row];
    append_clock (out, value / MICROS_PER_SEC, value % MICROS_PER_SEC, 6);
    return TRUE;
  case DUCKDB_TYPE_TIME_NS:
    value = ((const gint64 *) data)[row];
    append_clock (out, value / NANOS_PER_SEC, value % NANOS_PER_SEC, 9);
    return TRUE;
  case DUCKDB_TYPE_TIME_TZ:
    append_time_tz (out, ((const duckdb_time_tz *) data)[row]);
    return TRUE;
  case DUCKDB_TYPE_TIMESTAMP:
    append_timestamp (out, ((const gint64 *) data)[row], MICROS_PER_SEC, 6, "");
    return TRUE;
  case DUCKDB_TYPE_TIMESTAMP_TZ:
    append_timestamp (out, ((const gint64 *) data)[row], MICROS_PER_SEC, 6, "+00");
    return TRUE;
  case DUCKDB_TYPE_TIMESTAMP_S:
    append_timestamp (out, ((const gint64 *) data)[row], 1, 0, "");
    return TRUE;
  case DUCKDB_TYPE_TIMESTAMP_MS:
    append_timestamp (out, ((const gint64 *) data)[row], 1000, 3, "");
    return TRUE;
  case DUCKDB_TYPE_TIMESTAMP_NS:
    append_timestamp (out, ((const gint64 *) data)[row], NANOS_PER_SEC, 9, "");
    return TRUE;
  case (int) GT_TYPE_TIMESTAMP_TZ_NS:
    append_timestamp (out, ((const gint64 *) data)[row], NANOS_PER_SEC, 9, "+00");
    return TRUE;
  case DUCKDB_TYPE_UUID:
    append_uuid (out, ((const duckdb_hugeint *) data)[row]);
    return TRUE;
  default:
    return FALSE;
  }
}

/* What DuckDB stores as a string of bytes. */
static void
append_bytes (const GtType *self, duckdb_string_t *value, GString *out)
{
  const char *text = duckdb_string_t_data (value);
  gsize bytes = duckdb_string_t_length (*value);
  if (self->id == DUCKDB_TYPE_VARCHAR) {
    gt_json_append_string (out, text, bytes);
    return;
  }
  g_string_append_c (out, '"');
  if (self->id == DUCKDB_TYPE_BIT)
    append_bits (out, (const guint8 *) text, bytes);
  else if (self->id == DUCKDB_TYPE_BIGNUM)
    append_bignum (out, (const guint8 *) text, bytes);
  else
    append_blob (out, (const guint8 *) text, bytes);
  g_string_append_c (out, '"');
}

static void
append_nested_or_bytes (const GtType *self, duckdb_vector vector, void *data, idx_t row,
                        GString *out)
{
  switch ((int) self->id) {
  case DUCKDB_TYPE_LIST:
    append_items (self->children[0], duckdb_list_vector_get_child (vector),
                  ((duckdb_list_entry *) data)[row], out);
    break;
  case DUCKDB_TYPE_ARRAY:
    append_items (self->children[0], duckdb_array_vector_get_child (vector),
                  (duckdb_list_entry){ row * self->array_size, self->array_size }, out);
    break;
  case DUCKDB_TYPE_MAP:
    append_map (self, vector, ((duckdb_list_entry *) data)[row], out);
    break;
  case DUCKDB_TYPE_STRUCT:
    append_struct (self, vector, row, out);
    break;
  case DUCKDB_TYPE_UNION:
    append_union (self, vector, row, out);
    break;
  case DUCKDB_TYPE_ENUM:
    append_enum (self, data, row, out);
    break;
  default:
    append_bytes (self, (duckdb_string_t *) data + row, out);
    break;
  }
}

void
gt_type_append (const GtType *self, duckdb_vector vector, idx_t row, GString *out)
{
  uint64_t *validity = duckdb_vector_get_validity (vector);
  if (self->id == DUCKDB_TYPE_SQLNULL
      || (validity != NULL && !duckdb_validity_row_is_valid (validity, row))) {
    g_string_append (out, "null");
    return;
  }
  void *data = duckdb_vector_get_data (vector);
  if (append_number (self, data, row, out))
    return;
  gsize quote = out->len;
  g_string_append_c (out, '"');
  if (append_plain (self, data, row, out)) {
    g_string_append_c (out, '"');
    return;
  }
  g_string_truncate (out, quote);
  append_nested_or_bytes (self, vector, data, row, out);
}
