"""``python -m pdsup.mock.worker``: stands in for ``python -m sglang.launch_server``.

To the outside it behaves as an SGLang worker does, start order, health, prefill/decode transfer,
ranks, drain and exits included, but needs no GPU and no model. Knobs (``--help``) make it slow,
sick or dead on demand. This module reads what it is told, forks the child and starts its life;
the heavy imports come after the fork, so that the child stays small.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pdsup.mock import knobs as table
from pdsup.mock import options as flags
from pdsup.mock import scheduler as children
from pdsup.mock.knobs import BadKnob, Knobs
from pdsup.mock.options import Options
from pdsup.mock.scheduler import Scheduler


def main(argv: Sequence[str]) -> int:
    """Runs one worker until it is told to stop; returns its exit code."""
    options = flags.parse(argv)
    try:
        knobs = _once(table.from_environment(os.environ))
    except (BadKnob, OSError) as error:
        return _refuse(error)
    # Ctrl-C and, until the server is up, SIGTERM kill as they do by default: no clean-up to miss.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if knobs.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return _run(options, knobs, children.start() if knobs.scheduler else None)


def _run(options: Options, knobs: Knobs, scheduler: Scheduler | None) -> int:
    # Importing aiohttp reads the CA certificates of the machine, a fifth of its time; no TLS here.
    os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull

    import asyncio
    import logging

    from pdsup.mock.connector import StartFailed
    from pdsup.mock.runner import run, set_up_logging

    set_up_logging()
    try:
        asyncio.run(run(options, knobs, scheduler))
    except StartFailed as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    except BadKnob as error:
        return _refuse(error)
    return 0


def _refuse(error: Exception) -> int:
    print(f"{flags.PROGRAM}: cannot read the environment: {error}", file=sys.stderr)
    return 2


def _once(knobs: Knobs) -> Knobs:
    """Without the faults when ``faults_once`` says that an earlier life had them."""
    if not knobs.faults_once:
        return knobs
    try:
        Path(knobs.faults_once).touch(exist_ok=False)
    except FileExistsError:
        return table.without_faults(knobs)
    return knobs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
