"""Telling people where a wait stands."""

import os
import sys
from pathlib import Path

from pdsup.cli.screens import waiting
from pdsup.cli.screens.progress import is_up
from pdsup.cli.screens.waiting import Silence
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


def test_a_wait_in_which_nothing_changes_says_again_what_is_missing(monkeypatch, unit):
    said, now = [], [0.0]
    monkeypatch.setattr(waiting.clock, "monotonic", lambda: now[0])
    view = waiting.WaitLines(said.append, is_up)
    for second in range(20):
        now[0] = float(second)
        view.show([unit(state="STARTING")], ["decode-0 STARTING"])
    assert said == [
        "ready: decode 0/1\n  decode-0 STARTING", "waiting for\n  decode-0 STARTING"
    ]  # fmt: skip


def test_a_silent_command_says_what_it_waits_for_less_and_less_often(monkeypatch):
    said, now = [], [0.0]
    monkeypatch.setattr(waiting.clock, "monotonic", lambda: now[0])
    silence = Silence(said.append)
    for second in range(100):
        now[0] = float(second)
        silence.explain([f"a, for {second} s"])
    times = [text.removeprefix("waiting for\n  a, for ") for text in said]
    assert times == ["8 s", "24 s", "54 s", "84 s"]
    silence.end()
    silence.explain(["a"])
    assert len(said) == 4
    now[0] += waiting.SILENCE_S
    silence.explain([])  # it is about to end
    silence.explain(["b"])
    assert said[4:] == ["waiting for\n  b"]
