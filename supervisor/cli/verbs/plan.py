"""``pdsup plan``: compiles a recipe and shows or writes the plan."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from supervisor.assignment import reader
from supervisor.errors import SupervisorError

SUMMARY = "compile a recipe to a cluster plan"
EXAMPLE = "pdsup plan recipe.yaml --nodes node[0-3] -o plan.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("file", metavar="RECIPE", type=Path, help="a recipe, or a plan to check")
    parser.add_argument(
        "--nodes", metavar="LIST", help="a Slurm host list: node[0-3]; default: the Slurm job's"
    )
    parser.add_argument(
        "--engine", choices=("sglang", "mock"), help="default: the recipe's backend.type"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="A.B=VALUE",
        action="append",
        default=[],
        help="change one setting of the recipe; may be repeated",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the plan there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of YAML")


def run(args: argparse.Namespace) -> int:
    """Prints the plan, or writes it."""
    from supervisor.plan import loader, writer  # late: the list of verbs needs no compiler

    given = loader.parse_nodes(args.nodes) if args.nodes else loader.slurm_nodes(os.environ)
    loaded = loader.load(
        args.file, nodes=given, engine=args.engine, overrides=tuple(args.overrides)
    )
    text = loaded.text
    if args.json:
        text = (json.dumps(writer.values(loaded.plan), indent=2) + "\n").encode()
    if args.output is None:
        sys.stdout.buffer.write(text)
    else:
        _write(args.output, text)
    return 0


def _write(path: Path, text: bytes) -> None:
    try:
        reader.write_atomically(path, text, 0o644)
    except OSError as error:
        raise SupervisorError(f"cannot write {path}: {error.strerror}") from error
