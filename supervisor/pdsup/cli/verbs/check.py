"""``pdsup check``: lists every problem of a recipe or plan at once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pdsup.cli import options
from pdsup.errors import InvalidDocument, Problem
from pdsup.plan.model import Plan
from pdsup.printable import printable

EXAMPLE = "pdsup check recipe.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a recipe or a plan")
    parser.add_argument(
        "--nodes", metavar="LIST", help="a Slurm host list: node[0-3]; default: as many as needed"
    )
    options.recipe_choice(
        parser, "which recipe of a file that holds several, as in FILE:NAME; default: all"
    )
    options.as_json(parser, "print the problems as a JSON list")


def run(args: argparse.Namespace) -> int:
    """Flags that no known version of an engine or a router has, and a model that is not on this
    machine, are warnings. If the recipe sets arguments of the router, the installed router is asked
    for its flags, which takes half a second; what it refuses is a problem, or a warning if the
    recipe names a container with another router. Exit status: 0 if there
    is no problem, 1 if there are any.
    """
    from pdsup.node.installed import Installed
    from pdsup.plan.compile import load  # late: not needed for help
    from pdsup.plan.compile.nodes import parse_nodes

    try:
        checked = load.check_all(
            args.file,
            nodes=parse_nodes(args.nodes) if args.nodes else None,
            overrides=tuple(args.overrides),
            variant=args.variant,
            machine=Installed(),
        )
    except InvalidDocument as error:
        _print(error.file, error.problems, as_json=args.json)
        return error.exit_status
    _print(str(args.file), checked.warnings, as_json=args.json)
    if not args.json:
        print("\n".join(_good(args.file, variant, plan) for variant, plan in checked.plans))
    return 0


def _print(file: str, problems: tuple[Problem, ...], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([problem._asdict() for problem in problems], indent=2))
    elif problems:
        print("\n".join(problem.at(file) for problem in problems))


def _good(file: Path, variant: str | None, plan: Plan) -> str:
    which = "" if variant is None or str(file).endswith(f":{variant}") else f" {variant}:"
    size = f"{_count(len(plan.nodes), 'node')}, {_count(len(plan.units), 'unit')}"
    return printable(f"{file}:{which} good: {size}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
