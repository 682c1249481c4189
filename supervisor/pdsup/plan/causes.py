"""Where in its file each part of a plan comes from, so that a problem points at what to change.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pdsup.errors import Problem


@dataclass(frozen=True, slots=True)
class Causes:
    """By the path of a part of the plan: the path in the file that decides on it.

    A part that is not there itself has the cause of the nearest one around it, or comes from the
    same path. ``inside``: what lies inside a part lies at the same place inside its cause.
    """

    paths: Mapping[str, str]
    inside: bool = False

    def locate(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems of the plan as problems of its file."""
        return tuple(self._located(problem) for problem in problems)

    def _located(self, problem: Problem) -> Problem:
        parts = problem.path.split(".")
        for length in range(len(parts), 0, -1):
            cause = self.paths.get(".".join(parts[:length]))
            if cause is not None:
                rest = parts[length:] if self.inside else []
                return replace(problem, path=".".join((cause, *rest)))
        return problem
