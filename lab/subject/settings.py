"""What the environment asks of the subject, checked once, before the worker starts."""

import configparser
import logging
import math
import os
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, TypeVar
from urllib.parse import unquote

from query import DRIVERS, QUERIES, Spec

START_METHODS = ("fork", "forkserver", "spawn")
SIGTERM_CHOICES = ("inherit", "default")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True, "off": False, "on": True}

# sun_path holds 108 bytes with the closing NUL.
_SOCKET_PATH_BYTES = 107

T = TypeVar("T")


class SettingsError(ValueError):
    """A wrong setting, in one line that says what to write instead."""


@dataclass(frozen=True)
class Settings:
    mode: str  # a label, shown as mode=; changes nothing
    use_signals: bool
    cleanup_children: bool
    start_method: Optional[str]  # None: the interpreter's own default
    reset_sigterm: bool  # start children without Celery's SIGTERM handler
    orphan: bool  # each query leaves an orphan
    cleanup_grace: float  # seconds between terminate and kill
    settle: float  # seconds children are given to die before they are counted
    driver: str
    query: str
    threads: int
    library: str
    broker_url: str
    broker_folder: Optional[str]  # of a filesystem broker
    result_backend: str
    log_level: int
    trace: Optional[str]

    def spec(self, spill_prefix: str) -> Spec:
        return Spec(self.driver, self.query, self.threads, self.library, spill_prefix, self.orphan)


class _Reader:
    """Takes variables from an environment. An empty one counts as absent, as compose files write it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name) or default

    def optional(self, name: str) -> Optional[str]:
        return self._environ.get(name) or None

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise SettingsError(f"{name}={value}: must be one of {', '.join(choices)}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.text(name, "0")
        if value.lower() not in _BOOLEANS:
            raise SettingsError(f"{name}={value}: must be one of {', '.join(_BOOLEANS)}")
        return _BOOLEANS[value.lower()]

    def number(self, name: str, default: str, parse: Callable[[str], T], good: Callable[[T], bool], what: str) -> T:
        value = self.text(name, default)
        try:
            number = parse(value)
        except ValueError:
            raise SettingsError(f"{name}={value}: must be {what}") from None
        if not good(number):
            raise SettingsError(f"{name}={value}: must be {what}")
        return number

    def seconds(self, name: str, default: str) -> float:
        return self.number(name, default, float, lambda n: math.isfinite(n) and 0 <= n <= 60, "seconds from 0 to 60")


def cache_folder(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return environ.get("GILOTINE_CACHE") or os.path.join(base, "gilotine")


def _library(reader: _Reader, environ: Mapping[str, str]) -> str:
    """DuckDB's library: the one named, else the one that was fetched into the cache."""
    path = reader.optional("DUCKDB_LIBRARY")
    if path is None:
        manifest = configparser.ConfigParser(interpolation=None)
        name = os.path.join(cache_folder(environ), "manifest.ini")
        try:
            manifest.read(name)
        except configparser.Error as error:
            raise SettingsError(f"{name}: {str(error).splitlines()[0]}") from None
        path = manifest.get("duckdb", "library", fallback=None)
        if path is None:
            raise SettingsError(f"DUCKDB_LIBRARY is not set and {name} names no library: run tools/fetch-duckdb")
    if not os.path.isfile(path):
        raise SettingsError(f"DUCKDB_LIBRARY={path}: no such file")
    return path


def _query(reader: _Reader) -> str:
    value = reader.text("DUCKDB_QUERY", "interruptible")
    if value not in QUERIES and "{rows}" not in value:
        raise SettingsError(f"DUCKDB_QUERY={value}: must be one of {', '.join(QUERIES)}, or SQL with {{rows}} in it")
    return value


def _broker_folder(url: str) -> Optional[str]:
    """DIR of filesystem:///DIR, None for other brokers."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise SettingsError(f"CELERY_BROKER_URL={url}: must be a URL, such as amqp://user@host:5672//")
    if scheme != "filesystem":
        return None
    if not rest.startswith("/") or not rest.strip("/"):
        raise SettingsError(f"CELERY_BROKER_URL={url}: must be filesystem:///DIR with an absolute folder")
    return unquote(rest)


def _trace(reader: _Reader) -> Optional[str]:
    path = reader.optional("GILOTINE_TRACE")
    if path is not None and len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise SettingsError(f"GILOTINE_TRACE={path}: longer than the {_SOCKET_PATH_BYTES} bytes of a socket's path")
    return path


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    reader = _Reader(environ)
    driver = reader.choice("DUCKDB_DRIVER", DRIVERS, "capi")
    start_method = reader.optional("MP_START_METHOD")
    broker_url = reader.text("CELERY_BROKER_URL", "amqp://guest:guest@rabbitmq:5672//")
    level = reader.text("LOG_LEVEL", "INFO").upper()
    if level not in LOG_LEVELS:
        raise SettingsError(f"LOG_LEVEL={level}: must be one of {', '.join(LOG_LEVELS)}")
    return Settings(
        mode=reader.text("GIL_MODE", "unknown"),
        use_signals=reader.boolean("TIMEOUT_USE_SIGNALS"),
        cleanup_children=reader.boolean("CLEANUP_CHILDREN"),
        start_method=start_method and reader.choice("MP_START_METHOD", START_METHODS, start_method),
        reset_sigterm=reader.choice("SUBJECT_SIGTERM", SIGTERM_CHOICES, "inherit") == "default",
        orphan=reader.boolean("SUBJECT_ORPHAN"),
        cleanup_grace=reader.seconds("CLEANUP_GRACE", "0.1"),
        settle=reader.seconds("SETTLE", "0.15"),
        driver=driver,
        query=_query(reader),
        threads=reader.number("DUCKDB_THREADS", "1", int, lambda n: 1 <= n <= 1024, "a whole number from 1 to 1024"),
        library=_library(reader, environ) if driver == "capi" else "",
        broker_url=broker_url,
        broker_folder=_broker_folder(broker_url),
        result_backend=reader.text("CELERY_RESULT_BACKEND", "rpc://"),
        log_level=getattr(logging, level),
        trace=_trace(reader),
    )
