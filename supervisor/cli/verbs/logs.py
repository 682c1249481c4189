"""``pdsup logs``: what a unit writes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import deque
from pathlib import Path

from supervisor.cli import client
from supervisor.errors import SupervisorError

SUMMARY = "show what a unit writes (tail is the same)"
EXAMPLE = "pdsup logs decode-0 -n 50 -f"
# A shared file system tells no other node that a file grew, so following means looking.
LOOK_S = 0.25


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which unit, and how much of it."""
    parser.add_argument("unit", metavar="UNIT", help="its name")
    parser.add_argument("-n", type=int, default=200, help="lines from the end (default: 200)")
    parser.add_argument("-f", action="store_true", help="go on as it grows, until Ctrl-C")
    parser.add_argument("--run-dir", help="which run, when several are on this machine")


def run(args: argparse.Namespace) -> int:
    """Prints the unit's output; the units of other nodes too, by the shared run directory."""
    path = client.log_file(client.cluster(args.run_dir), args.unit)
    try:
        with path.open("rb") as file:
            sys.stdout.buffer.writelines(deque(file, max(0, args.n)))
            sys.stdout.flush()
            if args.f:
                _follow(path, file.tell())
    except FileNotFoundError:
        raise SupervisorError(f"cannot show logs of {args.unit}: it has not run yet") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SupervisorError(f"cannot show logs of {args.unit}: {error.strerror}") from None
    return 0


def _follow(path: Path, position: int) -> None:
    while True:
        with path.open("rb") as file:
            # A file that shrank was cut or replaced: begin again.
            file.seek(position if os.fstat(file.fileno()).st_size >= position else 0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            position = file.tell()
        sys.stdout.flush()
        time.sleep(LOOK_S)
