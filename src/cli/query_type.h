/* Types of result columns, from their names, and values as JSON gives them to people and programs.
 * Pure. What comes in is the executor's JSON (docs/executor-wire.md, "Rows"). */
#pragma once

#include <glib.h>

/* What a value is made of. */
typedef enum {
  GT_QUERY_PLAIN,    /* JSON as it comes */
  GT_QUERY_NUMBER,   /* comes as a JSON number */
  GT_QUERY_EXACT,    /* a number that comes as a string, so that nobody rounds it */
  GT_QUERY_INTERVAL, /* comes as an object of months, days, micros */
  GT_QUERY_JSON,     /* a string that holds JSON */
  GT_QUERY_LIST,
  GT_QUERY_MAP,   /* comes as a list of pairs */
  GT_QUERY_STRUCT /* and UNION; comes as a list when its members have no names */
} GtQueryKind;

typedef struct _GtQueryType GtQueryType;

struct _GtQueryType {
  GtQueryKind kind;
  gboolean rewritten;  /* its JSON for people differs from what comes, or a member's does */
  GPtrArray *children; /* of GtQueryType: a list's one, a map's two, a struct's members; or NULL */
  GPtrArray *names;    /* of a struct's members; or NULL */
};

/* "STRUCT(a DECIMAL(18,3), b VARCHAR)[]" as a tree. A name that is not understood is PLAIN. */
GtQueryType *gt_query_type_new (const char *name);
void gt_query_type_free (GtQueryType *type);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtQueryType, gt_query_type_free)

/* One value: the executor's JSON, `bytes` long, valid. */
typedef struct {
  const char *text;
  gsize bytes;
} GtQueryCell;

gboolean gt_query_cell_is_null (GtQueryCell cell);

/* The next value of an array or object at *at (which stands behind the opening bracket, or behind
 * the last value). FALSE at the closing one. `name` (may be NULL) is an object's member, with its
 * quotes. */
gboolean gt_query_cell_next (const char **at, const char *end, GtQueryCell *name,
                             GtQueryCell *value);

/* Appends what a JSON string stands for, or the text itself when it is none. */
void gt_query_append_unquoted (GString *out, GtQueryCell cell);

/* Appends text as a JSON string. */
void gt_query_append_quoted (GString *out, const char *text, gsize bytes);

/* Appends the value as a JSON document's reader expects it: numbers are numbers, JSON is embedded
 * as it is written when it is JSON for everybody, intervals stay objects. In one line. */
void gt_query_append_json (GString *out, const GtQueryType *type, GtQueryCell cell);

/* Appends the value for people and CSV: strings without quotes, intervals as DuckDB writes them,
 * lists and structs as JSON. Nothing for NULL. */
void gt_query_append_text (GString *out, const GtQueryType *type, GtQueryCell cell);
