"""A file of lines that only grows until it is written anew, with a copy that nobody can remove.

The copy is on a descriptor without a name (memfd) that the process above holds: files in a
directory for temporary ones may be swept away while nobody is there to write them again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdsup.descriptor import Descriptor
from pdsup.files import write_atomically

# In the first line of a copy: how many bytes at least follow.
SIZE = "bytes"


class LinesFile:
    """One file. ``copy``: the descriptor of its copy, if it has one. ``size``: its bytes."""

    def __init__(self, path: Path, copy: Descriptor | None = None) -> None:
        self.path = path
        self.size = 0
        self._copy = copy or Descriptor()
        self._file = Descriptor()
        self._torn = False

    @property
    def is_sound(self) -> bool:
        """Whether lines can be appended: it is open, and its last line is whole."""
        return self._file.is_open and not self._torn

    @property
    def is_there(self) -> bool:
        """Whether the file that is open still has its name."""
        with contextlib.suppress(OSError):
            return os.path.samestat(self.path.lstat(), os.fstat(self._file.fileno()))
        return False

    def write(self, text: bytes, about: Mapping[str, str]) -> bool:
        """Replaces the content; returns False if that fails: then the old file is kept.

        ``about``: what only the copy has, in a line of JSON before the others.
        """
        try:
            write_atomically(self.path, text, 0o600)
            file = Descriptor(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        except OSError:
            return False
        self.close()
        self._file, self.size, self._torn = file, len(text), False
        if self._copy.is_open:
            head = f"{json.dumps({SIZE: len(text), **about})}\n".encode()
            with contextlib.suppress(OSError):
                os.ftruncate(self._copy.fileno(), 0)
                os.lseek(self._copy.fileno(), 0, os.SEEK_SET)
                _write(self._copy, head + text)
        return True

    def append(self, line: bytes) -> None:
        """Appends a line. One that a full disk cuts short makes the file unsound."""
        self.size += len(line)
        try:
            _write(self._file, line)
        except OSError:
            self._torn = True
        if self._copy.is_open:
            with contextlib.suppress(OSError):
                _write(self._copy, line)

    def close(self) -> None:
        """Closes the file, which stays."""
        self._file.close()


def read_copy(descriptor: int) -> tuple[Mapping[str, Any], list[bytes]] | None:
    """What ``write`` was given about the file, and all lines of the file; None if there is no whole
    copy, because its writer was killed while it wrote it anew.
    """
    try:
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        head, _, text = content.partition(b"\n")
        about = json.loads(head)
        return (about, text.splitlines()) if len(text) >= about[SIZE] else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _write(file: Descriptor, data: bytes) -> None:
    """Writes all of it; raises OSError if less was written."""
    if os.write(file.fileno(), data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
