"""``pdsup logs``: shows the output of a unit."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pdsup.cli import client, options
from pdsup.cli.terminal import streams
from pdsup.errors import SupervisorError
from pdsup.units.logs import files
from pdsup.units.logs.read import LogReader, Piece

EXAMPLE = "pdsup logs decode-0 -n 50 -f"
# A shared file system does not notify other nodes when a file grows, so following means polling.
LOOK_S = 0.25


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("unit", metavar="UNIT", help="name of the unit")
    parser.add_argument("-n", type=int, default=200, help="show the last N lines (default: 200)")
    parser.add_argument("-f", action="store_true", help="follow: print new output until Ctrl-C")
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
    """Reads the log in the run directory, so units of other nodes can be shown too."""
    cluster = client.cluster(args.run_dir, f"show logs of {args.unit}")
    path = client.log_file(cluster, args.unit)
    try:
        with contextlib.closing(LogReader(str(path))) as reader:
            reader.begin(args.n)
            if args.timestamps and not reader.has_times:
                raise SupervisorError(
                    f"cannot show timestamps of {args.unit}: its plan does not set log.timestamps"
                )
            if args.json:
                _print(_pieces(reader, follow=args.f), args, path)
            else:
                _show(_pieces(reader, follow=args.f), times=args.timestamps)
    except FileNotFoundError:
        raise SupervisorError(f"cannot show logs of {args.unit}: it has not run yet") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SupervisorError(f"cannot show logs of {args.unit}: {error.strerror}") from None
    return 0


def _pieces(reader: LogReader, *, follow: bool) -> Iterator[Piece]:
    """Yields the output so far; with ``follow``, also new output, forever."""
    if follow:
        streams.end_with_the_reader()
    while True:
        yield from reader.more()
        sys.stdout.flush()
        if not follow:
            return
        time.sleep(LOOK_S)


def _show(pieces: Iterable[Piece], *, times: bool) -> None:
    inside = False  # whether the last piece ended inside a line
    for piece in pieces:
        lines = list(_stamped(piece, inside=inside)) if times else [piece.data]
        sys.stdout.buffer.writelines(lines)
        inside = not piece.data.endswith(b"\n")


def _stamped(piece: Piece, *, inside: bool) -> Iterator[bytes]:
    """The lines of a piece (it may begin inside one), each behind the arrival of its first byte."""
    offset = piece.offset
    for line in io.BytesIO(piece.data):
        if not inside:
            at = _arrived(piece, offset)
            yield f"{'-' if at is None else files.precise_stamp(at):24} ".encode()
        yield line
        inside = False
        offset += len(line)


def _arrived(piece: Piece, offset: int) -> float | None:
    return files.arrived(piece.times, offset) if piece.times else None


def _print(pieces: Iterable[Piece], args: argparse.Namespace, path: Path) -> None:
    """Prints JSON. Bytes that are not valid text become U+FFFD."""
    if args.f:
        for line in _lines(pieces):
            print(json.dumps(line))
    else:
        found = {"unit": args.unit, "path": str(path), "lines": list(_lines(pieces))}
        print(json.dumps(found, indent=2))


def _lines(pieces: Iterable[Piece]) -> Iterator[dict[str, Any]]:
    """Whole lines, then what there is of an unfinished last one."""
    begun, at = b"", None
    for piece in pieces:
        offset = piece.offset
        for part in io.BytesIO(piece.data):
            at = at if begun else _arrived(piece, offset)
            begun += part
            offset += len(part)
            if begun.endswith(b"\n"):
                yield _line(begun, at)
                begun = b""
    if begun:
        yield _line(begun, at)


def _line(data: bytes, at: float | None) -> dict[str, Any]:
    return {"at": at, "text": data.removesuffix(b"\n").decode(errors="replace")}
