"""Telling people where a wait stands."""

import os
import sys
from pathlib import Path

from pdsup.cli.terminal import say


def test_a_line_that_nobody_reads_stops_nothing(monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        for _ in range(2):
            say.say("stopping everything")
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), writes)  # for what is still buffered
    os.close(writes)
