"""Loads a recipe or plan file: gives a checked plan, or raises with every problem at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pdsup.errors import InvalidDocument, Problem, WrongUsage, short
from pdsup.plan import masks, programs, yaml
from pdsup.plan.compile import addresses, check_relations
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.compile.plan import Compiled, compile_plan
from pdsup.plan.document import source, tree
from pdsup.plan.document.source import Source
from pdsup.plan.document.syntax import Item
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.model import Bind, Node, Plan
from pdsup.plan.recipe import doubts, sbatch, schema
from pdsup.plan.recipe.doubts import Machine
from pdsup.plan.recipe.read import hopeless, normalise

# The longest of ours lists every flag that a mistyped one could be.
LONGEST_MESSAGE = 1000


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
        return Loaded(_plan(file), file.content, yaml.digest(file.content))
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
    return (_plan(file), ()) if file.is_plan else _compile(file, nodes, "any", None, machine)


def _plan(file: Source) -> Plan:
    values = tree.plain(file.root)
    plan, part, problems = schema.plan(values)
    if plan is not None:
        stated = {place for place, unit in enumerate(values["units"]) if "probes" in unit}
        plan = programs.probed(plan, stated)
        problems += check_relations.check(plan)
    elif part is not None:
        problems += part.causes.locate(check_relations.check_part(part.plan))
    _refuse(file, problems)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


def _compile(
    file: Source,
    nodes: tuple[Node, ...] | None,
    bind: Bind,
    engine: EngineName | None,
    machine: Machine | None,
) -> tuple[Plan, tuple[Problem, ...]]:
    if file.broken:
        _refuse(file, ())
    values = tree.plain(file.root)
    if (reason := hopeless(values)) is not None:
        _refuse(file, (reason,))
    recipe, wrong = schema.recipe(values)
    deployment, problems = normalise(recipe, engine)
    problems += (*addresses.problems(recipe.network), *sbatch.problems(values))
    problems = wrong + tuple(problem for problem in problems if not _follows(problem, wrong))
    plan = None
    if not any(_prevents_placement(problem) for problem in (*file.problems, *problems)):
        site = invented_nodes(deployment.nodes) if nodes is None else nodes
        # If listeners bind to one address, it is the one in ``nodes``: look up no other.
        if nodes is not None and bind == "any" and recipe.network and not problems:
            site = addresses.addressed(nodes, recipe.network)
        compiled, late = compile_plan(deployment, site, bind)
        if compiled is not None:
            plan, late = compiled.plan, _checked_plan(compiled)
        known = {problem.path for problem in problems}
        problems += tuple(problem for problem in late if problem.path not in known)
    known = {problem.path for problem in problems}
    doubted = doubts.of(values, deployment, machine) if machine else ()
    warnings = _refuse(file, (*problems, *(one for one in doubted if one.path not in known)))
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan, warnings


def _checked_plan(compiled: Compiled) -> tuple[Problem, ...]:
    """The problems of a compiled plan, at the settings of the recipe that cause them."""
    wrong = map(_not_of_recipe, check_relations.check(compiled.plan))
    found = compiled.causes.locate(wrong)
    # A wrong setting is wrong for all its workers; report it once.
    first = {problem.path: problem for problem in reversed(found)}
    return tuple(first.values())


def _not_of_recipe(problem: Problem) -> Problem:
    """A problem of the nodes, which are not in the recipe, as a problem of the whole recipe."""
    if problem.path.partition(".")[0] != "nodes":
        return problem
    return Problem("", f"the nodes: {problem.message}")


def _follows(problem: Problem, causes: Iterable[Problem]) -> bool:
    """Whether a problem may only be the consequence of a wrong setting that was dropped."""
    return any(
        cause.path == problem.path or cause.path.startswith(f"{problem.path}.") for cause in causes
    )


def _prevents_placement(problem: Problem) -> bool:
    """Whether a problem makes it pointless to place the workers."""
    return problem.path.split(".")[0] in ("", "resources", "roles")


def _refuse(file: Source, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As ``Source.refuse``, without the values of settings whose names look secret."""
    try:
        return tuple(map(_shown, file.refuse(problems)))
    except InvalidDocument as error:
        raise InvalidDocument(error.file, tuple(map(_shown, error.problems))) from None


def _shown(problem: Problem) -> Problem:
    message = masks.without_value(problem.path.rpartition(".")[2], problem.message)
    setting = problem.setting and masks.BY_FORM(problem.setting)
    # It may quote any value of the file.
    return problem._replace(message=short(masks.BY_FORM(message), LONGEST_MESSAGE), setting=setting)
