"""The interface between the compiler and a frontend, the program between clients and workers.

To add a frontend, write a file in this folder that defines a ``Frontend``, and list it in
``plan/frontends/known.py``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.flags import KnownFlags
from pdsup.plan.model import Probes, Role, Stop

# How a router is started: as a Python module, or, for its successor SMG, as a program.
Launcher = Literal["sglang_router.launch_router", "smg launch"]


@dataclass(frozen=True, slots=True)
class Route:
    """A worker that a frontend sends requests to. ``bootstrap``: a prefill's port, as text."""

    role: Role
    url: str
    bootstrap: str | None


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """One frontend.

    ``settle`` merges a recipe's arguments, at the given path, over the defaults. ``ports``: the
    ports besides the one for clients. ``command``: the command line with these arguments, over
    these workers, listening on a host and a port. ``routes``: the workers that a command names;
    none for a command without this frontend's flags. ``port_flags``: the flag that pins a port, by
    the port's purpose. ``admin_paths``: what its API has for its owner, not for clients; each
    stands for all paths that begin so. ``module``: the Python module that reads its arguments;
    ``known_flags``: those that its versions are known to have.
    """

    launcher: Launcher
    module: str
    known_flags: KnownFlags
    settle: Callable[[Mapping[str, Any], str], tuple[dict[str, Any], tuple[Problem, ...]]]
    ports: Callable[[Mapping[str, Any]], dict[str, int]]
    command: Callable[[Mapping[str, Any], tuple[Route, ...], str, int], tuple[str, ...]]
    probes: Callable[[tuple[Route, ...]], Probes]
    routes: Callable[[Sequence[str]], tuple[Route, ...]]
    port_flags: Mapping[str, str]
    admin_paths: tuple[str, ...]
    stop: Stop
