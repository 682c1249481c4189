"""What is probably wrong with a recipe, as far as the machine at hand can tell.

A flag that an engine or a router is not known to have, or that the installed router refuses; a
benchmark that is not run; a model that is not here. Only the installed router is certain, and only
if the recipe names no container with another one: newer programs have newer flags, and models may
be on the nodes alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from pdsup.errors import Problem
from pdsup.plan.document.syntax import join
from pdsup.plan.engines.known import ENGINES
from pdsup.plan.flags import KnownFlags, doubts
from pdsup.plan.frontends.frontend import Frontend
from pdsup.plan.recipe import benchmark
from pdsup.plan.recipe.deployment import Deployment
from pdsup.plan.recipe.unused import FLAGS, table
from pdsup.typed import suggestion

_ROUTER_ARGS = ("frontend.args", "frontend.sglang_router_args")


class Machine(Protocol):
    """What the machine at hand knows."""

    def flags(self, frontend: Frontend) -> KnownFlags | None:
        """The flags of the installed frontend; None if it is not installed."""

    def has(self, path: str) -> bool:
        """Whether a file or directory is here."""


def of(values: Mapping[str, Any], deployment: Deployment, machine: Machine) -> Iterator[Problem]:
    """The doubts about a recipe and the deployment that it asks for."""
    for at in FLAGS:
        yield from doubts(deployment.engine.known_flags, table(values, at), at)
    if (front := deployment.front) is not None:
        for at in _ROUTER_ARGS:
            if given := table(values, at):
                yield from doubts(_known(front.program, values, machine), given, at)
    yield from _benchmark(table(values, "benchmark"))
    if deployment.engine is ENGINES["sglang"]:
        yield from _model(table(values, "model").get("path"), machine)


def _benchmark(given: Mapping[str, Any]) -> Iterator[Problem]:
    kind = given.get("type")
    if not isinstance(kind, str) or given.get("command"):
        return
    if kind not in benchmark.TYPES:
        if hint := suggestion(kind, benchmark.TYPES):
            yield Problem("benchmark.type", f"{kind} is none that is run{hint}", severity="warning")
    elif kind in benchmark.NEEDED and (why := benchmark.lacking(given)):
        yield Problem("benchmark", f"{why}, so it is not run", severity="warning")
    for key in given.keys() - benchmark.SETTINGS:
        if hint := suggestion(key, benchmark.SETTINGS):
            path = join("benchmark", key)
            yield Problem(path, f"is not a setting that is used{hint}", severity="warning")


def _known(program: Frontend, values: Mapping[str, Any], machine: Machine) -> KnownFlags:
    known = machine.flags(program) or program.known_flags
    image = table(values, "srun_options").get("container-image")
    container = image or table(values, "model").get("container")
    return known if container in (None, "", "none") else replace(known, certain=False)


def _model(path: Any, machine: Machine) -> Iterator[Problem]:
    if not isinstance(path, str) or not path or machine.has(path):
        return
    if path.startswith("/"):
        why = "is not on this machine; it must be on the nodes, or mounted there"
    elif "/" not in path and ":" not in path:
        why = (
            "is neither a directory here nor a Hugging Face name (ORG/NAME); if it is an alias of "
            "srtslurm.yaml, give the directory: --set model.path=..."
        )
    else:
        return
    yield Problem("model.path", why, severity="warning")
