/* How a census looks: a table for people, one JSON object a line for programs. */
#pragma once

#include "os/census.h"

#include <glib.h>

typedef struct {
  gboolean color; /* the terminal takes escape sequences */
  guint columns;  /* cut lines to this width; 0: do not */
  gboolean pss;   /* columns that were asked for */
  gboolean signals;
  gboolean rate; /* CPU during the last interval */
} GtCensusView;

/* `interval_ns`: since the previous pass; 0 for the first. Both append; every text is escaped. */
void gt_census_view_table (const GtCensusResult *result, const GtCensusView *view,
                           gint64 interval_ns, GString *out);
void gt_census_view_json (const GtCensusResult *result, const GtCensusView *view, GString *out);
