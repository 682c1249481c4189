"""Finds the times that engines, routers, nginx and agents write into their log lines. Pure."""

from __future__ import annotations

import re
from datetime import datetime

_DAY = rb"\d{4}[-/]\d\d[-/]\d\d"
_TIME = rb"(\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?"
# Behind colours, a bracket or the sign of a marker: [2026-11-23 09:05:03 TP0] of SGLang.
_BEGINS = re.compile(rb"(?:\x1b\[[0-9;]*m|\[|=== )*(%b)[ T]%b" % (_DAY, _TIME))
_JSON = re.compile(rb'\{.{0,4096}"timestamp": "(%b)T%b"' % (_DAY, _TIME))


def written_at(line: bytes) -> float | None:
    """When a line was written, in seconds since the epoch, by the time in it, if there is one.

    A time without a zone is local: it is taken for this machine's.
    """
    found = _BEGINS.match(line) or (_JSON.match(line) if line.startswith(b"{") else None)
    if found is None:
        return None
    day, clock, fraction, zone = ((part or b"").decode() for part in found.groups())
    text = f"{day.replace('/', '-')} {clock}.{fraction:0<6.6}{zone}"
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):  # the 31st of February
        return None
