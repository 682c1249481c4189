"""Moves what units write, as an agent does, until its stdin ends or it is killed.

    forwards.py DIRECTORY SETTINGS [UNIT ...]

For each unit DIRECTORY/pipes/UNIT, which must exist, and DIRECTORY/logs/UNIT. SETTINGS is JSON of
``log``. A line on stdout says that it has begun.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from pdsup.plan.model import Log
from pdsup.units.logs.pipe import LogPipe
from pdsup.units.logs.rotate import LogWriter


async def main(directory: Path, settings: str, units: list[str]) -> None:
    log = Log(mode="pipe", **json.loads(settings))
    forwarders = []
    for unit in units:
        writer = LogWriter(str(directory / "logs" / unit), log)
        forwarders.append(LogPipe(unit, directory / "pipes" / unit, writer, lambda problem: None))
        assert forwarders[-1].resume()
    print("begun", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    for forwarder in forwarders:
        forwarder.end()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
