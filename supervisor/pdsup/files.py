"""Writes whole files: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def _create_once(path: Path, text: bytes) -> None:
    """Whoever links first wins: a link is atomic on every shared file system, O_EXCL is not."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        Path(path).hardlink_to(aside)
    except FileExistsError:
        pass
    finally:
        Path(aside).unlink()


def write_atomically(path: Path, text: bytes, mode: int) -> None:
    """Readers see the old file or the new one, never a part."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(text)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink()
        raise
