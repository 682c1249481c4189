"""Makes text of others harmless on a terminal and in a table: a unit's output, a peer's report, an
answer, a journal. Pure.
"""

from __future__ import annotations

import re
from typing import Any

# Sequences that colour text, move the cursor or set a title.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def printable(text: str) -> str:
    """The text on one line that shows all it holds: escape sequences are removed, bytes of a path
    that are no text become ``\\udcff``, and other characters that are not printable spaces, such as
    line ends and those that reverse what follows.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, _SEQUENCE.sub("", text))).rstrip()


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):x}" if "\ud800" <= char <= "\udfff" else " "


def all_printable(value: Any) -> Any:
    """A JSON value whose texts, and keys, are printable."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable(key): all_printable(one) for key, one in value.items()}
        case list():
            return [all_printable(one) for one in value]
    return value
