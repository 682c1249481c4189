"""How people read durations and times: one style for every screen, page and message.

JSON, metrics and files for programs hold numbers of seconds instead, or UTC in ISO 8601. Pure.
"""

from __future__ import annotations

import re

# Durations and times from outside may be absurd; a screen must show them all the same.
_LONGEST_S = 1e4 * 86400
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """A duration in one or two units: ``0.7 s``, ``8 s``, ``1 min 30 s``, ``12 h``, ``3 d 4 h``."""
    seconds = min(max(0.0, seconds), _LONGEST_S)
    exact = round(seconds, 2 if seconds < 1 else 1)
    if exact < 60:
        return f"{exact:g} s"
    left = round(seconds)
    first = next(i for i, (_, length) in enumerate(_UNITS) if left >= length)
    parts = []
    for unit, length in _UNITS[first : first + 2]:
        count, left = divmod(left, length)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts)


def age(seconds: float) -> str:
    """How long something has lasted, in whole seconds, for what is shown again and again."""
    return duration(int(min(max(0.0, seconds), _LONGEST_S)))


def moment(at: float, now: float) -> str:
    """The local time of day, with the date if it is not today's: ``2026-11-23 23:59:58``."""
    (day, *_), (today, *_) = day_and_time(at).split(), day_and_time(now).split()
    return clock_time(at) if day == today else day_and_time(at)


def clock_time(at: float) -> str:
    """The local time of day: ``09:05:03``."""
    return day_and_time(at).split()[-1]


def day_and_time(at: float) -> str:
    """The local date and time: ``2026-11-23 09:05:03``."""
    return _iso(at, "seconds")


def stamp(at: float) -> str:
    """The local date and time, to the millisecond: ``2026-11-23 09:05:03.250``."""
    return _iso(at, "milliseconds")


def _iso(at: float, precision: str) -> str:
    from datetime import datetime  # late: a table of durations does not need it

    try:
        return datetime.fromtimestamp(at).isoformat(" ", precision)
    except (OverflowError, ValueError, OSError):  # no year has that number
        return "unknown"


_SPAN = r"(\d+(?:\.\d+)?) *(d|h|min|m|s) *"
_CLOCK = r"\d{1,2}:\d\d(:\d\d)?"
_SECONDS = {**dict(_UNITS), "m": 60}


def parsed(text: str, now: float) -> float | None:
    """The time that a person means: so long ago (``5m``, ``1 h 30 min``), a local time of the last
    24 hours (``14:30``), or a date and time in ISO 8601. Seconds since the epoch; None if it is
    none of these.
    """
    return _parsed(text, now, -1)


def parsed_ahead(text: str, now: float) -> float | None:
    """As ``parsed``, but a time to come: in so long, or a local time of the next 24 hours."""
    return _parsed(text, now, 1)


def _parsed(text: str, now: float, way: int) -> float | None:
    from datetime import datetime, timedelta

    spans = re.findall(_SPAN, text.strip())
    if spans and not re.sub(_SPAN, "", text.strip()):
        return now + way * sum(float(count) * _SECONDS[unit] for count, unit in spans)
    try:
        today = datetime.fromtimestamp(now)
        if not re.fullmatch(_CLOCK, text.strip()):
            return datetime.fromisoformat(text.strip()).timestamp()
        hour, _, rest = text.strip().partition(":")
        time = datetime.fromisoformat(f"2000-01-01 {hour:0>2}:{rest}").time()
        then = datetime.combine(today, time)
        other_day = (then - today) * way < timedelta()
        return (then + timedelta(days=way) if other_day else then).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
