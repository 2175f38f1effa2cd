/* SQL as text, split by DuckDB's own parser. */
#pragma once

#include "executor/duckdb_api.h"

#include <glib.h>

/* The texts of the `n_statements` statements that DuckDB finds in `sql`, without their semicolons,
 * each checked by DuckDB's own parser; NULL when they cannot be told apart. */
GStrv gt_sql_split (duckdb_connection connection, const char *sql, idx_t n_statements);
