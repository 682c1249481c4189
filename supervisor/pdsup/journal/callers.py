"""Finds out who asked an agent for something: the user and the program behind a pid."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import PurePath

from pdsup.journal.requests import Caller
from pdsup.units.process import proc

# A name that a stranger chose goes into reasons and events: this much of it.
LONGEST = 40


def caller(node: str, pid: int, uid: int | None, tool: str = "") -> Caller:
    """The caller with a pid (0: not known). ``uid``: None if not known. ``tool``: what it calls
    itself; else what /proc says of it, unless it has ended.
    """
    if uid is None and pid:
        uid = _owner(pid)
    name = tool or (_tool(pid) if pid else "")
    shown = "".join(char for char in name if char.isprintable())[:LONGEST]
    return Caller("" if uid is None else _user(uid), shown, pid or None, node)


@cache
def _user(uid: int) -> str:
    """The name of root or of this agent's user: nobody else can reach it.

    The user database is asked only if the environment has no name: it may be a server that hangs.
    """
    if uid == 0:
        return "root"
    if uid == os.geteuid():
        try:
            name = os.environ.get("USER") or os.environ.get("LOGNAME")
            return name or pwd.getpwuid(uid).pw_name
        except KeyError:
            pass
    return f"uid {uid}"


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 (/proc is read as elsewhere)
    except OSError:
        return None


def _tool(pid: int) -> str:
    name, command = proc.titles(pid)
    return _verb(command.split()) or name


def _verb(words: Sequence[str]) -> str:
    """The command of pdsup that a command line runs, such as ``pdsup up``; "" for another one."""
    for word, verb in pairwise(words):
        if PurePath(word).name == "pdsup":
            return f"pdsup {verb}"
    return ""
