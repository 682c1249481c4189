"""What the compiler asks of a frontend, the program between clients (or nginx) and workers.

Another frontend is another file in this folder that makes a ``Frontend``, and an entry in
``plan/frontends/known.py``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.model import Probes, Role, Stop

# How a router is started: as a Python module, or its successor as a program.
Launcher = Literal["sglang_router.launch_router", "smg launch"]


@dataclass(frozen=True, slots=True)
class Route:
    """A worker that a frontend sends requests to; ``bootstrap``: a prefill's port, as written."""

    role: Role
    url: str
    bootstrap: str | None


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """One frontend.

    ``settle`` puts a recipe's arguments over the defaults; it gets their path, too. ``ports``:
    what it listens on besides the port for clients. ``command``: the command line with these
    arguments over these workers, listening on a host and a port. ``routes``: the workers that a
    command names, none for one without this frontend's flags. ``port_flags``: where a recipe pins
    a port, by the port's purpose.
    """

    launcher: Launcher
    settle: Callable[[Mapping[str, Any], str], tuple[dict[str, Any], tuple[Problem, ...]]]
    ports: Callable[[Mapping[str, Any]], dict[str, int]]
    command: Callable[[Mapping[str, Any], tuple[Route, ...], str, int], tuple[str, ...]]
    probes: Callable[[tuple[Route, ...]], Probes]
    routes: Callable[[Sequence[str]], tuple[Route, ...]]
    port_flags: Mapping[str, str]
    stop: Stop
