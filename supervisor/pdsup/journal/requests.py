"""Requests of people and programs to an agent: who asked for what, in reasons and events. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pdsup.journal.entry import Happening

Verb = Literal["start", "stop", "restart", "signal", "evidence", "reload", "shutdown"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked, on which node: a user ("" if not known) with a tool, such as ``pdsup stop``."""

    user: str
    tool: str
    pid: int | None
    node: str

    def __str__(self) -> str:
        if not (self.user or self.tool or self.pid):
            return f"by an unknown process ({self.node})"
        user = f"by {self.user} " if self.user else ""
        tool = f"with {self.tool} " if self.tool else ""
        where = f"pid {self.pid}, {self.node}" if self.pid else self.node
        return f"{user}{tool}({where})"


def text(verb: Verb, caller: Caller, signal: str = "") -> str:
    """The request as a reason: ``stop requested by root with pdsup stop (pid 123, node0)``.

    ``signal``: the name of the signal that was sent, if it is about one.
    """
    return f"{signal} sent {caller}" if signal else f"{verb} requested {caller}"


def event(
    verb: Verb,
    caller: Caller,
    at: float,
    *,
    unit: str | None = None,
    run: int | None = None,
    signal: str = "",
) -> Happening:
    """The request as an event. ``at``: monotonic seconds; ``unit`` is None if it is for a node."""
    facts = {"verb": verb, "user": caller.user, "tool": caller.tool, "pid": caller.pid}
    if signal:
        facts["signal"] = signal
    return Happening(at, unit, run, "Requested", text(verb, caller, signal), facts)
