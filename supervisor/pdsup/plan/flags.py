"""The flags that a recipe gives to a program: checks, writes and reads them. Pure."""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pdsup.errors import Problem
from pdsup.plan.check_sizes import too_long
from pdsup.plan.document.syntax import join
from pdsup.typed import MOST_HINTS, show, suggestion

_FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def spelled(flags: Mapping[str, Any], at: str) -> tuple[dict[str, Any], list[Problem]]:
    """Flags in kebab case (``mem-fraction-static``), each once. ``at``: the path of their table."""
    flags_by_name: dict[str, Any] = {}
    problems = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if not _FLAG.fullmatch(name):
            problems.append(Problem(join(at, name), f"{show(name)} can't be the name of a flag"))
        elif flag in flags_by_name:
            problems.append(Problem(join(at, name), f"the flag --{flag} is given twice"))
        elif why := next(filter(None, map(too_long, words([(flag, value)]))), None):
            problems.append(Problem(join(at, name), why))
        else:
            flags_by_name[flag] = value
    return flags_by_name, problems


def path_of(flag: str, flags: Mapping[str, Any], at: str) -> str:
    """The path of a flag, with the recipe's spelling."""
    written = next((name for name in flags if name.replace("_", "-") == flag), flag)
    return join(at, written)


def unwanted(flag: str, flags: Mapping[str, Any], at: str, reason: str) -> Problem:
    """The problem of a flag that a recipe can't set."""
    return Problem(path_of(flag, flags, at), f"can't be set: {reason}; leave it out")


def no_port(flag: str, flags: Mapping[str, Any], at: str) -> Problem:
    """The problem of a value that is not a port."""
    return Problem(path_of(flag, flags, at), "must be a port: a whole number, 1 to 65535")


def port(value: Any) -> int | None:
    """The port in a value; None if there is no value, 0 if it is not a port."""
    if value is None:
        return None
    number = _number(str(value))
    return number if number <= 65535 else 0


def words(flags: Iterable[tuple[str, Any]], *, repeat: bool = False) -> tuple[str, ...]:
    """Flags as command-line words, as srtctl writes them; false and null flags are left out.

    A true flag is written alone. The values of a list follow its flag; with ``repeat``, the flag is
    written before each value.
    """
    line: list[str] = []
    for name, value in flags:
        match value:
            case None | False | () | []:
                continue
            case True:
                line.append(f"--{name}")
            case list() | tuple() if repeat:
                line += (word for entry in value for word in (f"--{name}", _word(entry)))
            case list() | tuple():
                line += [f"--{name}", *map(_word, value)]
            case _:
                line += [f"--{name}", _word(value)]
    return tuple(line)


def value_of(command: Sequence[str], flag: str, default: str) -> str:
    """The word after a flag in a command, or ``default``."""
    for word, following in itertools.pairwise(command):
        if word == flag:
            return following
    return default


def number_of(command: Sequence[str], *spellings: str) -> int:
    """The number after a flag with several spellings; 0 if there is none."""
    return _number(next((word for flag in spellings if (word := value_of(command, flag, ""))), ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


def _word(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


@dataclass(frozen=True, kw_only=True)
class KnownFlags:
    """The flags of a program, without their dashes.

    ``choices``: the values that some of them may have. ``numbers``: those that take a number, with
    the type that reads it. ``switches``: those without a value; None: unknown. ``certain``: the
    installed program said so itself; another version may have other flags.
    """

    program: str
    names: frozenset[str]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, type[int] | type[float]] = field(default_factory=dict)
    switches: frozenset[str] | None = None
    certain: bool = False

    def has_beginning(self, text: str) -> bool:
        """Whether a flag begins with ``text``: argparse takes any beginning that is clear."""
        at = bisect.bisect_left(self._ordered, text)
        return at < len(self._ordered) and self._ordered[at].startswith(text)

    @cached_property
    def _ordered(self) -> list[str]:
        return sorted(self.names)


def doubts(known: KnownFlags, given: Mapping[str, Any], at: str) -> Iterator[Problem]:
    """What a program does not accept of its flags: errors if that is certain, else warnings."""
    hints = MOST_HINTS
    for name, value in given.items():
        flag = name.replace("_", "-")
        if value not in (None, False) and (why := _doubt(known, flag, value, hints > 0)):
            hints -= 1
            yield Problem(join(at, name), why, severity="error" if known.certain else "warning")


def _doubt(known: KnownFlags, flag: str, value: Any, hinted: bool) -> str | None:
    program = f"the installed {known.program}" if known.certain else known.program
    if flag not in known.names:
        # Some have a --no-FLAG too.
        if flag.removeprefix("no-") in known.names or known.has_beginning(flag):
            return None
        hint = suggestion(flag, known.names) if hinted else ""
        return f"{program} has no flag --{flag[:60]}{hint or _newer(known)}"
    if known.switches is not None and (value is True) != (flag in known.switches):
        takes = "takes no value" if flag in known.switches else "needs a value"
        return f"--{flag} of {program} {takes}"
    for one in map(_word, value if isinstance(value, list | tuple) else (value,)):
        if flag in known.choices and one not in known.choices[flag]:
            hint = suggestion(one, known.choices[flag]) if hinted else ""
            choices = f"; choose from {', '.join(known.choices[flag])}"
            return f"{program} does not accept {show(one)} for --{flag}{hint or choices}"
        if flag in known.numbers and not _is(known.numbers[flag], one):
            return f"--{flag} of {program} takes a number, not {show(one)}"
    return None


def _newer(known: KnownFlags) -> str:
    return "" if known.certain else "; another version may have it"


def _is(kind: type[int] | type[float], word: str) -> bool:
    try:
        kind(word)
    except ValueError:
        return False
    return True
