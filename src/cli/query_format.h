/* Rows as people and programs want them. Pure: text into a string that the caller empties. */
#pragma once

#include "cli/query_rows.h"

/* id, name, is made from rows here (else a file that DuckDB writes), help */
#define GT_QUERY_FORMATS(X)                                                                        \
  X (TABLE, "table", TRUE, "aligned, for reading; NULL is shown as NULL")                          \
  X (CSV, "csv", TRUE, "RFC 4180; NULL is empty, an empty text is \"\"")                           \
  X (JSON, "json", TRUE, "an array of objects")                                                    \
  X (NDJSON, "ndjson", TRUE, "one object a row, one row a line")                                   \
  X (MARKDOWN, "markdown", TRUE, "a table of GitHub's markdown")                                   \
  X (PARQUET, "parquet", FALSE, "the last statement's rows, written by DuckDB itself")

typedef enum {
#define X(id, name, rows, help) GT_QUERY_FORMAT_##id,
  GT_QUERY_FORMATS (X)
#undef X
      GT_QUERY_FORMAT_COUNT
} GtQueryFormat;

const char *gt_query_format_name (GtQueryFormat format);
gboolean gt_query_format_by_name (const char *name, GtQueryFormat *format);

/* How a table is drawn. */
typedef struct {
  guint screen_columns; /* rows are cut to it; 0 = they are not cut */
  gboolean ascii;       /* no box characters */
} GtQueryLook;

typedef struct _GtQueryWriter GtQueryWriter;

GtQueryWriter *gt_query_writer_new (GtQueryFormat format, GtQueryLook look);
void gt_query_writer_free (GtQueryWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtQueryWriter, gt_query_writer_free)

/* The sink to give to gt_query_rows_init(), with the writer as its data. */
extern const GtQuerySink gt_query_writer_sink;

/* What has been written and not been taken: truncate it then. A result that did not end is
 * left as it is: no closing bracket, no last line. */
GString *gt_query_writer_text (GtQueryWriter *self);

/* Rows that are held to measure a table's columns, when no more will come. */
void gt_query_writer_release (GtQueryWriter *self);
