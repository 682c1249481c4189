"""The command line: finds the verb, runs it, and turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from supervisor.cli.catalogue import VERBS

ALIASES = {"tail": "logs", "--version": "version", "-h": "help", "--help": "help"}


def entry() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    """Runs one command; the exit status."""
    name = ALIASES.get(words[0], words[0]) if words else "help"
    if name not in VERBS:
        return _unknown(name)
    args = parsed(name, words[1:])
    return reported(_verb(name).run, args)


def parsed(name: str, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one verb; ``command``, for a verb that takes one, is what follows ``--``.

    Exits with 2 and a message when they are wrong, as argparse does.
    """
    own, command = _split(words) if _takes_command(name) else (words, ())
    return parser_of(name).parse_args(own, argparse.Namespace(command=list(command)))


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one verb's arguments."""
    verb, summary = _verb(name), VERBS[name]
    parser = argparse.ArgumentParser(
        prog=f"pdsup {name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {verb.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.arguments(parser)
    if _takes_command(name):
        parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [-- COMMAND ...]"
    return parser


def _verb(name: str) -> Any:
    return importlib.import_module(f"supervisor.cli.verbs.{name}")


def _takes_command(name: str) -> bool:
    return getattr(_verb(name), "TAKES_COMMAND", False)


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before and after the first ``--``; argparse mistakes options for COMMAND's."""
    at = list(words).index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def reported(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """``run(args)``, with every error a user can act on told in one line on stderr."""
    try:
        return run(args)
    except BrokenPipeError:
        # Whoever read our output has enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> int:
    """The exit status of what a user can act on; a defect goes on its way."""
    from supervisor.errors import InvalidDocument, SupervisorError  # late: mostly there are none

    if not isinstance(error, SupervisorError):
        raise error
    if isinstance(error, InvalidDocument):
        for problem in error.problems:
            print(problem.at(error.file), file=sys.stderr)
    print(f"pdsup: {error}", file=sys.stderr)
    return error.exit_status


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, VERBS, n=1)
    hint = f"did you mean {near[0]}?" if near else "see pdsup help"
    print(f"pdsup: cannot run {name}: no such command; {hint}", file=sys.stderr)
    return 2
