"""``pdsup logs``: shows the output of units."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any

from pdsup import clock
from pdsup.answers.commands import LogFile
from pdsup.cli import client, options
from pdsup.cli.logs import choice
from pdsup.cli.logs.unit_log import DEFAULT, Line, UnitLog
from pdsup.cli.terminal import streams
from pdsup.cli.terminal.say import say
from pdsup.errors import SupervisorError
from pdsup.units.logs import files

EXAMPLE = "pdsup logs 'decode-*' router-0 --since 5m -f"
# A shared file system does not notify other nodes when a file grows, so following means polling.
LOOK_S = 0.25

_MANY = "lines about probes are"
# A line of one of several logs.
Found = tuple[UnitLog, Line]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "units",
        nargs="+",
        metavar="UNIT",
        help="names, globs, groups such as decode, all, or agent@NODE",
    )
    parser.add_argument(
        "-n", type=int, help=f"the last N lines of each (default: {DEFAULT}; with --since: all)"
    )
    parser.add_argument("-f", action="store_true", help="follow: print new output until Ctrl-C")
    options.since(parser, "only lines since then")
    parser.add_argument("--noise", action="store_true", help="also lines about probes")
    parser.add_argument(
        "--timestamps",
        action="store_true",
        help="prefix each line with its time of arrival (needs log.timestamps)",
    )
    options.as_json(
        parser,
        "print one JSON value; with -f one per line: its text and its time of arrival or null",
    )
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Reads the logs in the run directory, so units of other nodes can be shown too. Lines of
    several units begin with the name of their unit and are in order of time: that of arrival where
    the plan sets log.timestamps, else the one in the line, else that of the line before it; with
    ``-f``, lines without a time are in the order in which they are seen. Lines about probes are
    left out and counted, but not in JSON.
    """
    purpose = f"show logs of {', '.join(args.units)}"
    since = options.when(args.since, "--since", purpose, clock.wall())
    with contextlib.ExitStack() as opened:
        logs = [UnitLog(file, noise=args.noise or args.json) for file in _files(args, purpose)]
        for log in logs:
            opened.callback(log.close)
        try:
            _begin(logs, args, since, purpose)
            (_print_json if args.json else _print_text)(logs, args)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SupervisorError(f"cannot {purpose}: {error.strerror}") from None
    return 0


def _files(args: argparse.Namespace, purpose: str) -> list[LogFile]:
    found = client.seen(args.run_dir, purpose)
    agents = sorted(Path(found.run_dir, "logs").glob(f"*{AGENT_LOG}"))
    named = [choice.agent_log(path.name.removesuffix(AGENT_LOG), str(path)) for path in agents]
    return choice.chosen(client.log_files(found), named, args.units)


# The end of the name of the log of an agent that ``pdsup up`` has started; its node is before it.
AGENT_LOG = "_agent.out"


def _begin(
    logs: Sequence[UnitLog], args: argparse.Namespace, since: float | None, purpose: str
) -> None:
    count = args.n if args.n is not None or since is not None else DEFAULT
    begun = 0
    for log in logs:
        try:
            found = log.begin(count, since)
        except FileNotFoundError:
            continue
        begun += 1
        if not found:
            say(f"pdsup: the lines of {log.file.name} have no times; these are its last ones")
        if args.timestamps and not log.has_times:
            raise SupervisorError(
                f"cannot show timestamps of {log.file.name}: its plan does not set log.timestamps"
            )
    if not begun and not (args.f and len(logs) > 1):
        who = "it has" if len(logs) == 1 else "none of them has"
        raise SupervisorError(f"cannot {purpose}: {who} not run yet")


def _looks(
    logs: Sequence[UnitLog], args: argparse.Namespace, *, unfinished: bool
) -> Iterator[Iterator[Found]]:
    """Yields the lines so far; with ``-f``, then the new lines of each look, forever."""
    if args.f:
        streams.end_with_the_reader()
    while True:
        each = [_lines(log, unfinished=unfinished) for log in logs]
        yield merge(*each, key=lambda found: found[1].at)
        sys.stdout.flush()
        if not args.f:
            return
        time.sleep(LOOK_S)


def _lines(log: UnitLog, *, unfinished: bool) -> Iterator[Found]:
    for line in log.lines(unfinished=unfinished):
        yield log, line


def _print_text(logs: Sequence[UnitLog], args: argparse.Namespace) -> None:
    width = max(len(log.file.name) for log in logs) if len(logs) > 1 else 0
    counted = False
    for found in _looks(logs, args, unfinished=not (args.f and width)):
        for log, line in found:
            sys.stdout.buffer.write(_as_text(log, line, width, times=args.timestamps))
        sys.stdout.flush()
        if not counted and (hidden := sum(log.hidden for log in logs)):
            what, it = ("line about probes is", "it") if hidden == 1 else (_MANY, "them")
            say(f"pdsup: {hidden} {what} left out; --noise shows {it}")
        counted = True


def _as_text(log: UnitLog, line: Line, width: int, *, times: bool) -> bytes:
    at = "" if line.arrived is None else files.precise_stamp(line.arrived)
    stamp = f"{at or '-':24} ".encode() if times and line.begins else b""
    if not width:
        return stamp + line.data
    end = b"" if line.data.endswith(b"\n") else b"\n"
    return f"{log.file.name:{width}} | ".encode() + stamp + line.data + end


def _print_json(logs: Sequence[UnitLog], args: argparse.Namespace) -> None:
    """Bytes that are not valid text become U+FFFD."""
    if args.f:
        for found in _looks(logs, args, unfinished=False):
            for log, line in found:
                unit = {"unit": log.file.name} if len(logs) > 1 else {}
                print(json.dumps({**unit, **_as_json(line)}))
        return
    values = [
        {
            "unit": log.file.name,
            "path": log.file.path,
            "lines": [_as_json(line) for line in log.lines(unfinished=True)],
        }
        for log in logs
    ]
    print(json.dumps(values[0] if len(values) == 1 else {"logs": values}, indent=2))


def _as_json(line: Line) -> dict[str, Any]:
    text = line.data.removesuffix(b"\n").decode(errors="replace")
    return {"at": line.arrived, "text": text}
