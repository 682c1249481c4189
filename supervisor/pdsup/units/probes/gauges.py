"""Reads gauges in Prometheus' text format, and finds the groups that have no good member left.

A router publishes the state of its circuit breakers in this way: if those of all decode workers
are open, it cannot serve. Pure.
"""

from __future__ import annotations

import re

from pdsup.plan.model import Gauges

_QUOTED = r'"(?:[^"\\]|\\.)*"'
# A name, labels and a value; a timestamp may follow.
_LINE = re.compile(rf"([a-zA-Z_:][\w:]*)\{{((?:[^\"{{}}]|{_QUOTED})*)\}}\s+(\S+)")
_LABEL = re.compile(rf"([a-zA-Z_]\w*)\s*=\s*({_QUOTED})")


def exhausted(gauges: Gauges, text: str) -> tuple[str, ...]:
    """The groups of which every member that ``text`` mentions has the value ``bad``.

    A group of which it mentions no member is not among them.
    """
    values = _values(gauges, text)
    return tuple(
        group
        for group, members in gauges.groups.items()
        if (known := [values[member] for member in members if member in values])
        if all(value == gauges.bad for value in known)
    )


def sentence(gauges: Gauges, groups: tuple[str, ...]) -> str:
    """Words the reason, such as ``every prefill and every decode has an open breaker``."""
    return f"{' and '.join(f'every {group}' for group in groups)} has {gauges.means}"


def total(name: str, text: str) -> float:
    """The sum over all lines of a gauge, with or without labels; 0 if there is none."""
    values = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})?\s+(\S+)", text, re.M)
    return sum(map(_number, values))


def _values(gauges: Gauges, text: str) -> dict[str, float]:
    """The values of the gauge, by the value of its label."""
    values = {}
    for line in text.splitlines():
        if (sample := _LINE.match(line)) and sample[1] == gauges.name:
            labels = {name: _unquoted(value) for name, value in _LABEL.findall(sample[2])}
            if gauges.label in labels:
                values[labels[gauges.label]] = _number(sample[3])
    return values


def _unquoted(text: str) -> str:
    escapes = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    return re.sub(r"\\.", lambda match: escapes.get(match[0], match[0]), text[1:-1])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
