"""HTTP for these tools: gives up on an unreachable host within seconds, checks what it stores."""
from __future__ import annotations

import errno
import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, Optional

CONNECT_SEC = 5.0
STALL_SEC = 20.0
CHUNK = 1 << 18
# Errors of the file being written: another host would not help.
_OUR_OWN_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO}


class Unreachable(Exception):
    """The host or the file cannot be had; str() is the reason in a few words. `missing` = the host says there is none."""

    def __init__(self, message: str, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def _open(url: str, timeout_sec: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "gilotine-tools"})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout_sec)
        return response
    except urllib.error.HTTPError as error:
        raise Unreachable(f"{url} answers {error.code}", missing=error.code in (404, 410)) from error
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{url}: {getattr(error, 'reason', None) or error}") from error


def get(url: str, limit: int = 8 << 20) -> bytes:
    """A small file, within CONNECT_SEC in all: name resolution has a timeout of its own, much longer than ours,
    hence the thread."""
    answer: list[bytes] = []
    failure: list[Unreachable] = []

    def work() -> None:
        try:
            with _open(url, CONNECT_SEC) as response:
                answer.append(response.read(limit))
        except Unreachable as error:
            failure.append(error)
        except (OSError, http.client.HTTPException) as error:
            failure.append(Unreachable(f"{url}: {error}"))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(CONNECT_SEC)
    if answer:
        return answer[0]
    raise failure[0] if failure else Unreachable(f"{url}: no answer within {CONNECT_SEC:.0f} s")


def download(url: str, target: Path, on_fraction: Optional[Callable[[float, str], None]] = None) -> str:
    """Stores a file under its final name only when it is whole; answers its SHA-256."""
    partial = target.with_name(target.name + ".part")
    digest = hashlib.sha256()
    try:
        with _open(url, STALL_SEC) as response, open(partial, "wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            done = 0
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if on_fraction and total:
                    on_fraction(done / total, f"{done >> 20} of {total >> 20} MiB")
        if total and done != total:
            raise Unreachable(f"{url}: {done} bytes came, {total} were announced")
        os.replace(partial, target)
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) in _OUR_OWN_FAULT:
            raise
        raise Unreachable(f"{url}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
