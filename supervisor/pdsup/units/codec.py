"""Encodes states, events and contexts as JSON values, and decodes them: for journal and ledger.

A state or an event becomes an object with its ``type``, such as ``{"type": "Waiting", ...}``. The
deadline ``FOREVER`` becomes null, since JSON has no infinity. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from pdsup.plan.model import Restart
from pdsup.units.events import Event
from pdsup.units.facts import LastExit, Line, Note
from pdsup.units.lifecycle import Context
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.gpu import Trouble
from pdsup.units.process.tree import Identity
from pdsup.units.states import FOREVER, Failures, State, Then

T = TypeVar("T")

_SAME = (str, int, bool)
_LARGEST = 1 << 63
_MOST_PIDS = 1 << 31
_STATES: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(State)}
_EVENTS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(Event)}


# Made once, as it runs for every step. A step can't contain itself.
compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def tagged(value: State | Event) -> dict[str, Any]:
    """Encodes a state or an event as an object with its type."""
    return {"type": type(value).__name__, **_plain(value)}


def state(value: Mapping[str, Any]) -> State:
    """Decodes a state from ``tagged``; raises ValueError if this version does not know it."""
    return _read(_STATES, value)  # type: ignore[no-any-return]


def event(value: Mapping[str, Any]) -> Event:
    """Decodes an event from ``tagged``; raises ValueError if this version does not know it."""
    return _read(_EVENTS, value)  # type: ignore[no-any-return]


def context(of: Context) -> dict[str, Any]:
    """Encodes what a decision depended on, without its time and the plan's restart policy."""
    values = _plain(of)
    del values["restart"], values["now"]
    return values


def read_context(value: Mapping[str, Any], now: float, restart: Restart) -> Context:
    """Decodes what ``context`` wrote, given its time and the restart policy of the unit's plan."""
    return _filled(Context, {**value, "now": now, "restart": restart})


def _plain(value: Any) -> dict[str, Any]:
    # Runs for every step; ``dataclasses.fields`` would filter out pseudo-fields on each call.
    return {name: _json(getattr(value, name)) for name in value.__dataclass_fields__}


def _json(value: Any) -> Any:
    if value is None or type(value) in _SAME:
        return value
    match value:
        case float():
            return None if value == FOREVER else value
        case Then():
            return value.value
        case ExitStatus():
            return {"code": value.code, "signal": value.signal}
        case tuple():
            return list(value)
        case _:
            return value


def _read(kinds: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    try:
        rest = dict(value)
        return _filled(kinds[rest.pop("type")], rest)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a state or event of this version: {value!r}") from error


def _filled(kind: type[T], values: Mapping[str, Any]) -> T:
    hints = get_type_hints(kind)
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    """The value if it has the type of a field; raises TypeError or ValueError otherwise."""
    if hint is float:
        return FOREVER if value is None else number(value)
    if hint is Then:
        return Then(value)
    if hint is ExitStatus:
        return exit_status(value["code"], value["signal"])
    if hint == Failures:
        return tuple(map(number, value))
    if hint is not Restart and type(value) not in (get_args(hint) or (hint,)):
        raise TypeError(f"{value!r} is not {hint}")
    return value


def number(value: Any) -> float:
    """A plain number as a float; raises TypeError or ValueError for anything else."""
    if type(value) not in (int, float) or not abs(value) < _LARGEST:
        raise TypeError(f"not a usable number: {value!r}")
    return float(value)


def whole(value: Any) -> int:
    """A whole number from 0 on; raises TypeError for anything else."""
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise TypeError(f"not a usable whole number: {value!r}")
    return value


def exit_status(code: Any, signal: Any) -> ExitStatus:
    """How a process ended; raises TypeError if these are not an exit code and a signal's name."""
    if code is not None and type(code) is not int:
        raise TypeError(f"not an exit code: {code!r}")
    if signal is not None and type(signal) is not str:
        raise TypeError(f"not a signal: {signal!r}")
    return ExitStatus(code, signal)


def line(value: Mapping[str, Any]) -> Line:
    """A line of the journal from its values; raises KeyError, TypeError or ValueError if it lacks
    its times, or can't be encoded.
    """
    text = compact(value) + "\n"
    return Line(text, number(value["monotonic"]), number(value["at"]), late=True)


def troubles(values: Mapping[str, Any]) -> dict[str, Trouble]:
    """GPU troubles by unit; raises KeyError or TypeError if they are malformed."""
    return {
        str(unit): Trouble(
            tuple(map(whole, trouble["throttled"])), tuple(map(whole, trouble["lost"]))
        )
        for unit, trouble in values.items()
    }


def last_exit(value: Any) -> LastExit:
    """A list of exit code, signal and time; raises TypeError or ValueError for anything else."""
    code, signal, at = value
    return LastExit(exit_status(code, signal), number(at))


def identity(value: Any) -> Identity | None:
    """A list of pid and start time, or None; raises TypeError or ValueError for anything else."""
    if value is None:
        return None
    pid, started = map(whole, value)
    # Some other numbers mean a group of processes to the kernel, or all of them.
    if not 0 < pid < _MOST_PIDS:
        raise ValueError(f"not a process: {value!r}")
    return pid, started


def note_line(note: Note) -> str:
    """Encodes a note as one line of JSON, without the line feed."""
    last = note.last_exit
    values: dict[str, Any] = {
        "unit": note.unit,
        "state": tagged(note.state),
        "run": note.run,
        "since": note.since,
        "spawned": note.spawned,
        "main": note.main,
        "tag": note.tag,
        "log": note.log,
        "ended": note.ended,
        "was_ready": note.was_ready,
        "last": [last.status.code, last.status.signal, last.at] if last else None,
        "made": note.fingerprint,
    }
    if note.epoch is not None:
        values["epoch"] = note.epoch
    if note.before:
        values["before"] = note.before
    if note.ports:
        values["ports"] = note.ports
    text = compact(values)
    return text if note.line is None else f'{text[:-1]},"line":{note.line.text[:-1]}}}'


def read_note(values: Mapping[str, Any]) -> Note:
    """Decodes a note from ``note_line``; raises ValueError if it is damaged, or from another
    version.
    """
    try:
        tag, last, log, told = values["tag"], values["last"], values["log"], values.get("line")
        spawned, epoch, made = values["spawned"], values.get("epoch"), values.get("made", "")
        if not isinstance(made, str):
            raise TypeError("not a fingerprint")
        device, inode, offset = map(whole, log) if log else (0, 0, 0)
        return Note(
            unit=values["unit"],
            state=state(values["state"]),
            run=whole(values["run"]),
            since=number(values["since"]),
            spawned=None if spawned is None else number(spawned),
            main=identity(values["main"]),
            tag=None if tag is None else whole(tag),
            log=(device, inode, offset) if log else None,
            ended=values["ended"] is True,
            was_ready=values["was_ready"] is True,
            last_exit=last_exit(last) if last else None,
            fingerprint=made,
            epoch=None if epoch is None else whole(epoch),
            before=whole(values.get("before", 0)),
            ports={str(name): whole(port) for name, port in values.get("ports", {}).items()},
            line=None if told is None else line(told),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a note of this version: {values!r}") from error
