"""What a plan does not show of its recipe: settings without effect, and how many routers it wants.

``pdsup plan --explain`` lists them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.document import tree
from pdsup.plan.document.syntax import Item, join
from pdsup.plan.engines.known import DROPPED_FLAGS
from pdsup.plan.recipe import benchmark
from pdsup.plan.recipe.schema import ignored

_LABEL = "a label; nothing depends on it"
_JOB = "only pdsup sbatch uses it"
_DYNAMO = "it is for Dynamo; SGLang's router does not need it"
_RECORDS = "srtctl's own records; pdsup keeps a journal in the run directory"
_MOUNTS = "give --container-mounts to pdsup sbatch"
# Reasons by dotted path; all other settings have ``OTHERWISE``.
REASONS: Mapping[str, str] = {
    "backend.gpu_type": _LABEL,
    "backend.mooncake_kv_store": "no such store is started; add it to the plan as a unit",
    "benchmark": "it is none that is run here, or lacks settings; add a command to run your own",
    "container_mounts": _MOUNTS,
    "dynamo": _DYNAMO,
    "enable_config_dump": "the plan in the run directory has every command line",
    "extra_mount": _MOUNTS,
    "frontend.dedicated_node": "routers share the workers' nodes",
    "frontend.dynamo_frontend_args": _DYNAMO,
    "frontend.nginx_container": "nginx runs where its agent does; see nginx_binary",
    "frontend.nginx_raise_ulimit": "nginx has the limits of the agent",
    "frontend.orchestrator_placement": "nothing runs outside the job's nodes",
    "identity": _RECORDS,
    "infra": _DYNAMO,
    "model.container": "its aliases are srtctl's; give --container-image to pdsup sbatch",
    "model.precision": _LABEL,
    "placement": "workers take the nodes in order",
    "observability": _RECORDS,
    "output": "logs are in the run directory",
    "profiling": "start profilers in the job script",
    "reporting": _RECORDS,
    "resources.gpu_type": _LABEL,
    "sbatch_directives": _JOB,
    "services": "add them to the plan as units",
    "setup_script": "the job script or the container must do it before the agents start",
    "slurm": _JOB,
    "srun_options": _JOB,
    "telemetry": _RECORDS,
}
OTHERWISE = "it is for srtctl; pdsup does not use it"
# The tables of the engine's flags.
FLAGS = (
    *(f"backend.sglang_config.{role}" for role in ("prefill", "decode", "aggregated")),
    *(f"roles.{role}.args" for role in ("prefill", "decode", "agg")),
)


@dataclass(frozen=True, kw_only=True)
class Unused:
    """A setting of the recipe that is accepted but not used. Lines count from 1."""

    path: str
    line: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Notes on a recipe. ``additional``: how many routers it asks for besides the first; None: one
    and no nginx, or unknown, as for a plan. ``stated``: the recipe says so, not the default.
    """

    unused: tuple[Unused, ...] = ()
    additional: int | None = None
    stated: bool = False


def notes(root: Item) -> Notes:
    """The notes on a valid recipe. ``root``: the tree of its variant, after overrides."""
    values = tree.plain(root)
    wanted = _older(values, "num_additional_frontends")
    several = _older(values, "enable_multiple_frontends") is not False
    return Notes(
        unused=tuple(sorted((_located(root, p) for p in _unused(values)), key=lambda u: u.line)),
        additional=(defaults.ADDITIONAL_FRONTENDS if wanted is None else wanted)
        if several
        else None,
        stated=wanted is not None,
    )


def _older(values: Any, name: str) -> Any:
    """A setting under ``frontend``, or in an older recipe under ``backend``."""
    newer = table(values, "frontend").get(name)
    return table(values, "backend").get(name) if newer is None else newer


def _unused(values: Any) -> Iterator[str]:
    for at, keys in ignored(values).items():
        given = table(values, at)
        yield from (join(at, key) for key in given if key in keys and given[key] is not None)
    given = table(values, "benchmark")
    if given and not given.get("command") and benchmark.lacking(given):
        yield "benchmark"
    for at in FLAGS:
        for flag in table(values, at):
            if flag.replace("_", "-") in DROPPED_FLAGS:
                yield join(at, flag)


def table(values: Any, path: str) -> Mapping[str, Any]:
    """The table at a dotted path, or an empty one."""
    for key in path.split(".") if path else ():
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _located(root: Item, path: str) -> Unused:
    flag = path.rpartition(".")[2].replace("_", "-")
    reason = DROPPED_FLAGS.get(flag) or REASONS.get(path, OTHERWISE)
    problem = tree.locate(root, Problem(path, reason))
    return Unused(path=path, line=problem.line, reason=problem.message)
