"""The meaning of a recipe's settings for its units: restarts and logs. Pure."""

from __future__ import annotations

from dataclasses import replace

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.document.syntax import join
from pdsup.plan.model import Log, Restart
from pdsup.plan.recipe.tables import RoleRestart, UnitLog


def count(
    value: int | None,
    path: str,
    problems: list[Problem],
    *,
    default: int = 0,
    least: int = 0,
    most: int,
) -> int:
    """The value if it is between ``least`` and ``most``, else the default and a problem."""
    if value is None:
        return default
    if not least <= value <= most:
        problems.append(Problem(path, f"must be {least} to {most}, not {value}"))
        return default
    return value


def restart(usual: Restart, given: RoleRestart | None, at: str, problems: list[Problem]) -> Restart:
    """The restart policy of units, with a recipe's settings at the path ``at``."""
    if given is None:
        return usual
    restarts = given.max_restarts
    if restarts is not None:
        path = join(at, "max_restarts")
        restarts = count(restarts, path, problems, most=defaults.MOST_RESTARTS)
        usual = replace(usual, max_failures=restarts + 1)
    delay = given.backoff
    if delay is not None and not 0 <= delay <= defaults.MOST_BACKOFF_S:
        message = f"must be 0 to {defaults.MOST_BACKOFF_S:g} seconds, not {delay}"
        problems.append(Problem(join(at, "backoff"), message))
    elif delay is not None:
        limit = max(usual.limit_s, delay)
        usual = replace(usual, first_delay_s=delay, delay_s=delay, limit_s=limit)
    # The window must be long enough for all failures with their delays.
    window = max(usual.window_s, 2 * usual.max_failures * usual.limit_s)
    return replace(usual, policy=given.policy or usual.policy, window_s=window)


def log(given: UnitLog | None) -> Log:
    """How units write their output, without the file."""
    settings = vars(given) if given else {}
    return Log(**{name: value for name, value in settings.items() if value is not None})
