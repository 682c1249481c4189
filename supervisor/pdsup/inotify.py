"""Hears when something is removed from directories, or replaced in them (inotify(7)), and when file
systems are mounted or unmounted (proc(5), mountinfo): inotify does not tell of a lazy umount.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from pathlib import Path

from pdsup.descriptor import Descriptor

# include/uapi/linux/inotify.h
MOVED_FROM, MOVED_TO, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x200, 0x400, 0x800
ONLY_DIRECTORIES = 0x01000000
EVENTS = MOVED_FROM | MOVED_TO | DELETE | DELETE_SELF | MOVE_SELF | ONLY_DIRECTORIES


class Removals:
    """It is readable once something was removed. A network file system tells only what this node
    removes.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        number = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        # The user has too many of them, or the kernel has none: then nothing is heard.
        self._inotify = Descriptor(number if number >= 0 else -1)
        self._mounts = Descriptor(os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC))
        self._events = select.epoll()
        self._events.register(self._mounts.fileno(), select.EPOLLPRI | select.EPOLLERR)
        if self._inotify.is_open:
            self._events.register(self._inotify.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._events.fileno()

    def watch(self, directory: Path) -> None:
        """Begins to watch a directory, if there is one; again does no harm. May block."""
        if self._inotify.is_open:
            path = os.fsencode(directory)
            self._library.inotify_add_watch(self._inotify.fileno(), path, EVENTS)

    def take(self) -> None:
        """Makes it unreadable until something else is removed."""
        self._events.poll(0)  # which is what takes a change of mounts
        with contextlib.suppress(OSError):  # nothing to read
            os.read(self._inotify.fileno(), 1 << 16)

    def close(self) -> None:
        """Stops watching."""
        self._events.close()
        self._inotify.close()
        self._mounts.close()
