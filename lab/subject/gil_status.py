"""Watches the GIL: whether it is on, what set it, and which extension turned it back on.

A free-threaded Python turns the GIL on for good when it loads an extension that does not say it can do
without. The watch wraps the loading of extensions and compares the state before and after. It imports
nothing that could turn the GIL on itself, so install() can come before everything else.
"""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from typing import Any, Mapping, NamedTuple, Optional

from lines import pairs

# The probe imports in a fresh interpreter what this one had loaded; it may take this long.
_PROBE_SECONDS = 20.0


class Culprit(NamedTuple):
    """The extension that turned the GIL on."""

    module: str
    file: str
    chain: str  # who imported whom, a>b>c, the extension last

    def as_dict(self) -> dict[str, str]:
        return self._asdict()


def build_free_threaded() -> bool:
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gil_enabled() -> bool:
    # Python 3.12 and older have no such question, and always a GIL.
    ask = getattr(sys, "_is_gil_enabled", None)
    return True if ask is None else bool(ask())


def set_by(free_threaded: bool, enabled: bool, xoptions: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """What made the state as it is: build, PYTHON_GIL, "-X gil" or import. The option beats the variable,
    and either fixes the state for the life of the process."""
    if not free_threaded:
        return "build"
    if xoptions.get("gil") in ("0", "1"):
        return "-X gil"
    if environ.get("PYTHON_GIL") in ("0", "1"):
        return "PYTHON_GIL"
    return "import" if enabled else "build"


def _importing_modules() -> list[str]:
    """The modules being imported just now, the first importer first. Ends at the function, if any, that
    started the imports: who called that function tells nothing about the extension."""
    chain: list[str] = []
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "?")
        machinery = name.split(".")[0] in ("importlib", "_frozen_importlib", "_frozen_importlib_external")
        if not machinery and name != __name__:
            if not chain or chain[-1] != name:
                chain.append(name)
            if frame.f_code.co_name != "<module>":
                break
        frame = frame.f_back
    return chain[::-1]


class Watch:
    """Remembers the first extension that turned the GIL on. Install one per process."""

    def __init__(self) -> None:
        self.culprit: Optional[Culprit] = None

    def install(self) -> None:
        loader = importlib.machinery.ExtensionFileLoader
        loader.create_module = self._wrapped(loader.create_module, lambda spec: spec.name)
        loader.exec_module = self._wrapped(loader.exec_module, lambda module: module.__name__)

    def _wrapped(self, load: Any, name_of: Any) -> Any:
        def watched(loader: Any, subject: Any) -> Any:
            before = gil_enabled()
            try:
                return load(loader, subject)
            finally:
                # An extension may import others while it loads: the innermost was here first.
                if not before and gil_enabled() and self.culprit is None:
                    self._blame(name_of(subject), str(loader.path))

        return watched

    def _blame(self, name: str, path: str) -> None:
        chain = _importing_modules()
        self.culprit = Culprit(name, path, ">".join(chain if chain[-1:] == [name] else [*chain, name]))


def loaded_extensions() -> list[str]:
    """Names of the extension modules loaded from files, in the order in which they came."""
    extension = importlib.machinery.ExtensionFileLoader
    names = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if isinstance(getattr(spec, "loader", None), extension) and spec.name == name:
            names.append(name)
    return names


_PROBE = """
import sys, json
sys.path[:] = json.loads(sys.argv[1])
import importlib, gil_status
watch = gil_status.Watch()
watch.install()
for name in json.loads(sys.argv[2]):
    try:
        importlib.import_module(name)
    except Exception:
        pass
    if watch.culprit:
        break
print("\\n" + json.dumps(watch.culprit))
"""


def probe(extensions: list[str], seconds: float = _PROBE_SECONDS) -> Optional[Culprit]:
    """Finds out afterwards which of these extensions turns the GIL on, by importing them one by one in a
    fresh interpreter. None when none does, or when it takes too long."""
    # Isolated, and without site: neither PYTHON_GIL nor a start-up hook may turn it on first.
    here = os.path.dirname(os.path.abspath(__file__))
    paths = json.dumps([here, *(os.path.abspath(p) for p in sys.path)])
    command = [sys.executable, "-I", "-S", "-c", _PROBE, paths, json.dumps(extensions)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds
        )
        # What extensions print comes before the last line.
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if not found:
        return None
    culprit = Culprit(*found)
    # The first importer there was the probe itself.
    return culprit._replace(chain=culprit.chain.removeprefix("__main__>"))


def main(names: list[str]) -> int:
    """python -m gil_status MODULE...: which of these modules turns the GIL back on? Whatever PYTHON_GIL says."""
    missing = [name for name in names if importlib.util.find_spec(name.split(".")[0]) is None]
    if missing or not names:
        print(f"gil_status: no such module: {', '.join(missing)}" if missing else main.__doc__, file=sys.stderr)
        return 2
    free_threaded = build_free_threaded()
    culprit = probe(names) if free_threaded else None
    print("gil_status", pairs(
        build_free_threaded=free_threaded, gil_enabled=not free_threaded or culprit is not None,
        **({} if culprit is None else {"culprit": culprit.module, "file": culprit.file, "chain": culprit.chain}),
    ))
    return 0


class Status:
    """The state of the GIL as it was reported last, and the report of a new one."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._reported: Optional[bool] = None

    def find_culprit(self) -> None:
        """Call once when the watch has just been installed: if an import turned the GIL on before, find
        out which."""
        if self._set_by() == "import" and self._watch.culprit is None:
            self._watch.culprit = probe(loaded_extensions())

    def _set_by(self) -> str:
        return set_by(build_free_threaded(), gil_enabled(), sys._xoptions, os.environ)

    def changed(self) -> bool:
        return self._reported != gil_enabled()

    def report(self, start_method: str, driver: str) -> dict[str, Any]:
        """The fields of a gil_status event, culprit as an object or None."""
        self._reported = gil_enabled()
        by = self._set_by()
        culprit = self._watch.culprit if by == "import" else None
        return {
            "build_free_threaded": build_free_threaded(),
            "gil_enabled": self._reported,
            "python_version": ".".join(map(str, sys.version_info[:3])),
            "start_method": start_method,
            "driver": driver,
            "set_by": by,
            "culprit": culprit and culprit.as_dict(),
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
