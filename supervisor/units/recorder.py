"""Opens the file a unit writes to, and marks where each run begins.

The child writes straight to the file: no supervisor in the way, nothing lost when the agent dies.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from supervisor import clock

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def open_log(path: str, unit: str, run: int, previous: str) -> int:
    """A descriptor that appends to ``path``, after a line that says which run begins and why.

    Raises OSError. The caller closes it.
    """
    descriptor = _open(path)
    stamp = datetime.fromtimestamp(clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    after = f", after: {previous}" if previous else ""
    start = "\n" if _ends_within_a_line(path) else ""
    with contextlib.suppress(OSError):  # a full disk does not stop supervision
        os.write(descriptor, f"{start}=== {stamp} {unit} run {run} begins{after}\n".encode())
    return descriptor


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS, 0o644)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, 0o644)


def _ends_within_a_line(path: str) -> bool:
    """Whoever was killed while it drew a progress bar left one."""
    with contextlib.suppress(OSError), Path(path).open("rb", buffering=0) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
    return False
