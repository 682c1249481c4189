"""The knobs of the stand-in: its delays, behaviours and faults.

Each field of :class:`Knobs` is one knob. At start it is read from the environment variable
``MOCK_`` + its name in capitals; later ``POST /mock/faults`` changes it, by name, in JSON, and
``GET /mock/faults`` shows it. ``worker --help`` prints the table. Times are seconds; ``inf`` means
never, or without end. Pure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

PREFIX = "MOCK_"
NEVER = math.inf
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

T = TypeVar("T")


class BadKnob(ValueError):
    """A knob that does not exist, or a value that it can't take; the text names both."""


def _delay(default: T, doc: str) -> T:
    return field(default=default, metadata={"kind": "delay", "doc": doc})


def _behaviour(default: T, doc: str) -> T:
    return field(default=default, metadata={"kind": "behaviour", "doc": doc})


def _fault(default: T, doc: str) -> T:
    return field(default=default, metadata={"kind": "fault", "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """The knobs of one worker, with a real worker's figures in parentheses."""

    load_seconds: float = _delay(0.2, "loading, until --port opens (120 to 2400)")
    warmup_seconds: float = _delay(0.05, "warming up, from --port to /health 200 (1 to 120)")
    health_seconds: float = _delay(0.01, "making the token of a /health (1, when busy up to 20)")
    prefill_seconds: float = _delay(0.0, "reading the prompt, before the first token")
    token_seconds: float = _delay(0.0, "making one token (0.01 to 0.05)")
    drain_poll_seconds: float = _delay(0.05, "how often a drain checks for running requests (5)")
    kv_timeout_seconds: float = _delay(5.0, "how long a decode waits for a prefill's port (300)")
    heartbeat_seconds: float = _delay(
        0.0, "how often a decode checks its prefills; 0: only at each request (5)"
    )
    gang_seconds: float = _delay(600.0, "how long ranks wait for one another before they load")

    access_log: bool = _behaviour(True, "log one line per HTTP request, probes included")
    silent_load: bool = _behaviour(False, "print nothing while loading")
    scheduler: bool = _behaviour(True, "have a child process in place of SGLang's schedulers")
    scheduler_death: Literal["dies", "hangs", "zombie"] = _behaviour(
        "dies",
        "when the child dies: die of SIGKILL (>= 0.5.10), hang (0.5.6), or hang with /health 200",
    )
    clean_exit: Literal["zero", "sigkill"] = _behaviour(
        "zero", "how a drain ends: with exit code 0 (0.5.23), or by SIGKILL to itself (0.5.6)"
    )
    rank_term: Literal["dies", "waits"] = _behaviour(
        "dies", "on SIGTERM a rank > 0 dies (0.5.6), or waits for rank 0 to end it (0.5.23)"
    )
    faults_once: str = _behaviour(
        "", "a file that turns off the faults below if it exists; otherwise it is created"
    )

    load_fault: Literal["none", "cuda-oom", "nccl", "no-model", "no-module"] = _fault(
        "none", "fail while loading, with a traceback and exit code 1"
    )
    busy_port: Literal["none", "http", "bootstrap"] = _fault(
        "none", "act as if that port were taken: http exits with code 1, bootstrap only logs"
    )
    unregistered_ranks: int = _fault(
        0, "how many ranks of a prefill never register: /route of its bootstrap port says 503"
    )
    exit_after_seconds: float = _fault(NEVER, "die this long after the start or the POST; 0: now")
    exit_code: Annotated[int, "exit code"] = _fault(
        -9, "how to die: an exit code, or minus a signal number"
    )
    freeze_after_seconds: float = _fault(NEVER, "SIGSTOP itself this long after the start")
    scheduler_dies_after_seconds: float = _fault(NEVER, "SIGKILL the child after this long")
    die_after_tokens: int = _fault(0, "die (see exit_code) after this many tokens; 0: off")
    ignore_term: bool = _fault(False, "ignore SIGTERM (read at start only)")
    hang: Literal["none", "engine", "http"] = _fault(
        "none", "engine: make no tokens, /health says 503 after its timeout; http: answer nothing"
    )
    health_status: Annotated[int, "status"] = _fault(
        0, "what /health answers at once; 0: its real status"
    )
    health_status_seconds: float = _fault(NEVER, "how long health_status holds")
    error_requests: int = _fault(0, "how many requests fail with error_status; -1: all")
    error_status: Annotated[int, "status"] = _fault(500, "the status of error_requests")
    empty_answers: bool = _fault(False, "answer with 200 and no token, as with failed KV transfers")


FIELDS: Mapping[str, dataclasses.Field[Any]] = {f.name: f for f in dataclasses.fields(Knobs)}
DEFAULTS: Mapping[str, Any] = dataclasses.asdict(Knobs())


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Knobs, include_extras=True)


def variable(name: str) -> str:
    """The environment variable of a knob."""
    return PREFIX + name.upper()


def from_environment(environment: Mapping[str, str]) -> Knobs:
    """The knobs that the ``MOCK_`` variables set; raises BadKnob, naming the variable."""
    given = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    known = {variable(name): name for name in FIELDS}
    if unknown := sorted(given.keys() - known.keys()):
        raise BadKnob(f"{unknown[0]}: no such knob; --help lists them")
    return dataclasses.replace(
        Knobs(), **{known[name]: _read(known[name], text, name) for name, text in given.items()}
    )


def change(knobs: Knobs, wanted: object) -> Knobs:
    """The knobs after a JSON object of changes, where null is the default; raises BadKnob."""
    if not isinstance(wanted, dict):
        raise BadKnob("cannot change the knobs: not a JSON object of names and values")
    for name in wanted:
        if name not in FIELDS:
            raise BadKnob(f"{name}: no such knob")
    values = {
        str(name): DEFAULTS[name] if raw is None else _read(name, raw, name)
        for name, raw in wanted.items()
    }
    return dataclasses.replace(knobs, **values)


def without_faults(knobs: Knobs) -> Knobs:
    """The same delays and behaviours, without faults."""
    faults = [name for name, f in FIELDS.items() if f.metadata["kind"] == "fault"]
    return dataclasses.replace(knobs, **{name: DEFAULTS[name] for name in faults})


def as_json(knobs: Knobs) -> dict[str, Any]:
    """Values by name, in a form that ``change`` accepts: JSON has no infinity, so "inf"."""
    return {k: "inf" if v == NEVER else v for k, v in dataclasses.asdict(knobs).items()}


def table() -> str:
    """Every knob with its default and meaning, for ``--help``."""
    return "\n".join(_rows(FIELDS.values()))


def _rows(fields: Iterable[dataclasses.Field[Any]]) -> Iterable[str]:
    kind = ""
    for f in fields:
        if f.metadata["kind"] != kind:
            kind = f.metadata["kind"]
            yield f"{kind}s:"
        kind_of_value = _types()[f.name]
        options = get_args(kind_of_value) if get_origin(kind_of_value) is Literal else ()
        choice = f" [{'|'.join(options)}]" if options else ""
        default = int(f.default) if isinstance(f.default, bool) else f.default
        yield f"  {variable(f.name)}={default}{choice}\n      {f.metadata['doc']}"


def _read(name: str, raw: object, shown: str) -> Any:
    kind = _types()[name]
    try:
        if get_origin(kind) is Literal:
            return _choice(raw, get_args(kind))
        return READERS[kind](raw)
    except ValueError as error:
        raise BadKnob(f"{shown}: {raw!r} is not {error}") from None


def _choice(raw: object, options: tuple[str, ...]) -> str:
    if not isinstance(raw, str) or raw not in options:
        raise ValueError(f"one of {', '.join(options)}")
    return raw


def _seconds(raw: object) -> float:
    try:
        value = float(raw) if isinstance(raw, (int, float, str)) else math.nan
    except ValueError:
        value = math.nan
    if isinstance(raw, bool) or not value >= 0:
        raise ValueError("a number of seconds >= 0")
    return value


def _whole(raw: object) -> int:
    try:
        if isinstance(raw, (int, str)) and not isinstance(raw, bool):
            return int(raw)
    except ValueError:
        pass
    raise ValueError("a whole number")


def _http_status(raw: object) -> int:
    value = _whole(raw)
    if value != 0 and not 200 <= value <= 599:
        raise ValueError("an HTTP status, 200 to 599")
    return value


def _exit_code(raw: object) -> int:
    value = _whole(raw)
    if not -64 <= value <= 255:
        raise ValueError("an exit code, 0 to 255, or minus a signal number, -1 to -64")
    return value


def _switch(raw: object) -> bool:
    word = str(raw).lower() if isinstance(raw, (bool, int, str)) else ""
    if word not in TRUE + FALSE:
        raise ValueError("1 or 0")
    return word in TRUE


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("text")
    return raw


READERS: Mapping[Any, Callable[[object], Any]] = {
    float: _seconds,
    int: _whole,
    bool: _switch,
    str: _text,
    Annotated[int, "status"]: _http_status,
    Annotated[int, "exit code"]: _exit_code,
}
