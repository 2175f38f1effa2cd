/* A value of DuckDB out of a vector of a result. */
#pragma once

#include "executor/duckdb_api.h"

/* To be destroyed. NULL: a type of which DuckDB's API makes no values. */
duckdb_value gt_cell_value (duckdb_logical_type type, duckdb_vector vector, idx_t row);
