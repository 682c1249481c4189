"""Writes whole files: a reader sees the old content or the new, never half of it.

The new content is written beside the file, on the same file system, and then renamed over it. No
other module does that by hand.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, text: bytes, mode: int) -> None:
    """Makes ``text`` the content of a file. Raises OSError; then the file is as it was."""
    with _beside(path, text, mode) as aside:
        put_in_place(aside, path)


def write_output(path: Path, text: bytes) -> None:
    """Writes to where a user wants it: into a device or a pipe that is there, else a whole file,
    also where a symbolic link points to. Raises OSError.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(text)
    else:
        write_atomically(Path(os.path.realpath(path)), text, 0o644)


def create_once(path: Path, text: bytes) -> None:
    """Makes a file that its owner alone can read, unless there is one by then. Raises OSError.

    Whoever links first wins: a link is atomic on every shared file system, O_EXCL is not.
    """
    with _beside(path, text, 0o600) as aside, contextlib.suppress(FileExistsError):
        path.hardlink_to(aside)


def put_in_place(aside: Path, path: Path) -> None:
    """Renames a file over the one that it was written beside, for a writer that tests it before.

    Raises OSError.
    """
    aside.replace(path)


@contextlib.contextmanager
def _beside(path: Path, text: bytes, mode: int) -> Iterator[Path]:
    """A file beside another one; it is gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(text)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
