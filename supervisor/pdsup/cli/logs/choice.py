"""Chooses logs by the names of units, globs, groups, or ``agent@NODE``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from pdsup.answers.commands import LogFile
from pdsup.cli.screens import progress
from pdsup.errors import NothingThere

AGENT = "agent@"


def chosen(
    units: Sequence[LogFile], agents: Sequence[LogFile], patterns: Collection[str]
) -> list[LogFile]:
    """The logs that the patterns name; ``all`` means all units. Raises NothingThere for a pattern
    that names none.
    """
    for pattern in patterns:
        if not any(_is_meant(log, pattern) for log in (*units, *agents)):
            raise NothingThere(_unknown(pattern, units))
    return [log for log in (*units, *agents) if any(_is_meant(log, each) for each in patterns)]


def agent_log(node: str, path: str) -> LogFile:
    """The log of the agent of a node."""
    return LogFile(path=path, name=f"{AGENT}{node}")


def _is_meant(log: LogFile, pattern: str) -> bool:
    if log.name.startswith(AGENT):
        return pattern.startswith(AGENT) and fnmatchcase(log.name, pattern)
    return pattern == "all" or progress.is_named(log, pattern)


def _unknown(pattern: str, units: Iterable[LogFile]) -> str:
    if pattern.startswith(AGENT):
        return (
            f"cannot show logs of {pattern}: no such log here; an agent that pdsup up has not "
            "started writes to stderr, in a Slurm job to the output of the job"
        )
    return progress.unknown("show logs of", [pattern], units)
