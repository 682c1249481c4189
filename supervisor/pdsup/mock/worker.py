"""``python -m pdsup.mock.worker``: stands in for ``python -m sglang.launch_server``.

From outside it behaves like an SGLang worker, in its start order, health, prefill/decode transfer,
ranks, drain and exits, but it needs no GPU and no model. Knobs (``--help``) make it slow, sick or
dead on demand. This module reads flags and environment, forks the child and runs the worker
(``mock/life.py``); the heavy imports come after the fork, so that the child stays small.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pdsup.mock import child
from pdsup.mock import knobs as table
from pdsup.mock import options as flags
from pdsup.mock.child import Scheduler
from pdsup.mock.knobs import BadKnob, Knobs
from pdsup.mock.options import Options


def main(argv: Sequence[str]) -> int:
    """Runs one worker until it is stopped; returns its exit code."""
    options = flags.parse(argv)
    try:
        knobs = _once(table.from_environment(os.environ))
    except (BadKnob, OSError) as error:
        return _refuse(error)
    # Ctrl-C and, until the server is up, SIGTERM kill as by default: there is nothing to clean up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if knobs.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return _run(options, knobs, child.start() if knobs.scheduler else None)


def _run(options: Options, knobs: Knobs, scheduler: Scheduler | None) -> int:
    # On import aiohttp reads the machine's CA certificates, a fifth of its time. There is no TLS.
    os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull

    import asyncio
    import logging

    from pdsup.mock.life import run, set_up_logging
    from pdsup.mock.peers import StartFailed

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
    """The knobs, without their faults if an earlier run with this ``faults_once`` had them."""
    if not knobs.faults_once:
        return knobs
    try:
        Path(knobs.faults_once).touch(exist_ok=False)
    except FileExistsError:
        return table.without_faults(knobs)
    return knobs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
