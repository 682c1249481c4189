"""Folds long lines for a terminal between words, with indented continuation lines. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

INDENT = "    "
COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")
# Keeps words that belong together on one line, as a number and its unit.
GLUE = "\N{NO-BREAK SPACE}"
_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|h|d|GiB|TiB)\b)")


def folded(lines: Iterable[str], width: int | None, indent: str = INDENT) -> list[str]:
    """Lines folded to ``width`` characters, unless a word is longer; None: not folded.

    Continuation lines are indented by ``indent`` more than their line. Only lines without colours
    can be folded; coloured ones must fit.
    """
    return [part for line in lines for part in _folded(line, width, indent)]


def _folded(line: str, width: int | None, indent: str) -> list[str]:
    if width is None or len(COLOURS.sub("", line)) <= width:
        return [line]
    body = line.lstrip()
    lead = line[: len(line) - len(body)]
    wrapped = textwrap.wrap(
        _UNIT.sub(GLUE, body),
        width,
        initial_indent=lead,
        subsequent_indent=f"{lead}{indent}",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [part.replace(GLUE, " ") for part in wrapped]
