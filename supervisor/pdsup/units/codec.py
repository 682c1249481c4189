"""States, events and contexts as JSON values, and back: for the journal and for the ledger.

A value of a closed set is an object with its ``type``. Where a deadline is ``FOREVER`` the JSON
has null, as JSON knows no infinity. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from pdsup.plan.model import Restart
from pdsup.units.events import Event
from pdsup.units.facts import Transition
from pdsup.units.lifecycle import Context
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER, Failures, State, Then

T = TypeVar("T")

_SAME = (str, int, bool)
_STATES: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(State)}
_EVENTS: Mapping[str, Any] = {kind.__name__: kind for kind in get_args(Event)}


def tagged(value: State | Event) -> dict[str, Any]:
    """A state or an event as an object with its type."""
    return {"type": type(value).__name__, **_plain(value)}


def state(value: Mapping[str, Any]) -> State:
    """The state that ``tagged`` wrote; raises ValueError when it is none of this version."""
    return _read(_STATES, value)  # type: ignore[no-any-return]


def event(value: Mapping[str, Any]) -> Event:
    """The event that ``tagged`` wrote; raises ValueError when it is none of this version."""
    return _read(_EVENTS, value)  # type: ignore[no-any-return]


def context(of: Context) -> dict[str, Any]:
    """What a decision depended on, without its time and the policy, which is the plan's."""
    values = _plain(of)
    del values["restart"], values["now"]
    return values


def read_context(value: Mapping[str, Any], now: float, restart: Restart) -> Context:
    """The context that ``context`` wrote, at its time, with the policy of the unit's plan."""
    return _filled(Context, {**value, "now": now, "restart": restart})


def step(of: Transition) -> dict[str, Any]:
    """What led a unit from one state to another, without the state that it led to."""
    return {
        "event": tagged(of.event),
        "before": tagged(of.before),
        "now": of.context.now,
        "context": context(of.context),
    }


def read_step(value: Mapping[str, Any], unit: str, after: State, restart: Restart) -> Transition:
    """The step that ``step`` wrote, of a unit with this policy; raises ValueError when it is none
    of this version.
    """
    try:
        return Transition(
            unit=unit,
            event=event(value["event"]),
            before=state(value["before"]),
            after=after,
            context=read_context(value["context"], value["now"], restart),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no step of this version: {value!r}") from error


def _plain(value: Any) -> dict[str, Any]:
    # ``dataclasses.fields`` sorts out pseudo-fields at each call, and this is done for each step.
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
    rest = dict(value)
    try:
        return _filled(kinds[rest.pop("type")], rest)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no state or event of this version: {value!r}") from error


def _filled(kind: type[T], values: Mapping[str, Any]) -> T:
    hints = get_type_hints(kind)
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    if hint is float:
        return FOREVER if value is None else float(value)
    if hint is Then:
        return Then(value)
    if hint is ExitStatus:
        return ExitStatus(**value)
    return tuple(value) if hint == Failures else value
