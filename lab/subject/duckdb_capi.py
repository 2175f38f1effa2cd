"""DuckDB through its C API by ctypes: the same code on every build of Python, no extension module.

ctypes releases the GIL for the length of each call and never looks at signals: a Python signal handler
waits until the query is over.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_uint64, c_void_p
from typing import Optional, Union

_SUCCESS = 0

# duckdb_type: the kinds of value that are read as numbers; all others are read as text.
_INTEGER_TYPES = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 16, 32})
_FLOAT_TYPES = frozenset({10, 11})


class DuckDBError(RuntimeError):
    """What DuckDB said. Takes the message alone, so that it crosses a process boundary by pickle."""


class _Result(ctypes.Structure):
    """duckdb_result. Only its size and internal_data matter to callers."""

    _fields_ = [
        ("deprecated_column_count", c_uint64),
        ("deprecated_row_count", c_uint64),
        ("deprecated_rows_changed", c_uint64),
        ("deprecated_columns", c_void_p),
        ("deprecated_error_message", c_char_p),
        ("internal_data", c_void_p),
    ]


_HANDLE = POINTER(c_void_p)  # databases, connections and configurations are pointers to opaque structs

_PROTOTYPES = {
    "duckdb_create_config": (c_int, [_HANDLE]),
    "duckdb_set_config": (c_int, [c_void_p, c_char_p, c_char_p]),
    "duckdb_destroy_config": (None, [_HANDLE]),
    "duckdb_open_ext": (c_int, [c_char_p, _HANDLE, c_void_p, POINTER(c_void_p)]),
    "duckdb_close": (None, [_HANDLE]),
    "duckdb_connect": (c_int, [c_void_p, _HANDLE]),
    "duckdb_disconnect": (None, [_HANDLE]),
    "duckdb_query": (c_int, [c_void_p, c_char_p, POINTER(_Result)]),
    "duckdb_destroy_result": (None, [POINTER(_Result)]),
    "duckdb_result_error": (c_char_p, [POINTER(_Result)]),
    "duckdb_column_count": (c_uint64, [POINTER(_Result)]),
    "duckdb_row_count": (c_uint64, [POINTER(_Result)]),
    "duckdb_column_type": (c_int, [POINTER(_Result), c_uint64]),
    "duckdb_value_varchar": (c_void_p, [POINTER(_Result), c_uint64, c_uint64]),
    "duckdb_free": (None, [c_void_p]),
}

_loaded: dict[str, ctypes.CDLL] = {}


def load(path: str) -> ctypes.CDLL:
    """Loads the library once per process and declares what is used of it. Raises OSError when it cannot
    be loaded or is not DuckDB's."""
    library = _loaded.get(path)
    if library is None:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(library, name)
            except AttributeError as error:
                raise OSError(f"{path}: has no {name}: not DuckDB's library") from error
            function.restype, function.argtypes = result, arguments
        _loaded[path] = library
    return library


def _open(library: ctypes.CDLL, options: dict[str, str]) -> c_void_p:
    config, database, message = c_void_p(), c_void_p(), c_void_p()
    if library.duckdb_create_config(byref(config)) != _SUCCESS:
        raise DuckDBError("cannot create a configuration")
    try:
        for name, value in options.items():
            if library.duckdb_set_config(config, name.encode(), value.encode()) != _SUCCESS:
                raise DuckDBError(f"unknown configuration option {name}")
        if library.duckdb_open_ext(None, byref(database), config, byref(message)) != _SUCCESS:
            text = ctypes.string_at(message.value).decode(errors="replace") if message.value else "unknown error"
            library.duckdb_free(message)
            raise DuckDBError(f"cannot open a database in memory: {text}")
    finally:
        library.duckdb_destroy_config(byref(config))
    return database


def _first_value(library: ctypes.CDLL, result: _Result) -> Union[int, float, str, None]:
    if library.duckdb_column_count(byref(result)) < 1 or library.duckdb_row_count(byref(result)) < 1:
        raise DuckDBError("the query gave no value")
    text = library.duckdb_value_varchar(byref(result), 0, 0)
    if not text:
        return None
    try:
        value = ctypes.string_at(text).decode(errors="replace")
    finally:
        library.duckdb_free(text)
    kind = library.duckdb_column_type(byref(result), 0)
    if kind in _INTEGER_TYPES:
        return int(value)
    return float(value) if kind in _FLOAT_TYPES else value


def fetch_one(path: str, options: dict[str, str], sql: str) -> Union[int, float, str, None]:
    """Opens a database of its own in memory, runs the query, gives the first value of the first row and
    closes everything again, also when an exception comes in between."""
    library = load(path)
    database, connection, result = c_void_p(), c_void_p(), _Result()
    asked = False
    try:
        database = _open(library, options)
        if library.duckdb_connect(database, byref(connection)) != _SUCCESS:
            raise DuckDBError("cannot connect to the database in memory")
        asked = True
        if library.duckdb_query(connection, sql.encode(), byref(result)) != _SUCCESS:
            error: Optional[bytes] = library.duckdb_result_error(byref(result))
            raise DuckDBError(error.decode(errors="replace") if error else "unknown error")
        return _first_value(library, result)
    finally:
        if asked:
            library.duckdb_destroy_result(byref(result))
        library.duckdb_disconnect(byref(connection))
        library.duckdb_close(byref(database))
