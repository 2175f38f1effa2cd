/* The executor's stream of chunks, taken apart into results, rows and cells. Pure. */
#pragma once

#include "cli/query_type.h"

typedef struct {
  char *name;
  char *type_name;
  GtQueryType *type;
} GtQueryColumn;

void gt_query_column_free (GtQueryColumn *column);

/* Who gets them. A result that was begun and not ended is not complete. */
typedef struct {
  void (*begin) (gpointer data, const GPtrArray *columns); /* of GtQueryColumn; valid until end */
  void (*row) (gpointer data, const GtQueryCell *cells);   /* one for each column; valid within */
  void (*end) (gpointer data, guint64 rows);
} GtQuerySink;

typedef struct {
  const GtQuerySink *sink;
  gpointer data;
  GPtrArray *columns; /* of the open result; NULL = none is open */
  GtQueryCell *cells;
  GString *pending; /* a row that is not whole yet */
  guint64 rows;     /* of the open result */
  guint64 all_rows;
} GtQueryRows;

void gt_query_rows_init (GtQueryRows *self, const GtQuerySink *sink, gpointer data);
void gt_query_rows_clear (GtQueryRows *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtQueryRows, gt_query_rows_clear)

/* One chunk; `format` is "schema" or "rows". FALSE: not what the protocol says. */
gboolean gt_query_rows_chunk (GtQueryRows *self, const char *format, const char *body, gsize bytes,
                              GError **error);

/* All was sent: the open result is complete. */
void gt_query_rows_finish (GtQueryRows *self);
