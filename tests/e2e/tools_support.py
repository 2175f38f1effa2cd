"""What the tests of tools/ share: their paths, a cache and sources of a test's own, a web server on loopback."""
from __future__ import annotations

import configparser
import functools
import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "tools"
sys.path.insert(0, str(TOOLS / "lib"))
from gttools.duckdb_source import BESIDE, VERSION  # noqa: E402, F401, for who imports this

BUILD, FETCH, DEPS = TOOLS / "build-python", TOOLS / "fetch-duckdb", TOOLS / "deps"
CHECK = TOOLS / "lib" / "check_interpreter.py"
DUCKDB_CHECK = TOOLS / "lib" / "gttools" / "duckdb_check.py"
DEADLINE_SEC = 60
NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once

FAKE_CONFIGURE = """\
#!/bin/sh
for argument; do case $argument in --prefix=*) prefix=${argument#--prefix=};; esac; done
echo "checking nothing"
if [ -n "$FAKE_BLOCK" ]; then
  sleep 300 & child=$!
  echo $child $$ > "$FAKE_BLOCK.new" && mv "$FAKE_BLOCK.new" "$FAKE_BLOCK"
  wait $child
fi
cat > Makefile <<EOF
all:
install:
	mkdir -p \\$(DESTDIR)$prefix/bin
	ln -s $FAKE_PYTHON \\$(DESTDIR)$prefix/bin/python3
EOF
"""


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("GILOTINE_CACHE") or os.path.join(base, "gilotine"))


def read_ini(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, encoding="utf-8")
    return {name: dict(parser[name]) for name in parser.sections()}


@functools.lru_cache(maxsize=None)
def manifest() -> dict[str, dict[str, str]]:
    return read_ini(cache_dir() / "manifest.ini")


def entry(group: str) -> dict[str, str]:
    if group not in manifest():
        pytest.skip(f"the manifest has no [{group}]; `make interpreters` makes it")
    return manifest()[group]


def clean_environment(**extra: object) -> dict[str, str]:
    ours = ("GILOTINE_", "PYTHON", "DUCKDB_", "FAKE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    env.update({key: str(value) for key, value in extra.items()})
    return env


def run(*command: object, **env: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], env=clean_environment(**env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE_SEC)


def start(*command: object, **env: object) -> subprocess.Popen[str]:
    return subprocess.Popen([str(part) for part in command], env=clean_environment(**env), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + DEADLINE_SEC
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text(encoding="ascii")


def is_gone(pid: int) -> bool:
    """Ended, reaped or not: whoever inherits an orphan may take its time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def assert_nothing_half_made(cache: Path) -> None:
    assert list((cache / "python").glob("*")) == []
    assert list((cache / "tmp").glob("*")) == []
    assert not (cache / "manifest.ini").exists()


@pytest.fixture
def no_programs(tmp_path: Path) -> Path:
    folder = tmp_path / "no-programs"
    folder.mkdir()
    return folder


@pytest.fixture
def fake_source(tmp_path: Path) -> Path:
    """CPython in name only; its version is the real one's, so that the self-test can pass."""
    folder = tmp_path / "cpython"
    (folder / "Include").mkdir(parents=True)
    (folder / "Include" / "patchlevel.h").write_text(f'#define PY_VERSION  "{entry("gil")["version"]}"\n', encoding="ascii")
    configure = folder / "configure"
    configure.write_text(FAKE_CONFIGURE, encoding="ascii")
    configure.chmod(0o755)
    return folder


@pytest.fixture
def fake_env(tmp_path: Path, fake_source: Path) -> dict[str, object]:
    return {"GILOTINE_CACHE": tmp_path / "cache", "PYTHON_SOURCE": fake_source,
            "FAKE_PYTHON": Path(entry("gil")["prefix"]) / "bin" / "python3"}


@pytest.fixture
def web(tmp_path: Path):
    """A web server on the loopback; answers (folder it serves, its address)."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(folder), **options)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(DEADLINE_SEC)
    server.server_close()
