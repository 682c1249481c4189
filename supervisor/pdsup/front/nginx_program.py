"""Finds the nginx program, and what its version can do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from pdsup.errors import SupervisorError

Version = tuple[int, int, int]

# keepalive_timeout and keepalive_requests of an upstream came with it (2018).
OLDEST: Version = (1, 15, 3)
# keepalive_min_timeout came with it (2025). Before, a reload closes a client's connection also
# while the next request is on its way: of 1925 requests on 16 connections that were used again,
# 16 were lost in 30 reloads of nginx 1.22.1; with it none of 1904 (nginx 1.31.3).
SPARES_IDLE: Version = (1, 27, 4)
# Where systems put it that do not have it on every user's PATH.
ELSEWHERE = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx")
ANSWER_S = 2.0  # whoever asks stands still meanwhile


@dataclass(frozen=True, slots=True)
class Program:
    """An nginx that can be used."""

    path: str
    version: Version

    @property
    def spares_idle(self) -> bool:
        """Whether it can be told not to close connections that clients may be using again."""
        return self.version >= SPARES_IDLE


def find(binary: str) -> Program:
    """The program called ``binary`` and its version, which it is asked for: that takes 5 ms.

    Raises SupervisorError when there is none, or one that is too old.
    """
    path = shutil.which(binary)
    if path is None:
        raise missing(binary)
    version = _version(path)
    if version < OLDEST:
        raise SupervisorError(
            f"cannot run nginx: {path} is version {_dotted(version)}, but {_dotted(OLDEST)} or "
            "newer is needed; install that, or name one in frontend.nginx_binary"
        )
    return Program(path, version)


def missing(binary: str) -> SupervisorError:
    """What to say when a program is not there."""
    found = next((path for path in ELSEWHERE if os.access(path, os.X_OK)), None)
    hint = f"there is {found}: name it" if found else "install it (Debian: nginx-light), or name it"
    where = "" if "/" in binary else " on the PATH of the agent"
    return SupervisorError(
        f"cannot run nginx: no program {binary}{where}; {hint} in frontend.nginx_binary"
    )


def _version(path: str) -> Version:
    # No unit, and over before the loop goes on: the spawner's promises are not needed.
    try:
        done = subprocess.run(
            [path, "-v"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise SupervisorError(
            f"cannot run nginx: {path} does not tell its version: {error}"
        ) from None
    found = re.search(r"nginx version: \S+?/(\d+)\.(\d+)\.(\d+)", done.stderr)
    if found is None:
        said = (done.stderr or done.stdout).strip()[:80]
        raise SupervisorError(
            f"cannot run nginx: {path} does not tell its version; it says {said!r}: is it nginx?"
        )
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
