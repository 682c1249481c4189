"""``pdsup completion``: prints shell completion scripts."""

from __future__ import annotations

import argparse

from pdsup.cli.screens.catalogue import VERBS

EXAMPLE = "source <(pdsup completion bash)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "shell",
        choices=("bash", "zsh", "fish", "names"),
        help="names lists the unit names; the scripts call it",
    )


def run(args: argparse.Namespace) -> int:
    """In fish: ``pdsup completion fish | source``. Unit names are completed while a cluster runs on
    this machine.
    """
    if args.shell == "names":
        print("\n".join(_names()))
        return 0
    from pdsup.cli.main import parser_of
    from pdsup.cli.screens import completion

    verbs = [completion.verb(name, summary, parser_of(name)) for name, summary in VERBS.items()]
    print(completion.SCRIPTS[args.shell](verbs), end="")
    return 0


def _names() -> list[str]:
    from pdsup.cli import client
    from pdsup.errors import SupervisorError

    try:
        found = client.status(client.cluster(None), every=True)
    except SupervisorError:
        return []
    return [unit.name for unit in found.units]
