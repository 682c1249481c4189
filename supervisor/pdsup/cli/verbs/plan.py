"""``pdsup plan``: compiles a recipe and shows or writes the plan."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pdsup import files
from pdsup.cli import options
from pdsup.cli.terminal import fit
from pdsup.errors import SupervisorError, WrongUsage
from pdsup.node.paths import PLAN_FILE
from pdsup.node.run_dir import refuse_own_file
from pdsup.plan.engines.engine import EngineName

if TYPE_CHECKING:
    from pdsup.plan.compile.load import Loaded
    from pdsup.plan.model import Node


EXAMPLE = "pdsup plan recipe.yaml --nodes node[0-3] -o plan.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("file", metavar="RECIPE", type=Path, help="a recipe, or a plan to check")
    parser.add_argument(
        "--nodes",
        metavar="LIST",
        help="a Slurm host list: node[0-3]; default: the nodes of the Slurm job",
    )
    parser.add_argument(
        "--addresses", metavar="LIST", help="one address per node, in the same order"
    )
    parser.add_argument(
        "--engine", choices=get_args(EngineName), help="default: the recipe's backend.type"
    )
    options.recipe_choice(parser, "which recipe of a file that holds several, as in FILE:NAME")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write to FILE instead of stdout"
    )
    parser.add_argument(
        "--explain", action="store_true", help="explain node by node what runs where and why"
    )
    options.as_json(parser, "print JSON instead of YAML or text")


def run(args: argparse.Namespace) -> int:
    """Prints the plan, writes it to a file, or explains it.

    `--explain` works without `--nodes`: it then makes up node names. Warnings are as for `check`.
    """
    from pdsup.cli.terminal.say import warn
    from pdsup.node.installed import Installed
    from pdsup.plan.compile import load  # late: not needed for help
    from pdsup.plan.compile.nodes import invented_nodes

    overrides = tuple(args.overrides)
    nodes = _nodes(args)
    if nodes is None and args.explain:
        nodes = invented_nodes(load.node_count(args.file, overrides, args.variant))
    loaded = load.load(
        args.file,
        nodes=nodes,
        engine=args.engine,
        overrides=overrides,
        variant=args.variant,
        machine=Installed(),
    )
    warn(str(args.file), loaded.warnings)
    text = _explained(args, loaded) if args.explain else _plan(args, loaded)
    if args.output is None:
        sys.stdout.buffer.write(text)
    else:
        # What --explain tells holds no secrets.
        _write(args.output, text, 0o644 if args.explain else loaded.mode)
    return 0


def _nodes(args: argparse.Namespace) -> tuple[Node, ...] | None:
    from pdsup.plan.compile.nodes import parse_nodes, slurm_nodes  # late: not needed for help

    if args.nodes:
        return parse_nodes(args.nodes, args.addresses)
    if args.addresses:
        raise WrongUsage("cannot use --addresses alone: give --nodes too, one for each address")
    return slurm_nodes(os.environ)


def _plan(args: argparse.Namespace, loaded: Loaded) -> bytes:
    from pdsup.plan import yaml

    return _json(yaml.values(loaded.plan)) if args.json else loaded.text


def _explained(args: argparse.Namespace, loaded: Loaded) -> bytes:
    from pdsup.cli.screens import plan
    from pdsup.plan.compile import explanation
    from pdsup.plan.recipe.unused import Notes, notes

    found = Notes() if loaded.recipe is None else notes(loaded.recipe)
    told = explanation.explanation(loaded.plan, found)
    if args.json:
        return _json(explanation.as_json(told))
    width = None if args.output else fit.width(sys.stdout)
    return "".join(f"{line}\n" for line in plan.lines(told, width or plan.WIDTH)).encode()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write(path: Path, text: bytes, mode: int) -> None:
    # A plan in a run directory may be replaced: a reload reads it from there.
    refuse_own_file(path, "write the plan", but=PLAN_FILE)
    try:
        files.write_output(path, text, mode)
    except OSError as error:
        raise SupervisorError(f"cannot write {path}: {error.strerror}") from error
