"""Reads a recipe or a plan from a file and gives a checked plan, or every problem at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import hostlist

from supervisor.errors import InvalidDocument, Problem, UnreadableDocument, WrongUsage
from supervisor.plan import document, graph, schema, syntax, writer
from supervisor.plan.compile import compile_plan
from supervisor.plan.deployment import Engine
from supervisor.plan.limits import NAME
from supervisor.plan.model import Bind, Node, Plan
from supervisor.plan.normalise import hopeless, normalise
from supervisor.plan.syntax import Item

# A plan of 1000 nodes has 2 MB. The bound keeps /dev/zero and model weights out of memory.
MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Loaded:
    """A checked plan; ``text`` is the plan file's content and ``digest`` its SHA-256 in hex."""

    plan: Plan
    text: bytes
    digest: str


def load(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    bind: Bind = "any",
    engine: Engine | None = None,
    overrides: tuple[str, ...] = (),
) -> Loaded:
    """The plan in ``path``, or the one its recipe compiles to on ``nodes``.

    ``nodes``, ``bind``, ``engine`` and ``overrides`` (``a.b=value``) concern recipes only.
    Raises InvalidDocument with every problem, UnreadableDocument, or WrongUsage when a recipe
    comes without nodes or a plan with overrides.
    """
    file = _read(path, overrides)
    if file.is_plan:
        return Loaded(_plan(file), file.content, writer.digest(file.content))
    plan = _compile(file, nodes, bind, engine)
    if nodes is None:
        raise WrongUsage(
            f"cannot place {path}: it is a recipe; give --nodes, or run it in a Slurm job"
        )
    text = writer.write(plan)
    return Loaded(plan, text, writer.digest(text))


def check(path: Path, *, nodes: tuple[Node, ...] | None, overrides: tuple[str, ...] = ()) -> Plan:
    """The plan as ``load`` gives it, on invented nodes when a recipe comes without any."""
    file = _read(path, overrides)
    return _plan(file) if file.is_plan else _compile(file, nodes, "any", None)


def node_count(path: Path, overrides: tuple[str, ...] = ()) -> int:
    """How many nodes the recipe takes or the plan has; raises as ``load`` does."""
    return len(check(path, nodes=None, overrides=overrides).nodes)


def invented_nodes(count: int) -> tuple[Node, ...]:
    """``node0``, ``node1`` ... for a recipe that is looked at without real ones."""
    return tuple(Node(name=f"node{i}", address=f"node{i}") for i in range(count))


def slurm_nodes(environ: Mapping[str, str]) -> tuple[Node, ...] | None:
    """The nodes of the Slurm job that ``environ`` tells of, or None outside of one."""
    given = environ.get("SLURM_JOB_NODELIST") or environ.get("SLURM_NODELIST")
    return parse_nodes(given) if given else None


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Nodes from a Slurm host list such as ``node[0-3],login``; the address is the name.

    Raises WrongUsage for what is not one.
    """
    try:
        names = hostlist.expand_hostlist(text)
    except (hostlist.BadHostlist, ValueError, RecursionError) as error:
        cause = "it is too long" if isinstance(error, RecursionError) else error
        raise WrongUsage(f"cannot read node list {text[:80]!r}: {cause}") from None
    if not names:
        raise WrongUsage(f"cannot read node list {text[:80]!r}: it names no node")
    if bad := next((name for name in names if not NAME.fullmatch(name)), None):
        raise WrongUsage(f"cannot read node list {text[:80]!r}: {bad[:80]!r} is no host name")
    return tuple(Node(name=name, address=name) for name in names)


@dataclass(frozen=True, slots=True)
class _File:
    """What was read: the bytes, the values after overrides, and the problems up to there."""

    path: Path
    content: bytes
    root: Item
    problems: tuple[Problem, ...]
    is_plan: bool


def _read(path: Path, overrides: tuple[str, ...]) -> _File:
    content = _content(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            f"cannot read {path}: it is not text (no UTF-8 at byte {error.start})"
        ) from None
    parsed = syntax.parse(text)
    root, problems = parsed.root, parsed.problems
    is_plan = isinstance(root.value, dict) and "plan" in root.value
    if is_plan and overrides:
        raise WrongUsage(f"cannot change {path}: it is a plan; --set works on recipes")
    for setting in overrides if root.value is not None or not problems else ():
        root, found = document.override(root, setting)
        problems += tuple(document.locate(root, problem) for problem in found)
    return _File(path, content, root, problems, is_plan)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UnreadableDocument(f"cannot read {path}: {cause}") from None
    if len(content) > MOST_BYTES:
        raise UnreadableDocument(f"cannot read {path}: it has more than {MOST_BYTES >> 20} MiB")
    return content


def _plan(file: _File) -> Plan:
    with _without_plugins():
        plan, partial, found = schema.plan(document.plain(file.root))
    if plan is not None:
        found += graph.check(plan)
    elif partial is not None:
        found += tuple(_renumbered(problem, partial) for problem in graph.check_part(partial.plan))
    _refuse(file, found)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


def _renumbered(problem: Problem, partial: schema.Partial) -> Problem:
    match problem.path.split("."):
        case ["units", index, *rest]:
            place = str(partial.units[int(index)])
            return replace(problem, path=".".join(("units", place, *rest)))
        case _:
            return problem


def _compile(
    file: _File, nodes: tuple[Node, ...] | None, bind: Bind, engine: Engine | None
) -> Plan:
    values = document.plain(file.root)
    if (reason := hopeless(values)) is not None:
        # A file that is not YAML is as empty as an empty one, but that is not what is wrong.
        _refuse(file, () if file.problems and values is None else (reason,))
    with _without_plugins():
        recipe, wrong = schema.recipe(values)
    deployment, found = normalise(recipe, engine)
    found = wrong + tuple(problem for problem in found if not _follows(problem, wrong))
    plan = None
    if not any(_shapes(problem) for problem in (*file.problems, *found)):
        site = invented_nodes(deployment.nodes) if nodes is None else nodes
        plan, late = compile_plan(deployment, site, bind)
        known = {problem.path for problem in found}
        found += tuple(problem for problem in late if problem.path not in known)
    _refuse(file, found)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


@contextlib.contextmanager
def _without_plugins() -> Iterator[None]:
    """Keeps the validation library from looking for plug-ins of its own.

    It would open the metadata of every installed package: 30 ms here, and far more on the shared
    file system of a cluster. Not left set: children may want theirs.
    """
    name, value = "PYDANTIC_DISABLE_PLUGINS", "__all__"
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _follows(problem: Problem, causes: Iterable[Problem]) -> bool:
    """Whether a problem may only be there because a wrong setting was left out."""
    return any(
        cause.path == problem.path or cause.path.startswith(f"{problem.path}.") for cause in causes
    )


def _shapes(problem: Problem) -> bool:
    """Whether a problem makes it pointless to place the workers."""
    return problem.path.split(".")[0] in ("", "resources")


def _refuse(file: _File, found: Iterable[Problem]) -> None:
    """Raises InvalidDocument when anything is wrong with the file."""
    located = {*file.problems, *(document.locate(file.root, problem) for problem in found)}
    if located:
        ordered = sorted(located, key=lambda p: (p.line, p.column, p.path, p.message))
        raise InvalidDocument(str(file.path), tuple(ordered))
