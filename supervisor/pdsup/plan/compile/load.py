"""A file with a recipe or a plan, loaded: a checked plan, or every problem at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pdsup.errors import InvalidDocument, Problem, WrongUsage
from pdsup.plan import programs, yaml
from pdsup.plan.compile import addresses, check_relations
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.compile.plan import Compiled, compile_plan
from pdsup.plan.document import source, tree
from pdsup.plan.document.source import Source
from pdsup.plan.document.syntax import Item
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.model import Bind, Node, Plan
from pdsup.plan.recipe import schema
from pdsup.plan.recipe.read import hopeless, normalise


@dataclass(frozen=True)
class Loaded:
    """A checked plan; ``text`` is the plan file's content and ``digest`` its SHA-256 in hex.

    ``recipe``: what it was compiled from, its variant chosen and its settings changed; None for a
    plan file.
    """

    plan: Plan
    text: bytes
    digest: str
    recipe: Item | None = field(default=None, compare=False, repr=False)


def load(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    bind: Bind = "any",
    engine: EngineName | None = None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
) -> Loaded:
    """The plan in ``path``, or the one its recipe compiles to on ``nodes``.

    ``nodes``, ``bind``, ``engine``, ``overrides`` (``a.b=value``) and ``variant`` concern recipes
    only; ``path`` may also be FILE:VARIANT. Raises InvalidDocument with every problem,
    UnreadableDocument, or WrongUsage when a recipe comes without nodes or without a choice among
    its variants, or a plan with overrides.
    """
    file = source.read_one(path, variant, overrides)
    if file.is_plan:
        return Loaded(_plan(file), file.content, yaml.digest(file.content))
    plan = _compile(file, nodes, bind, engine)
    if nodes is None:
        raise WrongUsage(
            f"cannot place {file.path}: it is a recipe; give --nodes, or run it in a Slurm job"
        )
    text = yaml.write(plan)
    return Loaded(plan, text, yaml.digest(text), file.root)


def check(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
) -> Plan:
    """The plan as ``load`` gives it, on invented nodes when a recipe comes without any."""
    return _checked(source.read_one(path, variant, overrides), nodes)


def check_all(
    path: Path,
    *,
    nodes: tuple[Node, ...] | None,
    overrides: tuple[str, ...] = (),
    variant: str | None = None,
) -> tuple[tuple[str | None, Plan], ...]:
    """Each variant's name with its plan; a recipe without variants has no name.

    Raises as ``load`` does. InvalidDocument has the problems of all variants, and which one each
    belongs to.
    """
    plans: list[tuple[str | None, Plan]] = []
    found: dict[Problem, list[str]] = {}
    files = source.read(path, variant, overrides)
    for file in files:
        try:
            plans.append((file.variant, _checked(file, nodes)))
        except InvalidDocument as error:
            for problem in error.problems:
                found.setdefault(problem, []).append(file.variant or "")
    if found:
        named = (_with_variants(problem, names, len(files)) for problem, names in found.items())
        raise InvalidDocument(str(files[0].path), tuple(sorted(named, key=source.order)))
    return tuple(plans)


def _with_variants(problem: Problem, names: list[str], of: int) -> Problem:
    """The problem with the variants it belongs to."""
    if of == 1:
        return problem
    where = "every variant" if len(names) == of else ", ".join(names)
    return replace(problem, message=f"{problem.message} (in {where})")


def node_count(path: Path, overrides: tuple[str, ...] = (), variant: str | None = None) -> int:
    """How many nodes the recipe takes or the plan has; raises as ``load`` does."""
    return len(check(path, nodes=None, overrides=overrides, variant=variant).nodes)


def _checked(file: Source, nodes: tuple[Node, ...] | None) -> Plan:
    return _plan(file) if file.is_plan else _compile(file, nodes, "any", None)


def _plan(file: Source) -> Plan:
    values = tree.plain(file.root)
    plan, part, found = schema.plan(values)
    if plan is not None:
        stated = {place for place, unit in enumerate(values["units"]) if "probes" in unit}
        plan = programs.probed(plan, stated)
        found += check_relations.check(plan)
    elif part is not None:
        found += part.causes.locate(check_relations.check_part(part.plan))
    file.refuse(found)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


def _compile(
    file: Source, nodes: tuple[Node, ...] | None, bind: Bind, engine: EngineName | None
) -> Plan:
    if file.broken:
        file.refuse(())
    values = tree.plain(file.root)
    if (reason := hopeless(values)) is not None:
        file.refuse((reason,))
    recipe, wrong = schema.recipe(values)
    deployment, found = normalise(recipe, engine)
    found += addresses.problems(recipe.network)
    found = wrong + tuple(problem for problem in found if not _follows(problem, wrong))
    plan = None
    if not any(_shapes(problem) for problem in (*file.problems, *found)):
        site = invented_nodes(deployment.nodes) if nodes is None else nodes
        # With listeners on one address each, that address is where a node is reached.
        if nodes is not None and bind == "any" and recipe.network and not found:
            site = addresses.addressed(nodes, recipe.network)
        compiled, late = compile_plan(deployment, site, bind)
        if compiled is not None:
            plan, late = compiled.plan, _checked_plan(compiled)
        known = {problem.path for problem in found}
        found += tuple(problem for problem in late if problem.path not in known)
    file.refuse(found)
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan


def _checked_plan(compiled: Compiled) -> tuple[Problem, ...]:
    """What is wrong with a compiled plan, at the settings of the recipe that cause it."""
    wrong = map(_not_of_recipe, check_relations.check(compiled.plan))
    found = compiled.causes.locate(wrong)
    # Several workers have a wrong setting in common; one line says it.
    first = {problem.path: problem for problem in reversed(found)}
    return tuple(first.values())


def _not_of_recipe(problem: Problem) -> Problem:
    """A problem of the nodes, which come from elsewhere, as one of the whole recipe."""
    if problem.path.partition(".")[0] != "nodes":
        return problem
    return Problem("", f"the nodes: {problem.message}")


def _follows(problem: Problem, causes: Iterable[Problem]) -> bool:
    """Whether a problem may only be there because a wrong setting was left out."""
    return any(
        cause.path == problem.path or cause.path.startswith(f"{problem.path}.") for cause in causes
    )


def _shapes(problem: Problem) -> bool:
    """Whether a problem makes it pointless to place the workers."""
    return problem.path.split(".")[0] in ("", "resources", "roles")
