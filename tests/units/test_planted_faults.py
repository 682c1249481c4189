"""Faults that a state machine of this kind is likely to have, planted one by one: each is caught.

The examples and the table are run against a lifecycle whose text was changed in one place.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdsup.units import lifecycle

HERE = Path(__file__).parent
SOURCE = Path(lifecycle.__file__).read_text("utf-8")
TESTS = ("test_lifecycle.py", "test_lifecycle_table.py")

FAULTS = {
    "a late event of an earlier run is taken for one of this run": (
        "return event.run != run_of(state)", "return False"),
    "a deadline is acted on before it has come": (
        "    if ctx.now < deadline(state):\n        return state, ()\n", ""),
    "a stop during a backoff is forgotten": (
        "        case Waiting() | Backoff() | Fatal() | Stopped():\n            return Stopped()",
        "        case Backoff():\n            return state, ()\n"
        "        case Waiting() | Fatal() | Stopped():\n            return Stopped()"),
    "an operator's restart is counted as a failure": (
        "        case Then.RESTART:\n            return _attempt(state.failures, ctx)",
        "        case Then.RESTART:\n            return _attempt((*state.failures, ctx.now), ctx)"),
    "a unit is spawned although its gate is closed": (
        "    if ctx.gate is not None:\n        return Waiting(failures, ctx.gate), ()\n", ""),
    "a unit is spawned on a node that is not clean": (
        "    if ctx.unclean is not None:\n"
        "        return Waiting(failures, ctx.unclean, ctx.now + RECHECK_S), ()\n", ""),
    "one failure too many is allowed": (
        "if count >= ctx.restart.max_failures:",
        "if count >= ctx.restart.max_failures + 1:"),
    "failures outside the window count": (
        "if ctx.now - at <= ctx.restart.window_s)", ")"),
    "time alone forgives, without readiness": (
        "stable = isinstance(state, Running) and", "stable = not isinstance(state, Starting) and"),
    "lost readiness restarts a unit": (
        "            return Unhealthy(run, ctx.now, _blamed(state, ctx), detail), ()",
        "            return _terminate(run, Then.RETRY, (), detail, ctx.now)"),
    "a second stop puts the kill off": (
        "then=Then.REST, kill_at=min(when, ctx.now + ctx.stop_within)",
        "then=Then.REST, kill_at=ctx.now + ctx.stop_within"),
    "what survives a kill is not killed again": (
        "replace(state, kill_at=ctx.now + KILL_AGAIN_S, kills=kills + 1)",
        "replace(state, kill_at=FOREVER, kills=kills + 1)"),
    "a unit is stopped while parts of it live": (
        "        case Stopping():\n            return replace(state, left=detail), ()",
        "        case Stopping():\n            return Stopped(), ()"),
    "an exit with status 0 is no failure": (
        'allowed = policy == "never" or', 'allowed = event.status == ExitStatus(0) or'),
    "progress outlives the hard limit": (
        "later = min(hard_by, ", "later = max(hard_by, "),
    "a hopeless end is tried again": (
        "    if event.hopeless:\n", "    if False:\n"),
    "a unit found dead in the middle of a stop comes back": (
        "            return _terminate(run, then, failures, detail, soon)",
        "            return _terminate(run, Then.RETRY, failures, detail, soon)"),
    "a drain has no end": (
        "            return _on_drained(state, ctx)\n        case Stopping(run",
        "            return state, ()\n        case Stopping(run"),
}  # fmt: skip


def planted(old: str, new: str) -> types.ModuleType:
    """The lifecycle with a fault."""
    assert SOURCE.count(old) >= 1, f"no longer in the lifecycle: {old}"
    module = types.ModuleType(lifecycle.__name__)
    sys.modules[lifecycle.__name__] = module
    exec(compile(SOURCE.replace(old, new, 1), lifecycle.__file__, "exec"), module.__dict__)  # noqa: S102
    return module


def failures(path: Path) -> Iterator[str]:
    """The tests of a file that fail, whatever lifecycle they find."""
    spec = importlib.util.spec_from_file_location(f"faulty_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, test in vars(module).items():
        if name.startswith("test_"):
            for given in cases(test):
                try:
                    test(**given)
                except (AssertionError, pytest.fail.Exception):
                    yield name


def cases(test: Any) -> Iterator[dict[str, Any]]:
    """What its parametrize marks give it."""
    axes = []
    for mark in getattr(test, "pytestmark", ()):
        names, values = mark.args[:2]
        names = [names] if isinstance(names, str) else list(names)
        axes.append([dict(zip(names, v if len(names) > 1 else [v], strict=True)) for v in values])
    for chosen in itertools.product(*axes):
        yield {name: value for part in chosen for name, value in part.items()}


@pytest.fixture
def plant(monkeypatch):
    """Plants a fault, and takes it out again."""
    import pdsup.units

    monkeypatch.setitem(sys.modules, lifecycle.__name__, lifecycle)

    def do(old: str, new: str) -> None:
        monkeypatch.setattr(pdsup.units, "lifecycle", planted(old, new))

    return do


def test_without_a_fault_nothing_fails(plant):
    plant("", "")
    assert [name for test in TESTS for name in failures(HERE / test)] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(plant, fault):
    plant(*FAULTS[fault])
    assert next((name for test in TESTS for name in failures(HERE / test)), None), fault
