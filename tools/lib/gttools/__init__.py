"""What tools/build-python and tools/fetch-duckdb share. Standard library only, Python 3.9 or newer."""
