"""Opens the file a unit writes to, and marks where each run begins.

The child writes straight to the file: no supervisor in the way, nothing lost when the agent dies.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from supervisor import clock

# Readable too, to see how the output of the run before ended.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def open_log(path: str, unit: str, run: int, previous: str) -> int:
    """A descriptor that appends to ``path``, after a line that says which run begins and why.

    Raises OSError. The caller closes it.
    """
    descriptor = _open(path)
    stamp = datetime.fromtimestamp(clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    after = f", after: {previous}" if previous else ""
    with contextlib.suppress(OSError):  # a full disk does not stop supervision
        start = "\n" if _ends_within_a_line(descriptor) else ""
        os.write(descriptor, f"{start}=== {stamp} {unit} run {run} begins{after}\n".encode())
    return descriptor


@contextlib.contextmanager
def appending(path: str) -> Iterator[int]:
    """A descriptor that appends to ``path`` for something that speaks in a unit's place."""
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS, 0o644)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, 0o644)


def _ends_within_a_line(descriptor: int) -> bool:
    """Whoever was killed while it drew a progress bar left one."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
