"""The words of a command line in a recipe. Pure."""

from __future__ import annotations

import shlex
from typing import Any

from pdsup.errors import Problem
from pdsup.plan.check_sizes import too_long
from pdsup.typed import show


def words(given: Any, at: str, problems: list[Problem]) -> tuple[str, ...]:
    """The words of a command line, from a list or from text that is split like a shell does."""
    split = _split(given, at, problems)
    long = [Problem(at, why) for word in split if (why := too_long(word))]
    problems += long
    return () if long else split


def _split(given: Any, at: str, problems: list[Problem]) -> tuple[str, ...]:
    match given:
        case None:
            return ()
        case str():
            try:
                return tuple(shlex.split(given))
            except ValueError:
                problems.append(Problem(at, f"{show(given)} has an unclosed quotation mark"))
        case list() | tuple():
            if all(isinstance(w, str | int | float) and not isinstance(w, bool) for w in given):
                return tuple(map(str, given))
            problems.append(Problem(at, "may contain only texts and numbers"))
        case _:
            problems.append(Problem(at, f"must be a list of words, not {show(given)}"))
    return ()
