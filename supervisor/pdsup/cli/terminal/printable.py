"""Makes text of others harmless for a terminal: a unit's output, an answer, a journal. Pure."""

from __future__ import annotations

import re

# Sequences that colour text or move the cursor, as programs write them on purpose.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """One line without control characters, which could garble the terminal or deceive its reader:
    escape sequences are removed, other control characters become spaces.
    """
    return _HARMFUL.sub(" ", _SEQUENCE.sub("", text)).rstrip()
