"""The command line: finds the verb, runs it, and turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pdsup.cli.screens.catalogue import VERBS

# A query makes fewer objects than that: collections among them find nothing, and would cost a
# twentieth of its time.
GARBAGE_THRESHOLD = 100_000
ALIASES = {"tail": "logs", "--version": "version", "-h": "help", "--help": "help"}


def entry() -> None:
    """The entry point of the ``pdsup`` command."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    from pdsup.cli.terminal import streams  # late: callers of ``main`` have their own streams

    streams.take_streams()
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    name = ALIASES.get(words[0], words[0]) if words else "help"
    return reported(lambda: _run(name, words[1:]))


def _run(name: str, words: Sequence[str]) -> int:
    if name not in VERBS:
        from pdsup.cli.screens import usage
        from pdsup.errors import WrongUsage

        hint = usage.meant(name, VERBS)
        raise WrongUsage(f"cannot run {name}: no such command; {hint}")
    try:
        args = parsed(name, words)
    except SystemExit:  # argparse has printed the help
        status = 0
    else:
        status = _verb(name).run(args)
    sys.stdout.flush()  # a failed write must be reported now; at exit it is too late
    return status


def parsed(name: str, words: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments of one verb; ``command``, if it takes one, is what follows ``--``; None
    without ``--``.

    Raises WrongUsage if they are wrong, and SystemExit after printing help.
    """
    own, command = _split(words) if _takes_command(name) else (words, None)
    parser = parser_of(name)
    given = None if command is None else list(command)
    args, unknown = parser.parse_known_args(own, argparse.Namespace(command=given))
    if unknown:
        from pdsup.cli.screens import usage
        from pdsup.errors import WrongUsage

        raise WrongUsage(f"{name}: {usage.unexpected(unknown, parser)}")
    return args


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one verb's arguments."""
    verb, summary = _verb(name), VERBS[name]
    about = (verb.run.__doc__ or "").replace("`", "")
    parser = _Parser(
        prog=f"pdsup {name}",
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{about}",
        epilog=verb.EXAMPLE,
    )
    verb.arguments(parser)
    parser.set_defaults(takes_command=_takes_command(name))
    return parser


def _verb(name: str) -> Any:
    return importlib.import_module(f"pdsup.cli.verbs.{name.replace('-', '_')}")


def _takes_command(name: str) -> bool:
    return getattr(_verb(name), "TAKES_COMMAND", False)


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """The words before and after the first ``--``: argparse would parse COMMAND's options."""
    if "--" not in words:
        return words, None
    at = list(words).index("--")
    return words[:at], words[at + 1 :]


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors like all others and prints the help of the reference."""

    def _get_formatter(self) -> argparse.HelpFormatter:
        # Each new argument is formatted once. Without a width that imports shutil, for 2 ms.
        return argparse.HelpFormatter(self.prog, width=80)

    def format_help(self) -> str:
        from pdsup.cli.screens import help
        from pdsup.cli.terminal import fit

        width = fit.width(sys.stdout) or help.MOST
        return "\n".join([*help.page(self, str(self.description), str(self.epilog), width), ""])

    def error(self, message: str) -> NoReturn:
        from pdsup.cli.screens import usage
        from pdsup.errors import WrongUsage

        verb = self.prog.removeprefix("pdsup ")
        raise WrongUsage(f"{verb}: {usage.explained(message, self)}")


def reported(run: Callable[[], int]) -> int:
    """Runs ``run`` and reports every error that a user can act on in one line on stderr."""
    try:
        return run()
    except BrokenPipeError:
        # The reader of our output has closed the pipe; the rest of the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Reports an error that a user can act on and returns its exit status; raises any other."""
    from pdsup.cli.terminal.say import say  # late: rarely needed
    from pdsup.errors import InvalidDocument, SupervisorError

    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        say(f"pdsup: cannot use the path {str(error.filename)[:80]}...: {error.strerror}")
        return SupervisorError.exit_status
    if not isinstance(error, SupervisorError):
        raise error
    if isinstance(error, InvalidDocument):
        for problem in error.problems:  # a line each, which editors parse
            print(problem.at(error.file), file=sys.stderr)
    say(f"pdsup: {error}")
    return error.exit_status
