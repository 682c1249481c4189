"""Styled lines, which screens are made of, independent of how they are painted. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# A piece of a line and its style: the name of a state, "strong", "faint", "selected", or "" for
# none.
Span = tuple[str, str]
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a terminal, in characters."""

    width: int
    height: int
