"""The query under test.

Imports no Celery: children started by spawn or forkserver import this module and nothing more, and the
query function is undecorated, so that it can be pickled by name.
"""

import subprocess
from typing import NamedTuple, Union

import spill

DRIVERS = ("capi", "module")

# Cost is proportional to {rows} in both; neither is folded to a constant.
QUERIES = {
    # Looks at DuckDB's interrupt flag every few thousand rows.
    "interruptible": "select sum(hash(i)) from range({rows}) t(i)",
    # One call of one function over one row: DuckDB never gets to look. Two strings of length sqrt(rows)
    # make rows cells.
    "stubborn": (
        "select max(levenshtein(repeat('ab', cast(sqrt({rows}) / 2 as integer)),"
        " repeat('ba', cast(sqrt({rows}) / 2 as integer) + i::integer))) from range(1) t(i)"
    ),
}


class Spec(NamedTuple):
    """All that a query needs, handed to the child as an argument instead of by its environment."""

    driver: str
    query: str  # a name in QUERIES, or SQL with {rows}
    threads: int
    library: str  # of DuckDB's C API; empty for the module
    spill_prefix: str  # of the names of spill folders, see spill.py
    orphan: bool = False  # leave one behind before the query, see leave_orphan()

    def sql(self, rows: int) -> str:
        return QUERIES.get(self.query, self.query).replace("{rows}", str(rows))

    def options(self) -> dict[str, str]:
        return {"threads": str(self.threads), "temp_directory": spill.folder(self.spill_prefix)}


class WrongResult(TypeError):
    """The query came back with something that cannot be its answer."""


def load_driver(driver: str, library: str) -> None:
    """Loads what the driver needs, so that it is not loaded under the limit. Raises OSError, ImportError."""
    if driver == "capi":
        import duckdb_capi

        duckdb_capi.load(library)
    else:
        import duckdb  # noqa: F401


def _fetch_by_module(spec: Spec, rows: int) -> Union[int, float, str, None]:
    import duckdb

    connection = duckdb.connect(":memory:", config=spec.options())
    try:
        connection.execute("set enable_progress_bar=false")
        row = connection.execute(spec.sql(rows)).fetchone()
    finally:
        connection.close()
    if not row:
        raise WrongResult("the query gave no value")
    return row[0]


def leave_orphan() -> None:
    """A process whose parent ends at once, and which ends soon after: whoever adopts it should reap it."""
    quiet = subprocess.DEVNULL
    subprocess.run(["/bin/sh", "-c", "sleep 0.05 &"], stdin=quiet, stdout=quiet, stderr=quiet, check=True)


def run_query(spec: Spec, rows: int) -> str:
    """Runs the query to its end and gives its first value as text."""
    if spec.orphan:
        leave_orphan()
    if spec.driver == "capi":
        import duckdb_capi

        value = duckdb_capi.fetch_one(spec.library, spec.options(), spec.sql(rows))
    else:
        value = _fetch_by_module(spec, rows)
    if spec.query in QUERIES and type(value) is not int:
        raise WrongResult(f"the {spec.query} query gave {value!r} instead of a whole number")
    return str(value)
