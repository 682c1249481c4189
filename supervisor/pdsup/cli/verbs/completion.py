"""``pdsup completion``: scripts for shells."""

from __future__ import annotations

import argparse

from pdsup.cli.screens.catalogue import VERBS

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
