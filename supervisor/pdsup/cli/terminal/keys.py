"""The keys of the live view, as a terminal sends them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto


class Key(Enum):
    """A key that the live view knows."""

    UP = auto()
    DOWN = auto()
    ENTER = auto()
    LOGS = auto()
    BACK = auto()
    QUIT = auto()


_KEYS: Mapping[bytes, Key] = {
    b"\x1b[A": Key.UP, b"\x1bOA": Key.UP, b"k": Key.UP,
    b"\x1b[B": Key.DOWN, b"\x1bOB": Key.DOWN, b"j": Key.DOWN,
    b"\r": Key.ENTER, b"\n": Key.ENTER, b"l": Key.LOGS, b"\x1b": Key.BACK, b"q": Key.QUIT,
}  # fmt: skip


def parsed(data: bytes) -> Iterator[Key]:
    """The known keys in what a terminal sent; other keys and sequences are skipped."""
    while data:
        length = _length(data)
        if key := _KEYS.get(data[:length]):
            yield key
        data = data[length:]


def _length(data: bytes) -> int:
    """The length of the first key: a byte, or an escape sequence up to its final letter."""
    if data[:1] != b"\x1b" or data[1:2] not in (b"[", b"O"):
        return 1
    ends = (i for i, byte in enumerate(data[2:], 3) if 0x40 <= byte <= 0x7E)
    return next(ends, len(data))
