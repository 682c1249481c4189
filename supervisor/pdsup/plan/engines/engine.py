"""What the compiler asks of an engine, the program that workers run.

Another engine is another file in this folder that makes an ``Engine``, and an entry in
``plan/engines/known.py``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.model import Probes, Restart, Role, Stop

EngineName = Literal["sglang", "mock"]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a recipe says to the engine of one role. ``*_at``: the paths where it does.

    ``model_path``: the model of the whole recipe. ``kv_events``: true, false or a table.
    """

    role: Role
    model_path: str
    flags: Mapping[str, Any]
    kv_events: Any
    extra_args: tuple[str, ...]
    flags_at: str
    kv_events_at: str


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """An engine's flags: those the compiler needs to know, and the rest in ``flags`` as they are.

    ``port`` and ``bootstrap_port`` are None unless the recipe pins them. ``kv_events``: what
    the engine is told of publishing its cache's events, without the port; None: nothing.
    ``extra_args``: words that end the command line.
    """

    model_path: str
    served_model_name: str
    port: int | None
    bootstrap_port: int | None
    flags: Mapping[str, Any]
    kv_events: Mapping[str, Any] | None = None
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One rank of a worker and its place.

    ``number``: how many workers its first node had before it. ``host``: what its listeners bind
    to. ``leader``: the address of the node of rank 0. ``bootstrap``: the port that the recipe pins
    for the prefills of the whole cluster.
    """

    role: Role
    rank: int
    ranks: int
    number: int
    host: str
    leader: str
    bootstrap: int | None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine.

    ``settle`` splits what a recipe says into settings and problems. ``ports``, ``command`` and
    ``probes`` are those of the unit of one rank; ``probes`` gets the command and how many seconds
    loading may take. ``derived_ports``: what this engine listens on though no flag of the command
    says so, each port with a name for it; none for a command without this engine's flags.

    ``rank_flags``: those whose value is each rank's own. ``port_flags``: where a recipe pins a
    port, by the port's purpose. ``dropped_flags``: those that are accepted and not passed on, with
    the reason. ``needs_gpus``: whether a Slurm job must ask for them.
    """

    name: EngineName
    settle: Callable[[Given], tuple[EngineSettings, tuple[Problem, ...]]]
    ports: Callable[[EngineSettings, Rank], dict[str, int]]
    command: Callable[[EngineSettings, Rank], tuple[str, ...]]
    probes: Callable[[Rank, tuple[str, ...], float], Probes]
    derived_ports: Callable[[Sequence[str]], tuple[tuple[str, int], ...]]
    rank_flags: frozenset[str]
    port_flags: Mapping[str, str]
    dropped_flags: Mapping[str, str]
    restart: Mapping[Role, Restart]
    stop: Stop
    needs_gpus: bool
