"""``pdsup completion``: scripts for shells."""

from __future__ import annotations

import argparse
import importlib

SUMMARY = "print a script with which a shell completes verbs, options and names of units"
EXAMPLE = "source <(pdsup completion bash)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """For which shell."""
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish", "names"), help="names: what the scripts ask for"
    )


def run(args: argparse.Namespace) -> int:
    """fish reads its own with ``pdsup completion fish | source``. The names are those of the units
    of the cluster that is here, and none without one.
    """
    if args.shell == "names":
        print("\n".join(_names()))
        return 0
    from supervisor.cli import shells
    from supervisor.cli.main import VERBS, parser_of

    verbs = [
        shells.verb(
            name, importlib.import_module(f"supervisor.cli.verbs.{name}").SUMMARY, parser_of(name)
        )
        for name in VERBS
    ]
    print(shells.SCRIPTS[args.shell](verbs), end="")
    return 0


def _names() -> list[str]:
    from supervisor.cli import client, progress
    from supervisor.errors import SupervisorError

    try:
        found = client.status(client.cluster(None), every=True)
    except SupervisorError:
        return []
    return [unit["name"] for unit in progress.units(found)]
