"""Checks the range of numbers, and the size of what programs get.

The kernel limits the size of one argument or variable, and of all of them together. Its limits grow
with the page and with the stack; these are for pages of 4 KiB and a stack of 8 MiB. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from pdsup.errors import Problem

# MAX_ARG_STRLEN: one argument, or one variable with its name, with the NUL at its end.
MOST_BYTES = 128 << 10
# A quarter of the stack, for all of them and a pointer to each.
MOST_IN_ALL = 2 << 20
POINTER = 8
# What the environment of the agent may take, which units inherit.
INHERITED = 64 << 10


def positive(at: str, *, zero: bool = False, **values: float | None) -> Iterator[Problem]:
    """A problem for each value that is not finite or not above 0 (or 0, with ``zero``).

    None means that the value is left out, which is always right.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not (value >= 0 if zero else value > 0) or not math.isfinite(value):
            least = "at least 0" if zero else "more than 0"
            yield Problem(f"{at}.{name}", f"must be a number {least}, not {value}")


def too_long(*parts: str) -> str | None:
    """Why a word, or a variable's name and value, can't be passed to a program, or None."""
    size = _size(*parts)
    if size <= MOST_BYTES:
        return None
    whole = " with its name" if len(parts) > 1 else ""
    return f"has {size:,} bytes{whole}; Linux passes at most {MOST_BYTES:,} in one piece"


def command(
    at: str, words: Iterable[str], env: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """A problem for each word that can't be passed to a program, or for all of them and ``env``."""
    sizes = []
    for number, word in enumerate(words):
        sizes.append(_size(word))
        if why := too_long(word):
            yield Problem(f"{at}.{number}", why)
    sizes += [_size(*pair) for pair in (env or {}).items()]
    total = sum(sizes) + POINTER * len(sizes)
    if total > MOST_IN_ALL - INHERITED:
        told = f"has {total:,} bytes with the environment"
        yield Problem(at, f"{told}; Linux passes at most {MOST_IN_ALL:,} to a program")


def _size(*parts: str) -> int:
    """The size of a word, or of a variable's name and value, as the kernel counts it."""
    # A NUL ends the whole, and "=" stands between two parts.
    return sum(map(_bytes, parts)) + len(parts)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))
