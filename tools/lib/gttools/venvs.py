"""Virtual environments with pinned packages. Each is named by what goes into it and carries a note once it is whole."""
from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple, Optional, Sequence

from .cache import cache_dir, ensure_dir
from .errors import ToolError
from .process import clean_env, run

NOTE = "gilotine-venv.ini"
# It declares nothing about free threading, so importing it (kombu does, when it is there) turns the GIL back on.
FORBIDDEN = ("hiredis",)
BUILD_TOOL = "setuptools"


class Venv(NamedTuple):
    python: Path
    modules: dict[str, str]  # optional module -> version, for those that could be had


def _pins(file: Path) -> list[str]:
    """The pins of a requirements file and of those it includes; refuses what is not pinned."""
    pins: list[str] = []
    for number, raw in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith("-r "):
            pins += _pins(file.parent / line[3:].strip())
        elif not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( *;.*)?", line):
            raise ToolError(f"{file}:{number}: `{line}` is not pinned", "write NAME==VERSION")
        elif line.split("==")[0].lower() in FORBIDDEN:
            raise ToolError(f"{file}:{number}: {line} must not be installed: it turns the GIL back on")
        else:
            pins.append(line)
    return list(dict.fromkeys(pins))


def _folder(base: str, purpose: str, pins: Sequence[str], optional: Sequence[str]) -> Path:
    text = "\n".join((*pins, "optional", *optional))
    return cache_dir() / "venv" / f"{base}-{purpose}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _read_note(folder: Path) -> Optional[Venv]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(folder / NOTE, encoding="utf-8")
        modules = dict(parser["modules"])
    except (configparser.Error, KeyError, OSError):
        return None
    python = folder / "bin" / "python"
    return Venv(python, modules) if os.access(python, os.X_OK) else None


def _write_note(folder: Path, modules: dict[str, str]) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser["modules"] = modules
    new = folder / (NOTE + ".new")
    with open(new, "w", encoding="utf-8") as file:
        parser.write(file, space_around_delimiters=False)
    os.replace(new, folder / NOTE)


class Plan:
    """A virtual environment that is wanted: `base` names its interpreter, `purpose` what it is for."""

    def __init__(self, interpreter: Path, base: str, purpose: str, requirements: Path, optional: Optional[Path] = None) -> None:
        self.interpreter = interpreter
        self.pins = _pins(requirements)
        self.optional = _pins(optional) if optional else []
        self.folder = _folder(base, purpose, self.pins, self.optional)

    def existing(self) -> Optional[Venv]:
        return _read_note(self.folder)

    def _pip(self, log: Path, *arguments: str) -> None:
        run([str(self.folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
            what=f"pip {arguments[0]} for {self.folder.name}", log=log, env=clean_env())

    def _optional_module(self, name: str, pin: str, log: Path) -> bool:
        """No wheel is no error, nor is one that cannot be imported (pip may take a stable-ABI wheel for a build that
        cannot load it); anything else that goes wrong is."""
        try:
            self._pip(log, "install", "--no-deps", "--only-binary", ":all:", pin)
        except ToolError as error:
            # Offline pip ends with the same words, after its complaints about the connection.
            if "No matching distribution found" in str(error) and "Retrying" not in str(error):
                return False
            raise
        try:
            run([str(self.folder / "bin" / "python"), "-I", "-c", f"import {name}"], what=f"importing {name}", log=log)
            return True
        except ToolError:
            self._pip(log, "uninstall", "--yes", name)
            return False

    def make(self, log: Path) -> Venv:
        """Console scripts hold the absolute path, so it is made where it stays; the note comes last, and a folder
        without its note is what a killed run left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        ensure_dir(self.folder.parent)
        log.unlink(missing_ok=True)
        try:
            return self._fill(log)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _fill(self, log: Path) -> Venv:
        run([str(self.interpreter), "-m", "venv", str(self.folder)], what=f"making {self.folder}", log=log)
        # Source packages are built with the pinned tool, not with whatever is the newest today.
        tools = [pin for pin in self.pins if pin.startswith(BUILD_TOOL + "==")]
        if tools:
            self._pip(log, "install", "--no-deps", *tools)
        self._pip(log, "install", "--no-deps", "--no-build-isolation", *self.pins)
        self._pip(log, "check")
        modules = {}
        for pin in self.optional:
            name, version = pin.split(";")[0].strip().split("==")
            if self._optional_module(name, pin, log):
                modules[name] = version
        _write_note(self.folder, modules)
        venv = _read_note(self.folder)
        assert venv is not None
        return venv
