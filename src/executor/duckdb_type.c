#include "executor/duckdb_type.h"

/* Types without parameters: id, SQL name. */
#define SIMPLE_TYPES(X)                                                                            \
  X (DUCKDB_TYPE_BOOLEAN, "BOOLEAN")                                                               \
  X (DUCKDB_TYPE_TINYINT, "TINYINT")                                                               \
  X (DUCKDB_TYPE_SMALLINT, "SMALLINT")                                                             \
  X (DUCKDB_TYPE_INTEGER, "INTEGER")                                                               \
  X (DUCKDB_TYPE_BIGINT, "BIGINT")                                                                 \
  X (DUCKDB_TYPE_UTINYINT, "UTINYINT")                                                             \
  X (DUCKDB_TYPE_USMALLINT, "USMALLINT")                                                           \
  X (DUCKDB_TYPE_UINTEGER, "UINTEGER")                                                             \
  X (DUCKDB_TYPE_UBIGINT, "UBIGINT")                                                               \
  X (DUCKDB_TYPE_HUGEINT, "HUGEINT")                                                               \
  X (DUCKDB_TYPE_UHUGEINT, "UHUGEINT")                                                             \
  X (DUCKDB_TYPE_BIGNUM, "BIGNUM")                                                                 \
  X (DUCKDB_TYPE_FLOAT, "FLOAT")                                                                   \
  X (DUCKDB_TYPE_DOUBLE, "DOUBLE")                                                                 \
  X (DUCKDB_TYPE_DATE, "DATE")                                                                     \
  X (DUCKDB_TYPE_TIME, "TIME")                                                                     \
  X (DUCKDB_TYPE_TIME_NS, "TIME_NS")                                                               \
  X (DUCKDB_TYPE_TIME_TZ, "TIME WITH TIME ZONE")                                                   \
  X (DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP")                                                           \
  X (DUCKDB_TYPE_TIMESTAMP_S, "TIMESTAMP_S")                                                       \
  X (DUCKDB_TYPE_TIMESTAMP_MS, "TIMESTAMP_MS")                                                     \
  X (DUCKDB_TYPE_TIMESTAMP_NS, "TIMESTAMP_NS")                                                     \
  X (DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMP WITH TIME ZONE")                                         \
  X (GT_TYPE_TIMESTAMP_TZ_NS, "TIMESTAMP_NS WITH TIME ZONE")                                       \
  X (DUCKDB_TYPE_INTERVAL, "INTERVAL")                                                             \
  X (DUCKDB_TYPE_VARCHAR, "VARCHAR")                                                               \
  X (DUCKDB_TYPE_BLOB, "BLOB")                                                                     \
  X (DUCKDB_TYPE_UUID, "UUID")                                                                     \
  X (DUCKDB_TYPE_BIT, "BIT")                                                                       \
  X (DUCKDB_TYPE_SQLNULL, "NULL")

static const char *
simple_name (duckdb_type id)
{
  static const struct {
    duckdb_type id;
    const char *name;
  } names[] = {
#define X(id, name) { id, name },
    SIMPLE_TYPES (X)
#undef X
  };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].id == id)
      return names[i].name;
  return NULL;
}

void
gt_type_free (GtType *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_children; i++)
    gt_type_free (self->children[i]);
  g_free (self->children);
  g_strfreev (self->names);
  g_strfreev (self->dictionary);
  g_free (self->name);
  g_free (self);
}

static gboolean
add_child (GtType *self, guint i, duckdb_logical_type logical, char **unsupported)
{
  self->children[i] = gt_type_new (logical, unsupported);
  duckdb_destroy_logical_type (&logical);
  return self->children[i] != NULL;
}

static void
make_room (GtType *self, guint n_children)
{
  self->n_children = n_children;
  self->children = g_new0 (GtType *, n_children);
}

static char *
member_name (const GtType *self, duckdb_logical_type logical, guint i)
{
  char *theirs = self->id == DUCKDB_TYPE_UNION ? duckdb_union_type_member_name (logical, i)
                                               : duckdb_struct_type_child_name (logical, i);
  char *name = g_strdup (theirs);
  duckdb_free (theirs);
  return name;
}

/* As SQL quotes names: a quote in it is doubled. */
static void
append_name (GString *out, const char *name)
{
  g_string_append_c (out, '"');
  for (; *name != '\0'; name++) {
    if (*name == '"')
      g_string_append_c (out, '"');
    g_string_append_c (out, *name);
  }
  g_string_append_c (out, '"');
}

/* As of row(1, 'x'). */
static gboolean
has_no_names (const GtType *self)
{
  for (guint i = 0; i < self->n_children; i++)
    if (*self->names[i] != '\0')
      return FALSE;
  return TRUE;
}

static gboolean
set_members (GtType *self, duckdb_logical_type logical, char **unsupported)
{
  gboolean is_union = self->id == DUCKDB_TYPE_UNION;
  idx_t n_members = is_union ? duckdb_union_type_member_count (logical)
                             : duckdb_struct_type_child_count (logical);
  g_autoptr (GString) name = g_string_new (is_union ? "UNION(" : "STRUCT(");
  make_room (self, (guint) n_members);
  self->names = g_new0 (char *, n_members + 1);
  for (guint i = 0; i < self->n_children; i++) {
    self->names[i] = member_name (self, logical, i);
    if (!add_child (self, i,
                    is_union ? duckdb_union_type_member_type (logical, i)
                             : duckdb_struct_type_child_type (logical, i),
                    unsupported))
      return FALSE;
    g_string_append (name, i == 0 ? "" : ", ");
    append_name (name, self->names[i]);
    g_string_append_printf (name, " %s", self->children[i]->name);
  }
  g_string_append_c (name, ')');
  self->name = g_string_free (g_steal_pointer (&name), FALSE);
  if (has_no_names (self))
    g_clear_pointer (&self->names, g_strfreev);
  return TRUE;
}

static void
set_enum (GtType *self, duckdb_logical_type logical)
{
  guint size = duckdb_enum_dictionary_size (logical);
  self->internal = duckdb_enum_internal_type (logical);
  self->dictionary = g_new0 (char *, size + 1);
  self->name = g_strdup ("ENUM");
  for (guint i = 0; i < size; i++) {
    char *theirs = duckdb_enum_dictionary_value (logical, i);
    self->dictionary[i] = g_strdup (theirs);
    duckdb_free (theirs);
  }
}

static gboolean
set_list (GtType *self, duckdb_logical_type logical, char **unsupported)
{
  gboolean array = self->id == DUCKDB_TYPE_ARRAY;
  make_room (self, 1);
  if (!add_child (self, 0,
                  array ? duckdb_array_type_child_type (logical)
                        : duckdb_list_type_child_type (logical),
                  unsupported))
    return FALSE;
  self->array_size = array ? duckdb_array_type_array_size (logical) : 0;
  self->name = array ? g_strdup_printf ("%s[%lu]", self->children[0]->name, self->array_size)
                     : g_strdup_printf ("%s[]", self->children[0]->name);
  return TRUE;
}

static gboolean
set_map (GtType *self, duckdb_logical_type logical, char **unsupported)
{
  make_room (self, 2);
  if (!add_child (self, 0, duckdb_map_type_key_type (logical), unsupported)
      || !add_child (self, 1, duckdb_map_type_value_type (logical), unsupported))
    return FALSE;
  self->name = g_strdup_printf ("MAP(%s, %s)", self->children[0]->name, self->children[1]->name);
  return TRUE;
}

static void
set_decimal (GtType *self, duckdb_logical_type logical)
{
  self->width = duckdb_decimal_width (logical);
  self->scale = duckdb_decimal_scale (logical);
  self->internal = duckdb_decimal_internal_type (logical);
  self->name = g_strdup_printf ("DECIMAL(%u,%u)", self->width, self->scale);
}

/* FALSE: not supported. */
static gboolean
set_details (GtType *self, duckdb_logical_type logical, char **unsupported)
{
  switch ((int) self->id) {
  case DUCKDB_TYPE_DECIMAL:
    set_decimal (self, logical);
    return TRUE;
  case DUCKDB_TYPE_ENUM:
    set_enum (self, logical);
    return TRUE;
  case DUCKDB_TYPE_LIST:
  case DUCKDB_TYPE_ARRAY:
    return set_list (self, logical, unsupported);
  case DUCKDB_TYPE_MAP:
    return set_map (self, logical, unsupported);
  case DUCKDB_TYPE_STRUCT:
  case DUCKDB_TYPE_UNION:
    return set_members (self, logical, unsupported);
  default:
    break;
  }
  char *alias = duckdb_logical_type_get_alias (logical); /* "JSON" is a VARCHAR */
  self->name
      = g_strdup (simple_name (self->id) != NULL && alias != NULL ? alias : simple_name (self->id));
  if (self->name == NULL)
    *unsupported = g_strdup_printf ("type number %d%s%s", (int) self->id, alias ? ", " : "",
                                    alias ? alias : "");
  duckdb_free (alias);
  return self->name != NULL;
}

GtType *
gt_type_new (duckdb_logical_type logical, char **unsupported)
{
  GtType *self = g_new0 (GtType, 1);
  self->id = duckdb_get_type_id (logical);
  if (set_details (self, logical, unsupported))
    return self;
  gt_type_free (self);
  return NULL;
}
