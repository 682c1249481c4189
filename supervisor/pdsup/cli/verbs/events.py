"""``pdsup events``: shows the journal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from pdsup import clock
from pdsup.cli import client, options
from pdsup.cli.screens import events
from pdsup.cli.screens.events import Fold, Shown
from pdsup.cli.terminal import fit, streams
from pdsup.errors import NothingThere
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.units.public_state import PublicState

EXAMPLE = "pdsup events 'decode-*' --since 1h --state FATAL -f"
# A shared file system does not notify other nodes when a file grows, so following means polling.
LOOK_S = 0.25
DEFAULT = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.units(parser)
    parser.add_argument(
        "-n", type=int, help=f"show the last N events (default: {DEFAULT}; with --since: all)"
    )
    parser.add_argument("-f", action="store_true", help="follow: print new events until Ctrl-C")
    options.since(parser, "only events since then")
    parser.add_argument("--until", metavar="TIME", help="only events until then")
    for name, meaning in (("state", "only changes to a state"), ("node", "only events of a node")):
        parser.add_argument(
            f"--{name}", metavar=name.upper(), action="append", default=[],
            type=str.upper if name == "state" else str, help=f"{meaning}; repeatable",
            choices=[state.value for state in PublicState] if name == "state" else None,
        )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="also each change of what a unit waits for"
    )
    options.as_json(parser, "print one JSON list; with -f one JSON value per line")
    options.run_dir(parser, "which run, active or ended")


def run(args: argparse.Namespace) -> int:
    """Reads the journals in the run directory; no agent needs to be running. While a unit is
    WAITING, each change of what it waits for is an event; these are left out, and counted in the
    unit's next event. ``--all`` and ``--json`` show them.
    """
    now = clock.wall()
    wanted = events.Wanted(
        units=args.units,
        nodes=args.node,
        states=args.state,
        since=options.when(args.since, "--since", "show events", now),
        until=options.when(args.until, "--until", "show events", now),
    )
    journals = Journals(client.run_directory(args.run_dir, "show events"))
    found = wanted.among(journals.news())
    if args.units and not found and not args.f:
        raise NothingThere(f"cannot show events of {', '.join(args.units)}: there are none")
    fold = None if args.all or args.json else Fold()
    shown = _shown(found, fold)
    count = DEFAULT if args.n is None and args.since is None else args.n
    shown = shown if count is None else shown[-count:] if count > 0 else []
    columns = events.widths(found)
    _print(shown, columns, args)
    if args.f:
        streams.end_with_the_reader()
    while args.f:
        sys.stdout.flush()
        time.sleep(LOOK_S)
        found = wanted.among(journals.news())
        columns = events.widths(found, columns)
        _print(_shown(found, fold), columns, args)
    return 0


def _shown(entries: Sequence[Entry], fold: Fold | None) -> list[Shown]:
    return fold.shown(entries) if fold else [Shown(one) for one in entries]


def _print(shown: Sequence[Shown], columns: events.Widths, args: argparse.Namespace) -> None:
    if args.json and not args.f:
        print(json.dumps([dict(one.entry.raw) for one in shown], indent=2))
        return
    if args.json:
        found = [json.dumps(dict(one.entry.raw)) for one in shown]
    else:
        colour, width = fit.is_coloured(sys.stdout), fit.width(sys.stdout)
        found = events.lines(shown, columns, colour=colour, width=width)
    if found:
        print("\n".join(found))
