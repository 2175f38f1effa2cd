"""Run as a program with (library, version of the API in its header): loads libduckdb and runs a query through its C API. A
process of its own, so that a broken library takes nothing with it."""
from __future__ import annotations

import ctypes
import re
import sys


class Result(ctypes.Structure):
    """duckdb_result of duckdb.h: three deprecated counters, three pointers."""
    _fields_ = [("column_count", ctypes.c_uint64), ("row_count", ctypes.c_uint64), ("rows_changed", ctypes.c_uint64),
                ("columns", ctypes.c_void_p), ("message", ctypes.c_void_p), ("internal", ctypes.c_void_p)]


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def main(path: str, header: str) -> None:
    duck = ctypes.CDLL(path)
    duck.duckdb_library_version.restype = ctypes.c_char_p
    duck.duckdb_value_int64.restype = ctypes.c_int64
    duck.duckdb_value_int64.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    version = duck.duckdb_library_version().decode().lstrip("v")
    # The API is numbered by the version that changed it last: DuckDB 2.0.0 has API 1.5.6. A newer one lacks functions.
    if header and numbers(header) > numbers(version):
        sys.exit(f"the library is {version}, its header is {header}: newer")
    database, connection, result = ctypes.c_void_p(), ctypes.c_void_p(), Result()
    if duck.duckdb_open(None, ctypes.byref(database)) != 0:
        sys.exit("duckdb_open failed")
    if duck.duckdb_connect(database, ctypes.byref(connection)) != 0:
        sys.exit("duckdb_connect failed")
    if duck.duckdb_query(connection, b"select 42", ctypes.byref(result)) != 0:
        sys.exit("`select 42` failed")
    if duck.duckdb_value_int64(ctypes.byref(result), 0, 0) != 42:
        sys.exit("`select 42` did not answer 42")
    duck.duckdb_destroy_result(ctypes.byref(result))
    duck.duckdb_disconnect(ctypes.byref(connection))
    duck.duckdb_close(ctypes.byref(database))
    print(version)


main(sys.argv[1], sys.argv[2])
