"""Loads a recipe or plan file: gives a checked plan, or raises with every problem at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup.errors import InvalidDocument, Problem, WrongUsage, short
from pdsup.plan import masks, yaml
from pdsup.plan.compile.plan_file import read_plan
from pdsup.plan.document import source
from pdsup.plan.document.source import Source
from pdsup.plan.document.syntax import Item
from pdsup.plan.model import Bind, Node, Plan

if TYPE_CHECKING:
    from pdsup.plan.engines.engine import EngineName
    from pdsup.plan.recipe.doubts import Machine


@dataclass(frozen=True)
class Loaded:
    """A checked plan; ``text`` is the plan file's content and ``digest`` its SHA-256 in hex.

    ``recipe``: the recipe it was compiled from, after the choice of a variant and overrides; None
    for a plan file. ``warnings``: what is probably wrong with it.
    """

    plan: Plan
    text: bytes
    digest: str
    recipe: Item | None = field(default=None, compare=False, repr=False)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def mode(self) -> int:
        """The mode of a file with this plan."""
        return masks.plan_mode(self.plan)


@dataclass(frozen=True)
class Checked:
    """What was found good: the plans by the name of their variant, and the warnings about them.

    The name is None in a file without variants.
    """

    plans: tuple[tuple[str | None, Plan], ...]
    warnings: tuple[Problem, ...]


def load(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    bind: Bind = "any",
    engine: EngineName | None = None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
    machine: Machine | None = None,
) -> Loaded:
    """The plan in ``path``, or the plan that its recipe compiles to on ``nodes``.

    ``nodes``, ``bind``, ``engine``, ``overrides`` (``a.b=value``) and ``variant`` apply to recipes
    only; ``path`` may also be FILE:VARIANT. ``machine`` is asked for doubts about a recipe.

    Raises InvalidDocument with every problem, UnreadableDocument, or WrongUsage for a recipe
    without nodes or with an ambiguous variant, and for a plan with overrides.
    """
    file = source.read_one(path, variant, overrides)
    if file.is_plan:
        return Loaded(read_plan(file), file.content, yaml.digest(file.content))
    plan, warnings = _compile(file, nodes, bind, engine, machine)
    if nodes is None:
        raise WrongUsage(
            f"cannot place {file.path}: it is a recipe; give --nodes, or run it in a Slurm job"
        )
    text = yaml.write(plan)
    return Loaded(plan, text, yaml.digest(text), file.root, warnings)


def check(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
) -> Plan:
    """The plan as ``load`` returns it, on invented nodes if a recipe comes without nodes."""
    return _checked(source.read_one(path, variant, overrides), nodes, None)[0]


def check_all(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
    machine: Machine | None = None,
) -> Checked:
    """The plans of all variants of a file.

    Raises as ``load`` does. InvalidDocument has the problems of all variants, each with the names
    of its variants.
    """
    plans: list[tuple[str | None, Plan]] = []
    by_problem: dict[Problem, list[str]] = {}
    files = source.read(path, variant, overrides)
    for file in files:
        try:
            plan, found = _checked(file, nodes, machine)
            plans.append((file.variant, plan))
        except InvalidDocument as error:
            found = error.problems
        for problem in found:
            by_problem.setdefault(problem, []).append(file.variant or "")
    named = (_with_variants(problem, names, len(files)) for problem, names in by_problem.items())
    problems = source.listed(named) if len(files) > 1 else tuple(named)
    if len(plans) < len(files):
        raise InvalidDocument(str(files[0].path), problems)
    return Checked(tuple(plans), problems)


def _with_variants(problem: Problem, names: list[str], of: int) -> Problem:
    """The problem with the names of its variants in the message."""
    if of == 1:
        return problem
    where = "every variant" if len(names) == of else short(", ".join(names))
    return problem._replace(message=f"{problem.message} (in {where})")


def node_count(path: Path, overrides: tuple[str, ...] = (), variant: str | None = None) -> int:
    """How many nodes the recipe needs or the plan has; raises as ``load`` does."""
    return len(check(path, nodes=None, overrides=overrides, variant=variant).nodes)


def _checked(
    file: Source, nodes: tuple[Node, ...] | None, machine: Machine | None
) -> tuple[Plan, tuple[Problem, ...]]:
    return (read_plan(file), ()) if file.is_plan else _compile(file, nodes, "any", None, machine)


def _compile(
    file: Source,
    nodes: tuple[Node, ...] | None,
    bind: Bind,
    engine: EngineName | None,
    machine: Machine | None,
) -> tuple[Plan, tuple[Problem, ...]]:
    # Late: an agent that takes over reads a plan; what knows recipes would cost it 1 MB and 20 ms.
    from pdsup.plan.compile.recipe_file import compile_recipe

    return compile_recipe(file, nodes, bind, engine, machine)
