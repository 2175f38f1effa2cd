"""libduckdb.so and its header out of package registries, by their ordinary clients: where DuckDB's own release is out of
reach. npm and Go have 1.5; Maven and cargo have 2.0, in the library of DuckDB's Java driver and in a Rust crate."""
from __future__ import annotations

import json
import platform
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Optional

from .cache import ensure_dir
from .duckdb_source import NotThere, Pair, Refused, this_machine
from .errors import ToolError
from .fetch import sha256_of
from .process import clean_env, run
from .progress import Progress

# A client that gets no answer must not hold a build for ever.
BOUNDED = ("timeout", "--kill-after=5", "120")


class Pinned(NamedTuple):
    """Packages whose content was reviewed: SHA-256 of the library by machine, of the header."""
    library_package: str
    header_package: str
    library_sha256: Mapping[str, str]
    header_sha256: str


NPM_AND_GO = {
    "1.5.6": Pinned("1.5.6-r.1", "v0.10506.0", {
        "x86_64": "3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633",
        "aarch64": "23686593dba4ec22c6e581bb1c843b3964e84c4bc4d0063d8b4daddd2e20e30a",
    }, "e85f70155b5948c8575e59f66e60d43575cec8b252293534c9e8598eb313a293"),
}
MAVEN_AND_CARGO = {
    "2.0.0": Pinned("2.0.0.1", "1.20000.1", {
        "x86_64": "001983f177ea4e6e4e19a58e77417411d0c2924d0cbbd01f3e901a9f3d2f37c7",
        "aarch64": "3b69506543e9d64fffb80402cdab8c9d6e527003909e5dfa15b0f00a144d45df",
    }, "8dbc9c71a10f0a75fcacc1a3f4f7c76093a84d232fc152222ee5b6e512ab4560"),
}


def _pins(pinned: Optional[Pinned]) -> tuple[str, str]:
    return (pinned.library_sha256[platform.machine()], pinned.header_sha256) if pinned else ("", "")


def _numbered(version: str) -> int:
    """10506 of 1.5.6: how Go modules and crates number it within their own versions."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major * 10000 + minor * 100 + patch


def _need_programs(*programs: str) -> None:
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise NotThere(f"no program {' and no program '.join(missing)} here; `tools/deps registries` installs them")


# --- npm and Go ------------------------------------------------------------------------------------------------

def _npm_version(name: str, version: str, log: Path, env: Mapping[str, str]) -> str:
    """The newest packaging of this DuckDB, of one that is not pinned."""
    listing = run([*BOUNDED, "npm", "view", name, "versions", "--json"], what=f"asking npm for {name}", log=log, env=env)
    versions = [v for v in json.loads(listing[listing.index("["):]) if re.fullmatch(rf"{re.escape(version)}-r\.\d+", v)]
    if not versions:
        raise NotThere(f"npm has no {name} {version}")
    return max(versions, key=lambda v: int(v.rsplit(".", 1)[1]))


def _npm_library(version: str, pinned: Optional[Pinned], scratch: Path, log: Path) -> tuple[Path, str]:
    """npm pack checks the registry's integrity digest."""
    name = f"@duckdb/node-bindings-{this_machine().npm}"
    env = clean_env({"npm_config_fetch_retries": "1", "npm_config_fetch_timeout": "20000", "npm_config_update_notifier": "false"})
    package = pinned.library_package if pinned else _npm_version(name, version, log, env)
    folder = ensure_dir(scratch / "npm")
    run([*BOUNDED, "npm", "pack", f"{name}@{package}", "--silent", "--pack-destination", str(folder)], what=f"npm pack {name}@{package}",
        log=log, env=env)
    tarball = next(folder.glob("*.tgz"))
    run(["tar", "-xf", str(tarball), "-C", str(folder), "package/libduckdb.so"], what=f"unpacking {tarball.name}", log=log)
    return folder / "package" / "libduckdb.so", f"npm {name} {package}"


def _go_header(version: str, pinned: Optional[Pinned], scratch: Path, log: Path) -> tuple[Path, str]:
    """go checks it against its checksum database."""
    number = pinned.header_package if pinned else f"v0.{_numbered(version)}.0"
    module = f"github.com/duckdb/duckdb-go-bindings/lib/{this_machine().go}@{number}"
    env = clean_env({"GOMODCACHE": str(scratch / "gomod"), "GOFLAGS": "-mod=mod -modcacherw", "GOTOOLCHAIN": "local"})
    text = run([*BOUNDED, "go", "mod", "download", "-json", module], what=f"go mod download {module}", log=log, cwd=scratch, env=env)
    said = json.loads(text[text.index("{"):text.rindex("}") + 1])
    return Path(said["Dir"]) / "duckdb.h", f"Go module {module}"


def from_npm_and_go(version: str, scratch: Path, log: Path, progress: Progress) -> Pair:
    _need_programs("npm", "go")
    pinned = NPM_AND_GO.get(version)
    progress.at(0.1, "library from npm")
    library, npm_origin = _npm_library(version, pinned, scratch, log)
    progress.at(0.5, "header from its Go module")
    header, go_origin = _go_header(version, pinned, scratch, log)
    return Pair(library, header, version, f"{npm_origin}, header of {go_origin}", "integrity checked by npm and by go",
                _pins(pinned))


# --- Maven and cargo -------------------------------------------------------------------------------------------

POM = """\
<project>
  <modelVersion>4.0.0</modelVersion><groupId>gilotine</groupId><artifactId>fetch</artifactId><version>0</version>
  <dependencies><dependency>
    <groupId>org.duckdb</groupId><artifactId>duckdb_jdbc</artifactId><version>{wanted}</version>
  </dependency></dependencies>
</project>
"""
CRATE = """\
[package]
name = "fetch"
version = "0.0.0"
[lib]
path = "none.rs"
[dependencies]
libduckdb-sys = {{ version = "{wanted}", default-features = false }}
"""


def _maven_library(version: str, pinned: Optional[Pinned], scratch: Path, log: Path) -> tuple[Path, str]:
    """Into a repository in scratch: nothing stays of the plug-ins either. -C: a wrong checksum is an error."""
    folder = ensure_dir(scratch / "maven")
    base, patch = version.rsplit(".", 1)
    wanted = pinned.library_package if pinned else f"{version}.0,{base}.{int(patch) + 1}.0-a"
    (folder / "pom.xml").write_text(POM.format(wanted=f"[{wanted}]"), encoding="utf-8")
    run([*BOUNDED, "mvn", "--batch-mode", "--quiet", "--strict-checksums", f"-Dmaven.repo.local={folder / 'repository'}",
         "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"], what="asking Maven for org.duckdb:duckdb_jdbc",
        log=log, cwd=folder)
    jar = next((folder / "jars").glob("duckdb_jdbc-*.jar"))
    name = f"libduckdb_java.so_{this_machine().jar}"
    with zipfile.ZipFile(jar) as packed:
        packed.extract(name, folder)
    return folder / name, f"{name} of Maven's org.duckdb:{jar.stem.replace('-', ':', 1)}"


def _cargo_header(version: str, pinned: Optional[Pinned], scratch: Path, log: Path) -> tuple[Path, str]:
    """cargo checks the index's digest. The crate holds DuckDB's whole source; of it the header is taken."""
    folder = ensure_dir(scratch / "cargo")
    wanted = f"={pinned.header_package}" if pinned else f"~1.{_numbered(version)}.0"
    (folder / "Cargo.toml").write_text(CRATE.format(wanted=wanted), encoding="utf-8")
    (folder / "none.rs").touch()
    env = clean_env({"CARGO_HOME": str(folder / "home")})
    run([*BOUNDED, "cargo", "fetch"], what=f"cargo fetch of libduckdb-sys {wanted}", log=log, cwd=folder, env=env)
    source = next(folder.glob("home/registry/src/*/libduckdb-sys-*/duckdb.tar.gz"))
    with tarfile.open(source) as packed:
        file = packed.extractfile("duckdb/src/include/duckdb.h")
        assert file is not None  # a regular file
        (folder / "duckdb.h").write_bytes(file.read())
    return folder / "duckdb.h", f"crate {source.parent.name}"


def from_maven_and_cargo(version: str, scratch: Path, log: Path, progress: Progress) -> Pair:
    _need_programs("mvn", "cargo")
    pinned = MAVEN_AND_CARGO.get(version)
    progress.at(0.1, "header from its crate")
    header, cargo_origin = _cargo_header(version, pinned, scratch, log)
    progress.at(0.2, "library from Maven")
    library, maven_origin = _maven_library(version, pinned, scratch, log)
    return Pair(library, header, version, f"{maven_origin}, header of {cargo_origin}", "integrity checked by mvn and by cargo",
                _pins(pinned))


# --- both ------------------------------------------------------------------------------------------------------

Way = Callable[[str, Path, Path, Progress], Pair]


def _reason(error: ToolError) -> str:
    """The first line of a client's output that calls itself an error, else the last."""
    lines = str(error).strip().splitlines()
    return next((line for line in lines[1:] if "error" in line.lower()), lines[-1]).strip()


def _guarded(way: Way) -> Way:
    """A client that fails, or says something unexpected, is a source that cannot be had."""
    def guarded(version: str, scratch: Path, log: Path, progress: Progress) -> Pair:
        try:
            return way(version, scratch, log, progress)
        except ToolError as error:
            raise NotThere(_reason(error)) from error
        except (ValueError, KeyError, StopIteration, zipfile.BadZipFile, tarfile.TarError) as error:
            raise NotThere(f"the packages are not what was expected ({error!r}); see {log}") from error
    return guarded


WAYS = (("npm and Go", _guarded(from_npm_and_go)), ("Maven and cargo", _guarded(from_maven_and_cargo)))


def check_pins(pair: Pair) -> None:
    """What pinned packages hold must be what was reviewed. The archive of the release is built separately and has a
    digest of its own."""
    for name, file, pin in (("libduckdb.so", pair.library, pair.pins[0]), ("duckdb.h", pair.header, pair.pins[1])):
        if pin and sha256_of(file) != pin:
            raise Refused(f"{name} of {pair.origin} has SHA-256 {sha256_of(file)}, {pin} is pinned: refused",
                          "a new packaging of the same version needs a new pin in tools/lib/gttools/duckdb_packages.py")
