"""How many rows make the query take the time that is wanted, on this machine, now.

Prints one line: rows=N seconds=S. Used by `gilotine lab` when DUCKDB_ROWS is not given.
"""

import argparse
import sys
import time

from query import Spec, run_query

FIRST_ROWS = 1_000_000
GROWTH = 4
# Shorter runs are mostly start-up; most of the wanted time would be wasted on finding it.
LONG_ENOUGH = 0.4
MOST_ROWS = 10**13


def measure(spec: Spec, rows: int) -> float:
    """Seconds that the query would take with its CPUs to itself: CPU time, since others may be at work."""
    started = time.process_time()
    run_query(spec, rows)
    return (time.process_time() - started) / spec.threads


def calibrate(spec: Spec, wanted_seconds: float) -> tuple[int, float]:
    rows = FIRST_ROWS
    while (elapsed := measure(spec, rows)) < min(LONG_ENOUGH, wanted_seconds) and rows < MOST_ROWS:
        rows *= GROWTH
    elapsed = min(elapsed, measure(spec, rows), measure(spec, rows))
    return max(1, round(rows * wanted_seconds / elapsed)), elapsed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--query", required=True)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--library", default="", help="of DuckDB's C API, for the driver capi")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spill", required=True, help="folder for a spill folder of its own")
    args = parser.parse_args()
    spec = Spec(args.driver, args.query, args.threads, args.library, args.spill)
    try:
        rows, elapsed = calibrate(spec, args.seconds)
    except Exception as error:  # one line for the caller, whatever it was
        print(f"error={type(error).__name__}: {error}")
        return 1
    print(f"rows={rows} seconds={elapsed:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
