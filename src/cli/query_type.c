#include "cli/query_type.h"

#include "cli/query_json.h"

#include <stdlib.h>
#include <string.h>

/* DuckDB's name of a type, what it is here. Other names are PLAIN. */
static const struct {
  const char *name;
  GtQueryKind kind;
} names[] = {
  { "TINYINT", GT_QUERY_NUMBER },  { "SMALLINT", GT_QUERY_NUMBER },
  { "INTEGER", GT_QUERY_NUMBER },  { "BIGINT", GT_QUERY_NUMBER },
  { "UTINYINT", GT_QUERY_NUMBER }, { "USMALLINT", GT_QUERY_NUMBER },
  { "UINTEGER", GT_QUERY_NUMBER }, { "FLOAT", GT_QUERY_NUMBER },
  { "DOUBLE", GT_QUERY_NUMBER },   { "UBIGINT", GT_QUERY_EXACT },
  { "HUGEINT", GT_QUERY_EXACT },   { "UHUGEINT", GT_QUERY_EXACT },
  { "BIGNUM", GT_QUERY_EXACT },    { "VARINT", GT_QUERY_EXACT },
  { "DECIMAL", GT_QUERY_EXACT },   { "INTERVAL", GT_QUERY_INTERVAL },
  { "JSON", GT_QUERY_JSON },       { "MAP", GT_QUERY_MAP },
  { "STRUCT", GT_QUERY_STRUCT },   { "UNION", GT_QUERY_STRUCT },
};

void
gt_query_type_free (GtQueryType *type)
{
  if (type == NULL)
    return;
  g_clear_pointer (&type->children, g_ptr_array_unref);
  g_clear_pointer (&type->names, g_ptr_array_unref);
  g_free (type);
}

static GtQueryType *
type_new (GtQueryKind kind)
{
  GtQueryType *type = g_new0 (GtQueryType, 1);
  type->kind = kind;
  type->rewritten = kind == GT_QUERY_EXACT || kind == GT_QUERY_JSON;
  return type;
}

static void
adopt (GtQueryType *parent, GtQueryType *child)
{
  if (parent->children == NULL)
    parent->children = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_query_type_free);
  g_ptr_array_add (parent->children, child);
  parent->rewritten = parent->rewritten || child->rewritten;
}

/* --- names of types ------------------------------------------------------------------------------
 */

static void
skip_spaces (const char **at)
{
  while (**at == ' ')
    ++*at;
}

/* "a name" or name; doubled quotes stand for one. NULL: neither. */
static char *
read_name (const char **at)
{
  skip_spaces (at);
  const char *start = *at;
  if (*start != '"') {
    *at += strcspn (start, " ,()[]");
    return *at > start ? g_strndup (start, (gsize) (*at - start)) : NULL;
  }
  GString *name = g_string_new (NULL);
  for (++*at; **at != '\0'; ++*at) {
    if (**at == '"' && (*at)[1] != '"')
      break;
    if (**at == '"')
      ++*at;
    g_string_append_c (name, **at);
  }
  if (**at == '"')
    ++*at;
  return g_string_free (name, FALSE);
}

static GtQueryKind
kind_of (const char *word, gsize bytes)
{
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strlen (names[i].name) == bytes && strncmp (names[i].name, word, bytes) == 0)
      return names[i].kind;
  return GT_QUERY_PLAIN;
}

static GtQueryType *read_type (const char **at, int depth);

/* Behind the opening parenthesis. FALSE: not as expected. */
static gboolean
read_members (GtQueryType *type, const char **at, int depth)
{
  if (type->kind == GT_QUERY_STRUCT)
    type->names = g_ptr_array_new_with_free_func (g_free);
  for (;;) {
    if (type->names != NULL) {
      char *name = read_name (at);
      if (name == NULL)
        return FALSE;
      g_ptr_array_add (type->names, name);
    }
    GtQueryType *child = read_type (at, depth + 1);
    if (child == NULL)
      return FALSE;
    adopt (type, child);
    skip_spaces (at);
    char next = *(*at)++;
    if (next != ',')
      return next == ')';
  }
}

/* (18,3) of a decimal, the words of an enum. */
static gboolean
skip_arguments (const char **at)
{
  gboolean quoted = FALSE;
  for (; **at != '\0'; ++*at) {
    if (**at == '\'')
      quoted = !quoted;
    else if (**at == ')' && !quoted) {
      ++*at;
      return TRUE;
    }
  }
  return FALSE;
}

static GtQueryType *
read_suffixes (GtQueryType *type, const char **at)
{
  while (**at == '[') {
    *at += strcspn (*at, "]");
    if (**at == ']')
      ++*at;
    GtQueryType *list = type_new (GT_QUERY_LIST);
    adopt (list, type);
    type = list;
  }
  return type;
}

/* NULL: not understood. */
static GtQueryType *
read_type (const char **at, int depth)
{
  skip_spaces (at);
  const char *word = *at;
  if (depth > 64 || !g_ascii_isalpha (*word))
    return NULL;
  *at += strspn (word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ");
  gsize bytes = (gsize) (*at - word);
  while (bytes > 0 && word[bytes - 1] == ' ')
    bytes--;
  g_autoptr (GtQueryType) type = type_new (kind_of (word, bytes));
  gboolean nested = type->kind == GT_QUERY_MAP || type->kind == GT_QUERY_STRUCT;
  if (nested != (**at == '(') && nested)
    return NULL;
  if (**at == '(') {
    ++*at;
    if (!(nested ? read_members (type, at, depth) : skip_arguments (at)))
      return NULL;
  }
  return read_suffixes (g_steal_pointer (&type), at);
}

GtQueryType *
gt_query_type_new (const char *name)
{
  const char *at = name;
  GtQueryType *type = read_type (&at, 0);
  if (type != NULL && *at == '\0')
    return type;
  gt_query_type_free (type);
  return type_new (GT_QUERY_PLAIN);
}

/* --- values --------------------------------------------------------------------------------------
 */

gboolean
gt_query_cell_is_null (GtQueryCell cell)
{
  return cell.bytes == 4 && memcmp (cell.text, "null", 4) == 0;
}

/* Behind the value that begins at `at`. */
static const char *
skip_value (const char *at, const char *end)
{
  int depth = 0;
  gboolean quoted = FALSE;
  for (; at < end; at++) {
    if (quoted) {
      if (*at == '\\')
        at++;
      else if (*at == '"')
        quoted = FALSE;
    } else if (*at == '"') {
      quoted = TRUE;
    } else if (*at == '[' || *at == '{') {
      depth++;
    } else if (*at == ']' || *at == '}') {
      if (depth-- == 0)
        return at;
    } else if ((*at == ',' || *at == ':') && depth == 0) {
      return at;
    }
  }
  return end;
}

gboolean
gt_query_cell_next (const char **at, const char *end, GtQueryCell *name, GtQueryCell *value)
{
  if (*at < end && **at == ',')
    ++*at;
  if (*at >= end || **at == ']' || **at == '}')
    return FALSE;
  const char *stop = skip_value (*at, end);
  GtQueryCell cell = { *at, (gsize) (stop - *at) };
  if (stop < end && *stop == ':') {
    if (name != NULL)
      *name = cell;
    const char *start = stop + 1;
    stop = skip_value (start, end);
    cell = (GtQueryCell){ start, (gsize) (stop - start) };
  }
  *value = cell;
  *at = stop;
  return TRUE;
}

static guint
read_hex (const char *text)
{
  guint value = 0;
  for (int i = 0; i < 4; i++)
    value = value * 16 + (guint) MAX (g_ascii_xdigit_value (text[i]), 0);
  return value;
}

/* Behind \u at `at`: the escape, or both of a pair. Returns how many bytes it is. */
static gsize
append_escaped (GString *out, const char *at, const char *end)
{
  if (end - at < 4)
    return 0;
  gunichar c = read_hex (at);
  gsize used = 4;
  if (c >= 0xD800 && c < 0xDC00 && end - at >= 10 && at[4] == '\\' && at[5] == 'u') {
    c = 0x10000 + ((c - 0xD800) << 10) + ((read_hex (at + 6) - 0xDC00) & 0x3FF);
    used = 10;
  }
  g_string_append_unichar (out, c);
  return used;
}

void
gt_query_append_unquoted (GString *out, GtQueryCell cell)
{
  static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
  if (cell.bytes < 2 || cell.text[0] != '"') {
    g_string_append_len (out, cell.text, (gssize) cell.bytes);
    return;
  }
  const char *end = cell.text + cell.bytes - 1;
  for (const char *at = cell.text + 1; at < end; at++) {
    const char *plain = at;
    while (at < end && *at != '\\')
      at++;
    g_string_append_len (out, plain, at - plain);
    if (at + 1 >= end)
      return;
    at++;
    const char *letter = strchr (letters, *at);
    if (*at == 'u')
      at += append_escaped (out, at + 1, end);
    else
      g_string_append_c (out, letter != NULL ? meant[letter - letters] : *at);
  }
}

void
gt_query_append_quoted (GString *out, const char *text, gsize bytes)
{
  g_string_append_c (out, '"');
  for (gsize i = 0; i < bytes; i++) {
    guchar c = (guchar) text[i];
    if (c == '"' || c == '\\')
      g_string_append_printf (out, "\\%c", c);
    else if (c == '\n')
      g_string_append (out, "\\n");
    else if (c < 0x20)
      g_string_append_printf (out, "\\u%04x", c);
    else
      g_string_append_c (out, (char) c);
  }
  g_string_append_c (out, '"');
}

/* DuckDB takes trailing commas, NaN and more; such a text stays a string. Line ends between values
 * would break a format of lines; within strings JSON has none. */
static void
append_embedded (GString *out, GtQueryCell cell)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gt_query_append_unquoted (text, cell);
  if (!gt_query_is_json (text->str, text->len)) {
    g_string_append_len (out, cell.text, (gssize) cell.bytes);
    return;
  }
  for (gsize i = 0; i < text->len; i++)
    g_string_append_c (out, (guchar) text->str[i] < 0x20 ? ' ' : text->str[i]);
}

static const GtQueryType *
child_of (const GtQueryType *type, guint i)
{
  return type->children->pdata[MIN (i, type->children->len - 1)];
}

static const GtQueryType *
member_of (const GtQueryType *type, GtQueryCell name, guint i)
{
  g_autoptr (GString) wanted = g_string_new (NULL);
  gt_query_append_unquoted (wanted, name);
  for (guint at = 0; at < type->names->len; at++)
    if (g_str_equal (type->names->pdata[at], wanted->str))
      return type->children->pdata[at];
  return child_of (type, i);
}

static void
append_nested (GString *out, const GtQueryType *type, GtQueryCell cell)
{
  const char *at = cell.text + 1, *end = cell.text + cell.bytes;
  GtQueryCell name = { NULL, 0 }, value;
  g_string_append_c (out, cell.text[0]);
  for (guint i = 0; gt_query_cell_next (&at, end, &name, &value); i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    if (type->kind == GT_QUERY_STRUCT && name.text != NULL) {
      g_string_append_len (out, name.text, (gssize) name.bytes);
      g_string_append_c (out, ':');
      gt_query_append_json (out, member_of (type, name, i), value);
    } else if (type->kind == GT_QUERY_MAP && value.text[0] == '[') {
      GtQueryType pair = { GT_QUERY_LIST, TRUE, type->children, NULL };
      append_nested (out, &pair, value);
    } else {
      gt_query_append_json (out, child_of (type, i), value);
    }
  }
  g_string_append_c (out, cell.text[0] == '{' ? '}' : ']');
}

void
gt_query_append_json (GString *out, const GtQueryType *type, GtQueryCell cell)
{
  if (!type->rewritten || gt_query_cell_is_null (cell))
    g_string_append_len (out, cell.text, (gssize) cell.bytes);
  else if (type->kind == GT_QUERY_EXACT)
    gt_query_append_unquoted (out, cell);
  else if (type->kind == GT_QUERY_JSON)
    append_embedded (out, cell);
  else
    append_nested (out, type, cell);
}

/* "1 year 2 months -3 days 00:00:01.5": as DuckDB's own text. */
static void
append_interval (GString *out, GtQueryCell cell)
{
  gint64 numbers[3] = { 0 }; /* months, days, micros: in that order */
  const char *at = cell.text + 1;
  GtQueryCell value;
  for (int i = 0; i < 3 && gt_query_cell_next (&at, cell.text + cell.bytes, NULL, &value); i++)
    numbers[i] = g_ascii_strtoll (value.text, NULL, 10);
  const struct {
    gint64 n;
    const char *name;
  } parts[] = { { numbers[0] / 12, "year" }, { numbers[0] % 12, "month" }, { numbers[1], "day" } };
  gsize before = out->len;
  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    if (parts[i].n != 0)
      g_string_append_printf (out, "%s%" G_GINT64_FORMAT " %s%s", out->len > before ? " " : "",
                              parts[i].n, parts[i].name, ABS (parts[i].n) == 1 ? "" : "s");
  if (numbers[2] == 0 && out->len > before)
    return;
  guint64 micros = numbers[2] < 0 ? -(guint64) numbers[2] : (guint64) numbers[2];
  guint64 seconds = micros / 1000000, rest = micros % 1000000;
  g_string_append_printf (out, "%s%s%02" G_GUINT64_FORMAT ":%02u:%02u",
                          out->len > before ? " " : "", numbers[2] < 0 ? "-" : "", seconds / 3600,
                          (guint) (seconds / 60 % 60), (guint) (seconds % 60));
  if (rest == 0)
    return;
  g_string_append_printf (out, ".%06u", (guint) rest);
  while (out->str[out->len - 1] == '0')
    g_string_truncate (out, out->len - 1);
}

void
gt_query_append_text (GString *out, const GtQueryType *type, GtQueryCell cell)
{
  if (gt_query_cell_is_null (cell))
    return;
  if (type->kind == GT_QUERY_INTERVAL)
    append_interval (out, cell);
  else if (type->children != NULL)
    gt_query_append_json (out, type, cell);
  else
    gt_query_append_unquoted (out, cell);
}
