"""Lines in colours: what screens are made of, whatever paints them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# A piece of a line and its style: the name of a state, "strong", "faint", or "" for none.
Span = tuple[str, str]
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a terminal, in characters."""

    width: int
    height: int
