"""The supported engines, and what they can tell about a worker's command. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdsup.plan.engines import mock, sglang
from pdsup.plan.engines.engine import Engine, EngineName

ENGINES: Mapping[EngineName, Engine] = {
    engine.name: engine for engine in (sglang.ENGINE, mock.ENGINE)
}
RANK_FLAGS = frozenset(flag for engine in ENGINES.values() for flag in engine.rank_flags)
DROPPED_FLAGS: Mapping[str, str] = {
    flag: reason for engine in ENGINES.values() for flag, reason in engine.dropped_flags.items()
}
REFUSALS: Mapping[str, str] = {
    path: meaning for engine in ENGINES.values() for path, meaning in engine.refusals.items()
}


def derived_ports(command: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The ports that a worker opens although no flag names them, each with a name.

    A script may hide which engine it starts, so each engine looks for its own flags.
    """
    by_engine = (engine.derived_ports(command) for engine in ENGINES.values())
    return next(filter(None, by_engine), ())
