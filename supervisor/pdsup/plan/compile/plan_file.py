"""Reads a plan file: gives a checked plan, or raises with every problem at once.

An agent that takes over reads the plan that it runs and no recipe, so this imports nothing of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup.errors import InvalidDocument, Problem, short
from pdsup.plan import masks, programs
from pdsup.plan.compile import check_relations
from pdsup.plan.document import faults, tree
from pdsup.plan.document.source import Source
from pdsup.plan.model import Plan
from pdsup.plan.recipe_paths import Causes
from pdsup.typed import Fault, Path, read

# The longest of ours lists every flag that a mistyped one could be.
LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class _Part:
    """A plan without its invalid units and hooks, and where the valid ones are in the file."""

    plan: Plan
    causes: Causes


def read_plan(file: Source) -> Plan:
    """The plan in a plan file. Raises InvalidDocument with every problem."""
    values = tree.plain(file.root)
    plan, part, problems = _typed(values)
    if plan is not None:
        stated = {place for place, unit in enumerate(values["units"]) if "probes" in unit}
        plan = programs.probed(plan, stated)
        problems += check_relations.check(plan)
    elif part is not None:
        problems += part.causes.locate(check_relations.check_part(part.plan))
    refuse(file, problems)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


def _typed(values: Any) -> tuple[Plan | None, _Part | None, tuple[Problem, ...]]:
    """The plan, or its valid part (if any) and every type error and unknown key."""
    whole, wrong = read(Plan, values)
    problems = tuple(faults.problems(Plan, wrong))
    return whole, _sound_part(values, wrong) if wrong else None, problems


def _sound_part(values: Any, found: Iterable[Fault]) -> _Part | None:
    for fault in found:
        if fault.unknown:
            faults.drop(values, fault.path)
    wrong = {fault.path[:2] for fault in found if not fault.unknown}
    if not isinstance(values, dict) or not isinstance(values.get("units"), tuple):
        return None
    kept = {key: _sound_places(values, key, wrong) for key in ("units", "hooks")}
    sound = {key: [values[key][index] for index in places] for key, places in kept.items()}
    part, _ = read(Plan, {**values, **sound})
    moved = {
        f"{key}.{new}": f"{key}.{old}"
        for key, places in kept.items()
        for new, old in enumerate(places)
    }
    return _Part(part, Causes(moved, inside=True)) if part else None


def _sound_places(values: Mapping[str, Any], key: str, wrong: Container[Path]) -> tuple[int, ...]:
    entries = values.get(key)
    count = len(entries) if isinstance(entries, tuple) else 0
    return tuple(index for index in range(count) if (key, index) not in wrong)


def refuse(file: Source, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As ``Source.refuse``, without the values of settings whose names look secret."""
    try:
        return tuple(map(_shown, file.refuse(problems)))
    except InvalidDocument as error:
        raise InvalidDocument(error.file, tuple(map(_shown, error.problems))) from None


def _shown(problem: Problem) -> Problem:
    message = masks.without_value(problem.path.rpartition(".")[2], problem.message)
    setting = problem.setting and masks.BY_FORM(problem.setting)
    # It may quote any value of the file.
    return problem._replace(message=short(masks.BY_FORM(message), LONGEST_MESSAGE), setting=setting)
