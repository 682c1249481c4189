"""The options that several verbs take: their names and forms, and what they usually mean. Pure."""

from __future__ import annotations

import argparse

# The exit status of a command that waited as long as it may, as of timeout(1).
TIMED_OUT = 124


def units(parser: argparse.ArgumentParser) -> None:
    """``args.units``: any number of names or globs; none: all units."""
    parser.add_argument("units", nargs="*", metavar="UNIT", help="names or globs (default: all)")


def as_json(
    parser: argparse.ArgumentParser, meaning: str = "one JSON value instead of lines"
) -> None:
    """``args.json``: whether to print JSON."""
    parser.add_argument("--json", action="store_true", help=meaning)


def run_dir(
    parser: argparse.ArgumentParser, meaning: str = "which run, when several are on this machine"
) -> None:
    """``args.run_dir``: a path as text, or None."""
    parser.add_argument("--run-dir", help=meaning)


def timeout(parser: argparse.ArgumentParser, meaning: str, default: float | None = None) -> None:
    """``args.timeout``: seconds."""
    parser.add_argument("--timeout", type=float, default=default, metavar="S", help=meaning)


def recipe_choice(
    parser: argparse.ArgumentParser, variant: str = "which recipe of a file with several"
) -> None:
    """``args.variant`` and ``args.overrides``: which recipe of a file, and what to change in it."""
    parser.add_argument("--variant", metavar="NAME", help=variant)
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="A.B=VALUE",
        action="append",
        default=[],
        help="change one setting of the recipe; may be repeated",
    )
