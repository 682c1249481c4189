"""Maps parts of a plan to the settings they come from, so that a problem points at its cause.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from pdsup.errors import Problem
from pdsup.plan.model import Log


def log_causes(at: str) -> Mapping[str, str]:
    """The causes of a unit's ``log``, for the settings at the path ``at``."""
    names = (each.name for each in fields(Log) if each.name != "file")
    return {"log": at, **{f"log.{name}": f"{at}.{name}" for name in names}}


@dataclass(frozen=True, slots=True)
class Causes:
    """Paths in the file, by the paths of the parts of the plan that they decide.

    A part without an entry has the cause of the nearest part around it; without one it is at the
    same path in the file. ``inside``: below a part, paths in plan and file are the same.
    """

    paths: Mapping[str, str]
    inside: bool = False

    def locate(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems of a plan, at their paths in the file."""
        return tuple(self._located(problem) for problem in problems)

    def _located(self, problem: Problem) -> Problem:
        parts = problem.path.split(".")
        for length in range(len(parts), 0, -1):
            cause = self.paths.get(".".join(parts[:length]))
            if cause is not None:
                rest = parts[length:] if self.inside else []
                return problem._replace(path=".".join((cause, *rest)))
        return problem
