"""``pdsup help``: what there is."""

from __future__ import annotations

import argparse
from typing import Any

from supervisor.cli.catalogue import VERBS

EXAMPLE = "pdsup help status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of what."""
    parser.add_argument(
        "verb", nargs="?", metavar="VERB", choices=tuple(VERBS), help="one of them (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value instead of text")


def run(args: argparse.Namespace) -> int:
    """The verbs with a line each, or what ``pdsup VERB --help`` says of one."""
    if args.verb is not None:
        from supervisor.cli import main  # late: the list of verbs imports none of them

        parser = main.parser_of(args.verb)
        print(_json(_verb(parser)) if args.json else parser.format_help().rstrip())
    elif args.json:
        verbs = [{"name": name, "summary": about} for name, about in VERBS.items()]
        print(_json({"verbs": verbs}))
    else:
        _list()
    return 0


def _list() -> None:
    print("usage: pdsup VERB [ARGS]     (pdsup help VERB tells the arguments)\n")
    for name, summary in VERBS.items():
        print(f"  {name:10} {summary}")


def _verb(parser: argparse.ArgumentParser) -> dict[str, Any]:
    return {
        "usage": " ".join(parser.format_usage().removeprefix("usage: ").split()),
        "about": parser.description,
        "arguments": [_argument(one) for one in parser._actions],
        "example": str(parser.epilog).removeprefix("example: "),
    }


def _argument(action: argparse.Action) -> dict[str, Any]:
    """``value``: what stands for it, null where an option takes none."""
    value = None if action.nargs == 0 else action.metavar or action.dest
    return {
        "options": list(action.option_strings),
        "value": value,
        "choices": list(action.choices or ()),
        "required": action.required,
        "help": action.help,
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)
