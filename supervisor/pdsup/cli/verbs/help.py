"""``pdsup help``: lists the commands, or explains one."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pdsup.cli import options
from pdsup.cli.screens.catalogue import VERBS
from pdsup.cli.terminal import fit
from pdsup.cli.terminal.fold import folded

EXAMPLE = "pdsup help status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "verb",
        nargs="?",
        metavar="VERB",
        choices=tuple(VERBS),
        help="explain this command (default: list them all)",
    )
    parser.add_argument(
        "--man", action="store_true", help="print the manual page of all commands: | man -l -"
    )
    options.as_json(parser, "print one JSON value instead of text")


def run(args: argparse.Namespace) -> int:
    """Lists the commands, one a line; with VERB, prints the same as ``pdsup VERB --help``."""
    if args.man:
        _manual()
    elif args.verb is not None:
        from pdsup.cli import main  # late: the list imports no verb

        parser = main.parser_of(args.verb)
        print(_json(_verb(parser)) if args.json else parser.format_help().rstrip())
    elif args.json:
        verbs = [{"name": name, "summary": about} for name, about in VERBS.items()]
        print(_json({"verbs": verbs}))
    else:
        _list()
    return 0


def _manual() -> None:
    import pdsup
    from pdsup.cli import main  # late: it imports every verb
    from pdsup.cli.screens import help

    print("\n".join(help.manual(map(main.parser_of, VERBS), pdsup.__version__)))


def _list() -> None:
    print("usage: pdsup VERB [ARGS]     (pdsup help VERB explains one)\n")
    width, widest = fit.width(sys.stdout), max(map(len, VERBS))
    for name, summary in VERBS.items():
        print("\n".join(folded([f"  {name:{widest}}  {summary}"], width, " " * (widest + 2))))


def _verb(parser: argparse.ArgumentParser) -> dict[str, Any]:
    from pdsup.cli.screens import help

    return {
        "usage": " ".join(help.usage(parser)),
        "about": " ".join(str(parser.description).split()),
        "arguments": [_argument(one, help.value(one)) for one in help.arguments(parser)],
        "example": parser.epilog,
    }


def _argument(action: argparse.Action, value: str) -> dict[str, Any]:
    """One argument as JSON. ``value`` is the placeholder of its value, null if it takes none."""
    return {
        "options": list(action.option_strings),
        "value": value or None,
        "choices": list(action.choices or ()),
        "required": action.required,
        "help": action.help,
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)
