"""Hears when something is removed from directories, or replaced in them (inotify(7))."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from pdsup.descriptor import Descriptor

# include/uapi/linux/inotify.h
MOVED_FROM, MOVED_TO, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x200, 0x400, 0x800
ONLY_DIRECTORIES = 0x01000000
EVENTS = MOVED_FROM | MOVED_TO | DELETE | DELETE_SELF | MOVE_SELF | ONLY_DIRECTORIES


class Removals:
    """Its descriptor is readable once something was removed. A network file system tells only what
    this node removes.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        number = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        # The user has too many of them, or the kernel has none: then nothing is heard.
        self.descriptor = Descriptor(number if number >= 0 else -1)

    def watch(self, directory: Path) -> None:
        """Begins to watch a directory, if there is one; again does no harm. May block."""
        if self.descriptor.is_open:
            path = os.fsencode(directory)
            self._library.inotify_add_watch(self.descriptor.fileno(), path, EVENTS)

    def take(self) -> None:
        """Makes the descriptor unreadable until something else is removed."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor.fileno(), 1 << 16)

    def close(self) -> None:
        """Stops watching."""
        self.descriptor.close()
