"""Writes the Slurm job script of a recipe, which starts one agent on each node.

All values are checked and quoted. Slurm parses the ``#SBATCH`` lines itself, with quotes but
without a shell; bash reads the rest. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.document import tree
from pdsup.plan.document.syntax import Item, join
from pdsup.plan.engines.known import ENGINES
from pdsup.typed import show, suggestion

SLURM = {"account": "account", "partition": "partition", "time_limit": "time"}
# The options that the agents depend on, by section of the recipe.
FIXED: Mapping[str, frozenset[str]] = {
    "sbatch_directives": frozenset({"nodes", "ntasks", "ntasks-per-node", "signal", "job-name"}),
    "srun_options": frozenset({"ntasks", "ntasks-per-node", "kill-on-bad-exit", "wait"}),
}
_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
# minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes[:seconds]
_TIME = re.compile(r"[0-9]+(:[0-9]+){0,2}|[0-9]+-[0-9]+(:[0-9]+){0,2}|UNLIMITED|INFINITE", re.I)
_BARE = re.compile(r"[A-Za-z0-9_.,:+@%=/*\[\]-]+")
# Slurm versions differ in how they read quotes and escapes, so these are refused.
_UNSAFE = re.compile("[\"'\\\\\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, kw_only=True)
class Job:
    """The contents of the script. An option without a value is None. ``selection``: options of
    ``pdsup plan``, such as a variant and overrides. ``signal_before_s``: seconds between USR1 and
    the end of the job. ``more``: options of ``pdsup agent``.
    """

    recipe: str
    name: str
    nodes: int
    signal_before_s: int
    directives: Mapping[str, str | None] = field(default_factory=dict)
    srun: Mapping[str, str | None] = field(default_factory=dict)
    selection: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


def problems(values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """The problems of a recipe's Slurm settings, which only a job script needs."""
    found: list[Problem] = []
    for _ in _slurm(values.get("slurm"), found):
        pass
    for section in FIXED:
        for _ in _options(values, section, found):
            pass
    return tuple(found)


def options(
    recipe: Item,
) -> tuple[dict[str, str | None], dict[str, str | None], tuple[Problem, ...]]:
    """The options of sbatch and of srun for a valid recipe, and the problems with these options.

    The recipe's options override those chosen here; false removes an option.
    """
    values = tree.plain(recipe)
    found: list[Problem] = []
    directives = {
        **_allocation(values),
        **dict(_slurm(values.get("slurm"), found)),
        **dict(_options(values, "sbatch_directives", found)),
    }
    for name, value in _inside(values, "sbatch_directives").items():
        if value is False:
            directives.pop(name, None)
    if _inside(values, "resources").get("het_jobs"):
        message = "is not supported in job scripts yet: each component needs its own allocation"
        found.append(Problem("resources.het_jobs", message))
    return directives, dict(_options(values, "srun_options", found)), tuple(found)


def script(job: Job) -> str:
    """The text of the whole script."""
    directives = {
        "job-name": job.name,
        "nodes": str(job.nodes),
        "ntasks-per-node": "1",
        # Without "B:", so that the signal goes to the agents and not to this script.
        "signal": f"USR1@{job.signal_before_s}",
        **job.directives,
    }
    agent = shlex.quote(_file(job.recipe))
    plan = ""
    if job.selection:
        agent = '"$PDSUP_RUN_DIR/job.yaml"'
        words = shlex.join(["pdsup", "plan", _file(job.recipe), *job.selection])
        plan = PLAN.format(srun=_srun(job, {"nodes": "1", "ntasks": "1"}), plan=words, file=agent)
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {_directive(*pair)}" for pair in directives.items()),
        name=shlex.quote(job.name),
        plan=plan,
        srun=_srun(job, {"ntasks-per-node": "1", "kill-on-bad-exit": "0", "wait": "0"}),
        agent=" ".join((agent, *job.more)),
    )


SCRIPT = """\
#!/bin/bash
{directives}

# scancel and the time limit send TERM to this shell too. Ignore it: the job ends with this shell,
# and the agents may still be stopping their units.
trap '' TERM

# On a file system that all nodes share. pdsup commands below need no --run-dir.
export PDSUP_RUN_DIR=$PWD/runs/{name}-$SLURM_JOB_ID
(umask g-w,o-w && mkdir -p "$PDSUP_RUN_DIR")
{plan}
{srun} \\
    pdsup agent {agent} --run-dir "$PDSUP_RUN_DIR"
"""

PLAN = """
# Compile once, so that every agent runs the same plan.
{srun} \\
    {plan} \\
    --output {file} || exit
"""


def _allocation(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Options for whole nodes (ports are fixed) with their GPUs; a recipe can remove them."""
    whole: dict[str, str | None] = {"exclusive": None}
    gpus = _inside(values, "resources").get("gpus_per_node") or defaults.GPUS_PER_NODE
    named = [_inside(values, table).get("type") for table in ("backend", "engine")]
    named.append(values.get("engine"))
    if any(name in named and not engine.needs_gpus for name, engine in ENGINES.items()):
        return whole
    return {**whole, "gpus-per-node": str(gpus)}


def _inside(values: Any, key: str) -> Mapping[str, Any]:
    """The table at ``key``, or an empty one."""
    table = values.get(key)
    return table if isinstance(table, dict) else {}


def _file(path: str) -> str:
    """The path, written so that no command takes it for an option."""
    return f"./{path}" if path.startswith("-") else path


def _srun(job: Job, own: Mapping[str, str]) -> str:
    """The ``srun`` command: our options first, then the user's, one per line."""
    given = (pair for pair in job.srun.items() if pair[0] not in own)
    ours = shlex.join(["srun", *(_option(*pair) for pair in own.items())])
    return " \\\n    ".join([ours, *(shlex.quote(_option(*pair)) for pair in given)])


def _option(name: str, value: str | None) -> str:
    return f"--{name}" if value is None else f"--{name}={value}"


def _directive(name: str, value: str | None) -> str:
    if value is None or _BARE.fullmatch(value):
        return _option(name, value)
    return f'--{name}="{value}"'


def _slurm(table: Any, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for key, value in _table(table, "slurm", problems):
        path = join("slurm", key)
        if key not in SLURM:
            problems.append(Problem(path, f"is not a known setting{suggestion(key, SLURM)}"))
        elif key == "time_limit" and not isinstance(value, str):
            hint = 'put it in quotes, as "04:00:00"'
            problems.append(Problem(path, f"is {show(value)} to YAML; {hint}"))
        elif key == "time_limit" and not _TIME.fullmatch(value):
            problems.append(Problem(path, f'must be a time like "04:00:00", not {show(value)}'))
        elif _usable(path, value, problems):
            yield SLURM[key], str(value)


def _options(
    values: Mapping[str, Any], section: str, problems: list[Problem]
) -> Iterator[tuple[str, str | None]]:
    for name, value in _table(values.get(section), section, problems):
        path = join(section, name)
        if not _OPTION.fullmatch(name):
            problems.append(Problem(path, f"{show(name)} can't be the name of an option"))
        elif name in FIXED[section]:
            problems.append(Problem(path, "can't be set: the agents depend on it; leave it out"))
        elif value is True or value == "":
            yield name, None
        elif value is not False and _usable(path, value, problems):
            yield name, str(value)


def _table(table: Any, at: str, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    """The settings of a table, without nulls."""
    if isinstance(table, dict):
        yield from ((key, value) for key, value in table.items() if value is not None)
    elif table is not None:
        problems.append(Problem(at, f"must be a table of settings, not {show(table)}"))


def _usable(path: str, value: Any, problems: list[Problem]) -> bool:
    """Whether a value can be written on a line for Slurm."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        problems.append(Problem(path, f"must be text or a whole number, not {show(value)}"))
    elif value == "" or _UNSAFE.search(str(value)):
        message = f"must be one line without quotes or backslashes, not {show(value)}"
        problems.append(Problem(path, message))
    else:
        return True
    return False
