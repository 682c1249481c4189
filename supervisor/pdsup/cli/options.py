"""The options that several verbs share. Pure."""

from __future__ import annotations

import argparse

# The exit status of a command that timed out, as of timeout(1).
TIMED_OUT = 124
# Of a sweep: how often a point is repeated, and the share of its requests that may fail.
REPEATS = 2
MOST_FAILED = 0.05


def units(
    parser: argparse.ArgumentParser,
    meaning: str = "names, globs or groups such as decode (default: all)",
) -> None:
    """Adds ``args.units``: any number of names, globs or groups; empty means all units."""
    parser.add_argument("units", nargs="*", metavar="UNIT", help=meaning)


def as_json(
    parser: argparse.ArgumentParser, meaning: str = "print one JSON value instead of lines"
) -> None:
    """Adds ``args.json``: whether to print JSON."""
    parser.add_argument("--json", action="store_true", help=meaning)


def run_dir(
    parser: argparse.ArgumentParser,
    meaning: str = "which run, if several are active on this machine",
) -> None:
    """Adds ``args.run_dir``: a path as text, or None."""
    parser.add_argument("--run-dir", help=meaning)


def allow_writable(parser: argparse.ArgumentParser) -> None:
    """Adds ``args.allow_writable``: whether others may be able to change what is run."""
    parser.add_argument(
        "--allow-writable",
        action="store_true",
        help="run although others may write to the recipe, a hook or the run directory, and so "
        "choose what you run",
    )


def timeout(parser: argparse.ArgumentParser, meaning: str, default: float | None = None) -> None:
    """Adds ``args.timeout``, in seconds."""
    parser.add_argument("--timeout", type=float, default=default, metavar="S", help=meaning)


def recipe_choice(
    parser: argparse.ArgumentParser, variant: str = "which recipe of a file that holds several"
) -> None:
    """Adds ``args.variant`` (which recipe of a file) and ``args.overrides`` (its settings)."""
    parser.add_argument("--variant", metavar="NAME", help=variant)
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="A.B=VALUE",
        action="append",
        default=[],
        help="override one setting of the recipe; repeatable",
    )


def since(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Adds ``args.since``, as text; ``when`` parses it."""
    example = "5m (ago), 14:30 or 2026-11-28T14:30"
    parser.add_argument("--since", metavar="TIME", help=f"{meaning}: {example}")


def when(
    text: str | None, option: str, purpose: str, now: float, *, ahead: bool = False
) -> float | None:
    """The time that an option means, in seconds since the epoch; None if it is not given.

    ``ahead``: it is a time to come. Raises WrongUsage.
    """
    if text is None:
        return None
    from pdsup import times  # late: help needs none of them
    from pdsup.errors import WrongUsage

    at = times.parsed_ahead(text, now) if ahead else times.parsed(text, now)
    if at is None:
        raise WrongUsage(f"cannot {purpose}: {option} {text}: give 5m, 14:30 or 2026-11-28T14:30")
    return at
