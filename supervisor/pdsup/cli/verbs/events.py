"""``pdsup events``: shows the journal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from pdsup.cli import client, options
from pdsup.cli.screens import events
from pdsup.cli.terminal import fit, streams
from pdsup.errors import NothingThere
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals

EXAMPLE = "pdsup events 'decode-*' -n 20 -f"
# A shared file system does not notify other nodes when a file grows, so following means polling.
LOOK_S = 0.25


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.units(parser)
    parser.add_argument("-n", type=int, default=50, help="show the last N events (default: 50)")
    parser.add_argument("-f", action="store_true", help="follow: print new events until Ctrl-C")
    options.as_json(parser, "print one JSON list; with -f one JSON value per line")
    options.run_dir(parser, "which run, active or ended")


def run(args: argparse.Namespace) -> int:
    """Reads the journals in the run directory; no agent needs to be running."""
    journals = Journals(client.run_directory(args.run_dir, "show events"))
    found = events.about(journals.news(), args.units)
    if args.units and not found and not args.f:
        raise NothingThere(f"cannot show events of {', '.join(args.units)}: there are none")
    columns = events.widths(found)
    _print(found[-args.n :] if args.n > 0 else [], columns, args)
    if args.f:
        streams.end_with_the_reader()
    while args.f:
        sys.stdout.flush()
        time.sleep(LOOK_S)
        found = events.about(journals.news(), args.units)
        columns = events.widths(found, columns)
        _print(found, columns, args)
    return 0


def _print(entries: Sequence[Entry], columns: events.Widths, args: argparse.Namespace) -> None:
    if args.json and not args.f:
        print(json.dumps([dict(one.raw) for one in entries], indent=2))
        return
    if args.json:
        found = [json.dumps(dict(one.raw)) for one in entries]
    else:
        colour, width = fit.is_coloured(sys.stdout), fit.width(sys.stdout)
        found = events.lines(entries, columns, colour=colour, width=width)
    if found:
        print("\n".join(found))
