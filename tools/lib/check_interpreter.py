"""Run by the interpreter under test: does it have what the experiments need? Prints one JSON object; `problems` is empty
when all is well. Every start method of multiprocessing is tried by really running a child."""
import json
import sys
import sysconfig

CHILD_SEC = 30


def child(connection):
    connection.send(6 * 7)
    connection.close()


def check_ssl():
    import ssl
    ssl.create_default_context()
    return ssl.OPENSSL_VERSION


def check_sqlite3():
    import sqlite3
    with sqlite3.connect(":memory:") as db:
        assert db.execute("select 42").fetchone() == (42,)
    return sqlite3.sqlite_version


def check_ctypes():
    import ctypes
    import os
    assert ctypes.CDLL(None).getpid() == os.getpid()
    return "works"


def check_compression():
    import bz2
    import lzma
    import zlib
    for module in (bz2, lzma, zlib):
        assert module.decompress(module.compress(b"gilotine")) == b"gilotine"
    return "bz2 lzma zlib"


def check_multiprocessing():
    import multiprocessing
    works = []
    for method in ("fork", "forkserver", "spawn"):
        context = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,))
        process.start()
        theirs.close()
        assert ours.poll(CHILD_SEC), f"a child started by {method} gave no answer in {CHILD_SEC} s"
        assert ours.recv() == 42, f"a child started by {method} gave a wrong answer"
        process.join(CHILD_SEC)
        assert process.exitcode == 0, f"a child started by {method} ended with {process.exitcode}"
        works.append(method)
    return " ".join(works)


def main():
    facts = {
        "version": sys.version.split()[0],
        "prefix": sys.prefix,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }
    problems = {}
    for name, check in (("ssl", check_ssl), ("sqlite3", check_sqlite3), ("ctypes", check_ctypes),
                        ("compression", check_compression), ("multiprocessing", check_multiprocessing)):
        try:
            facts[name] = check()
        except Exception as error:
            problems[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"facts": facts, "problems": problems}))


if __name__ == "__main__":
    main()
