"""``pdsup help``: what there is."""

from __future__ import annotations

import argparse
import importlib

SUMMARY = "show what pdsup can do"
EXAMPLE = "pdsup help"


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints the verbs with a line each."""
    from supervisor.cli.main import VERBS

    print("usage: pdsup VERB [ARGS]     (pdsup VERB --help tells the arguments)\n")
    for name in VERBS:
        print(f"  {name:10} {importlib.import_module(f'supervisor.cli.verbs.{name}').SUMMARY}")
    return 0
