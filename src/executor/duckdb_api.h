/* DuckDB's C API, and the one place where 1.5 and 2.0 are told apart. gilotine-duckdb is built with
 * the header and the library of the same version; the sources are the same for both, and there is
 * no #if. What differs, and who takes care of it:
 *
 *   types      2.0's header knows one more: GT_TYPE_TIMESTAMP_TZ_NS.
 *   streams    1.5 computes the first rows of a query when it is executed. 2.0 knows the columns at
 *              once and computes when the first chunk is fetched: only then is there anything to
 *              send, for both (duckdb_sender.c).
 *   unfinished Of 2.0 a connection takes no other statement before a stream is read to its end or
 *              destroyed: each result is destroyed before the next statement (duckdb_run.c).
 *   commits    A statement that commits by itself does so after its last task in 1.5 and within it
 *              in 2.0: a transaction of ours around it says where the commit begins (duckdb_run.c).
 *   spilling   2.0 names its files by PID, 1.5 gives all processes the same names: neither is
 *              unique among executors that are PID 1 of their own namespaces. Each has a folder of
 *              its own (tempdir.h), and DuckDB is asked at the start whether it uses it
 *              (duckdb_session.c). */
#pragma once

#include <duckdb.h>

#define GT_TYPE_TIMESTAMP_TZ_NS ((duckdb_type) 42)
