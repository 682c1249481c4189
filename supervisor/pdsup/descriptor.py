"""Owns an open file descriptor, so that nothing uses or closes it after it was closed.

The kernel gives the number of a closed descriptor to the next file that is opened. Whoever keeps
the number writes into that file, or signals that process, and whoever closes it twice closes that
file. So every descriptor that an object keeps is one of these: it forgets its number before it
closes it, and once only.
"""

from __future__ import annotations

import contextlib
import errno
import os


class Descriptor:
    """One descriptor, open until ``close``."""

    __slots__ = ("_number",)

    def __init__(self, number: int = -1) -> None:
        """Takes over an open descriptor; by default it is one that has been closed already."""
        self._number = number

    @property
    def is_open(self) -> bool:
        """Whether it was not closed yet."""
        return self._number >= 0

    def fileno(self) -> int:
        """Its number. Raises OSError (EBADF) once it was closed."""
        if self._number < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._number

    def close(self) -> None:
        """Closes it, if that was not done yet.

        An error is ignored: Linux closes the descriptor all the same, and with a network file
        system the error belongs to an earlier write.
        """
        number, self._number = self._number, -1
        if number >= 0:
            with contextlib.suppress(OSError):
                os.close(number)
