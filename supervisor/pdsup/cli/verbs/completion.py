"""``pdsup completion``: prints shell completion scripts."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdsup.cli.screens.catalogue import VERBS

EXAMPLE = "source <(pdsup completion bash)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "shell",
        choices=("bash", "zsh", "fish", "names", "runs"),
        help="names lists the units of the chosen run, runs the run directories; scripts call them",
    )


def run(args: argparse.Namespace) -> int:
    """In fish: ``pdsup completion fish | source``. Unit names are those of the run that
    ``--run-dir`` or PDSUP_RUN_DIR names, else of the run that ``pdsup status`` would choose.
    """
    if args.shell in ("names", "runs"):
        print("\n".join(_names() if args.shell == "names" else _runs()))
        return 0
    from pdsup.cli.main import parser_of
    from pdsup.cli.screens import completion

    verbs = [completion.verb(name, summary, parser_of(name)) for name, summary in VERBS.items()]
    print(completion.SCRIPTS[args.shell](verbs), end="")
    return 0


def _names() -> list[str]:
    from pdsup.cli import client
    from pdsup.cli.runs import choice
    from pdsup.cli.runs.past import PastRun
    from pdsup.errors import SupervisorError

    try:
        run = choice.choose(None, "complete names", looks=True, returns_in=0.0)
        found = run.cluster if run.cluster.sockets else PastRun(run.words, run.cluster)
        return [unit.name for unit in client.status(found, every=True).units]
    except SupervisorError:
        return []


def _runs() -> list[str]:
    """The run directories, relative to the current one if they are in it."""
    from pdsup.cli.runs import listing, living

    lines = [*listing.ended(), *listing.active(living.clusters())]
    here = f"{Path.cwd()}/"
    return [line.run_dir.removeprefix(here) for line in lines]
