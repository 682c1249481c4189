"""The interface between the compiler and an engine, the program that workers run.

To add an engine, write a file in this folder that defines an ``Engine``, and list it in
``plan/engines/known.py``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.flags import KnownFlags
from pdsup.plan.model import Probes, Restart, Role, Stop

EngineName = Literal["sglang", "mock"]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A recipe's settings for the engine of one role. ``*_at``: their paths in the recipe.

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
    """An engine's flags: the ones that the compiler reads, and all others, unchanged, in ``flags``.

    ``port`` and ``bootstrap_port`` are None unless the recipe pins them. ``kv_events``: the
    settings for publishing KV cache events, without the port; None: events are not published.
    ``extra_args``: words appended to the command line.
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

    ``number``: the worker's index on its first node. ``host``: the address that listeners bind to.
    ``leader``: the address of rank 0's node. ``bootstrap``: the bootstrap port that the recipe pins
    for all prefills, if any.
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

    ``settle`` turns a recipe's settings into engine settings and problems. ``ports``, ``command``
    and ``probes`` are those of one rank's unit; ``probes`` gets the command and how many seconds
    loading may take. ``derived_ports``: the ports that the engine opens although no flag of the
    command names them, each with a name; none for a command without this engine's flags.

    ``rank_flags``: flags whose value differs between ranks. ``port_flags``: the flag that pins a
    port, by the port's purpose. ``dropped_flags``: flags that are accepted but not passed on, with
    the reason. ``known_flags``: those that its versions are known to have. ``refusals``: what it
    means that a probe of a path is refused. ``admin_paths``: what its API has for its owner, not
    for clients; each stands for all paths that begin so. ``load_tool``: the
    command of its load tool, with the flags of SGLang's. ``needs_gpus``: whether a Slurm job must
    request GPUs.
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
    known_flags: KnownFlags
    refusals: Mapping[str, str]
    restart: Mapping[Role, Restart]
    stop: Stop
    admin_paths: tuple[str, ...]
    load_tool: tuple[str, ...]
    needs_gpus: bool
