/* Between query_format.c and query_table.c. */
#pragma once

#include "cli/query_format.h"

/* A table's first rows are kept to measure its columns. */
typedef struct {
  GPtrArray *rows; /* of GStrv: texts, one a column; NULL once the head was printed */
  gsize bytes;     /* in them */
  guint *widths;   /* in columns of a screen; NULL before */
  GArray *shown;   /* of gint: columns in order, -1 = a gap for those left out; NULL before */
} GtQueryTable;

struct _GtQueryWriter {
  GtQueryFormat format;
  GtQueryLook look;
  GString *out;
  guint64 results; /* begun */
  guint64 rows;    /* of this result */
  const GPtrArray *columns;
  GStrv keys; /* of objects: "name": with its colon, told apart when columns have one name */
  GtQueryTable table;
};

gboolean gt_query_type_is_number (const GtQueryType *type);

void gt_query_table_begin (GtQueryWriter *self);
void gt_query_table_row (GtQueryWriter *self, const GtQueryCell *cells);
void gt_query_table_end (GtQueryWriter *self, guint64 rows);
void gt_query_table_release (GtQueryWriter *self);
void gt_query_table_clear (GtQueryTable *table);
