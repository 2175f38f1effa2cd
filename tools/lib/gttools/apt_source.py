"""A source package of Debian's or Ubuntu's newest suites, through an apt configuration of our own inside the cache:
the machine's /etc and package lists stay as they are, and an ordinary user can do it. apt itself checks the chain:
distribution keyring -> InRelease -> Sources -> SHA-256 of each file."""
from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Iterator, NamedTuple

from .cache import ensure_dir
from .errors import ToolError
from .process import clean_env, run

CONNECT_SEC = 6


class Distribution(NamedTuple):
    """`suites` are tried in this order, then the machine's own release."""
    name: str
    keyrings: tuple[str, ...]
    suites: tuple[str, ...]
    components: str


DISTRIBUTIONS = {
    "debian": Distribution("Debian", ("/usr/share/keyrings/debian-archive-keyring.gpg",
                                      "/usr/share/keyrings/debian-archive-keyring.pgp"), ("testing", "stable"), "main"),
    "ubuntu": Distribution("Ubuntu", ("/usr/share/keyrings/ubuntu-archive-keyring.gpg",), ("devel",), "main universe"),
}


class NotThere(Exception):
    """Nothing to be had this way; str() says why in a few words."""


class Package(NamedTuple):
    name: str      # python3.13
    version: str   # 3.13.15-1
    upstream: str  # 3.13.15


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))


def _mirrors(distribution: str) -> list[str]:
    """The mirrors this machine's own apt uses; security archives have no new Python."""
    found: list[str] = []
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for place in places:
        try:
            lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.lstrip().startswith("#"):
                continue
            for uri in re.findall(r"\b(?:https?|mirror\+\w+)://[^\s\]]+", line):
                if distribution in uri and "security" not in uri and uri not in found:
                    found.append(uri)
    return found


class AptSource:
    """One suite of one mirror. `folder` holds configuration, lists and locks, and may be kept between runs."""

    def __init__(self, folder: Path, distribution: Distribution, mirror: str, suite: str, keyring: str, log: Path) -> None:
        self.where = f"{distribution.name} {suite}"
        self.log = log
        self.folder = folder
        for name in ("parts", "lists/partial", "cache/archives/partial"):
            ensure_dir(folder / name)
        (folder / "parts" / "python.sources").write_text(
            f"Types: deb-src\nURIs: {mirror}\nSuites: {suite}\nComponents: {distribution.components}\n"
            f"Signed-By: {keyring}\nCheck-Valid-Until: no\n", encoding="ascii")
        self.conf = folder / "apt.conf"
        self.conf.write_text(
            f'Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "{folder}/parts";\n'
            f'Dir::State::Lists "{folder}/lists";\nDir::Cache "{folder}/cache";\nAcquire::Languages "none";\n'
            f'Acquire::Retries "0";\nAcquire::http::Timeout "{CONNECT_SEC}";\nAcquire::https::Timeout "{CONNECT_SEC}";\n'
            # As root apt would download as _apt, who cannot enter the cache of a user.
            'APT::Sandbox::User "root";\n'
            # Hooks of the machine (clean its package cache, feed its software centre) are none of our business.
            '#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n',
            encoding="utf-8")

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        return run([program, "-c", str(self.conf), *arguments], what=f"{program} for {self.where}", log=self.log,
                   cwd=cwd, env=clean_env({"DEBIAN_FRONTEND": "noninteractive"}))

    def packages(self, names: list[str]) -> list[Package]:
        """The released versions on offer, in the order of `names`."""
        try:
            said = self._apt("apt-get", "-q", "update")
        except ToolError as error:
            raise NotThere(str(error).splitlines()[-1]) from error
        trouble = re.search(r"^(?:W|E|Err:\d+)[: ] *(.*)$", said, re.MULTILINE)
        found: list[Package] = []
        for name in names:
            try:
                text = self._apt("apt-cache", "showsrc", "--only-source", name)
            except ToolError:
                continue
            versions = re.findall(r"^Version: (?:\d+:)?((\d+\.\d+\.\d+)-\S+)$", text, re.MULTILINE)
            found.extend(Package(name, full, upstream) for full, upstream in versions)
        if not found and trouble:
            raise NotThere(trouble.group(1).strip())
        return found

    def fetch(self, package: Package, scratch: Path) -> Path:
        """The upstream tarball of this package, inside `scratch`."""
        folder = ensure_dir(scratch / f"{package.name}-{package.version}")
        try:
            self._apt("apt-get", "-q", "source", "--download-only", f"{package.name}={package.version}", cwd=folder)
        except ToolError as error:
            reasons = re.findall(r"^E: (?:Failed to fetch )?(.*)$", str(error), re.MULTILINE)
            raise NotThere(reasons[0] if reasons else str(error).splitlines()[-1]) from error
        tarballs = sorted(folder.glob("*.orig.tar.*[!c]"))  # not the .asc beside it
        if not tarballs:
            raise NotThere(f"{package.name} {package.version} holds no upstream tarball")
        return tarballs[0]


def apt_sources(folder: Path, log: Path) -> Iterator[AptSource]:
    """The suites worth asking, best first; raises NotThere when this machine has no apt or no keyring to check with."""
    if not shutil.which("apt-get"):
        raise NotThere("there is no apt-get on this machine")
    release = _os_release()
    family = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    chosen = next((name for name in family if name in DISTRIBUTIONS), None)
    if chosen is None:
        raise NotThere(f"apt's source packages are known for Debian and Ubuntu, this is {family[0] or 'unknown'}")
    distribution = DISTRIBUTIONS[chosen]
    keyring = next((ring for ring in distribution.keyrings if Path(ring).exists()), None)
    if keyring is None:
        raise NotThere(f"{distribution.name}'s keyring {distribution.keyrings[0]} is missing, nothing could be verified")
    mirrors = _mirrors(chosen)
    if not mirrors:
        raise NotThere(f"no {distribution.name} mirror in /etc/apt/sources.list or sources.list.d")
    own = release.get("VERSION_CODENAME", "")
    for suite in dict.fromkeys((*distribution.suites, own)):
        if suite:
            yield AptSource(folder, distribution, mirrors[0], suite, keyring, log)
