"""What gauges in Prometheus' text form say of a unit: which groups have no good member left.

A router tells so of its breakers: the workers of a role that it would not ask. Pure.
"""

from __future__ import annotations

import re

from pdsup.plan.model import Gauges

_QUOTED = r'"(?:[^"\\]|\\.)*"'
# A name, labels, a value; the time that may follow is of no interest.
_LINE = re.compile(rf"([a-zA-Z_:][\w:]*)\{{((?:[^\"{{}}]|{_QUOTED})*)\}}\s+(\S+)")
_LABEL = re.compile(rf"([a-zA-Z_]\w*)\s*=\s*({_QUOTED})")


def exhausted(gauges: Gauges, text: str) -> tuple[str, ...]:
    """The groups all of whose members stand at ``bad``, as far as ``text`` tells of them.

    A group that it tells nothing of is none of them.
    """
    values = _values(gauges, text)
    return tuple(
        group
        for group, members in gauges.groups.items()
        if (told := [values[member] for member in members if member in values])
        if all(value == gauges.bad for value in told)
    )


def sentence(gauges: Gauges, groups: tuple[str, ...]) -> str:
    """``every prefill and every decode has an open breaker``."""
    return f"{' and '.join(f'every {group}' for group in groups)} has {gauges.means}"


def total(name: str, text: str) -> float:
    """The sum over all lines of a gauge, with labels or without; 0 when there is none."""
    found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})?\s+(\S+)", text, re.M)
    return sum(map(_number, found))


def _values(gauges: Gauges, text: str) -> dict[str, float]:
    """The gauge's value by the value of its label."""
    found = {}
    for line in text.splitlines():
        if (sample := _LINE.match(line)) and sample[1] == gauges.name:
            labels = {name: _unquoted(value) for name, value in _LABEL.findall(sample[2])}
            if gauges.label in labels:
                found[labels[gauges.label]] = _number(sample[3])
    return found


def _unquoted(text: str) -> str:
    escapes = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    return re.sub(r"\\.", lambda found: escapes.get(found[0], found[0]), text[1:-1])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
