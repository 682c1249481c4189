"""Checks the probes of a unit: their numbers, and that each check has exactly one form. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pdsup.errors import Problem
from pdsup.plan import check_sizes
from pdsup.plan.check_sizes import positive
from pdsup.plan.model import Check, Gauges, PlanUnit, Probe, Progress

_PATH = re.compile(r"/[!-~]*")
# Fields that apply only to a GET, and would be ignored in a check of another form.
_OF_GET = ("status", "skip", "body", "field", "equals", "gauges")
_FORMS = ("port", "command", "log", "tree")


def check(at: str, unit: PlanUnit) -> Iterator[Problem]:
    """Every reason why the probes can't be run. ``at``: the path of the unit's ``probes``."""
    probes = unit.probes
    for name, probe in (
        ("startup", probes.startup),
        ("readiness", probes.readiness),
        ("liveness", probes.liveness),
    ):
        if probe is not None:
            yield from _probe(f"{at}.{name}", name, probe, unit)
    yield from _progress(f"{at}.progress", probes.progress, unit)


def _probe(at: str, name: str, probe: Probe, unit: PlanUnit) -> Iterator[Problem]:
    yield from positive(
        at,
        period_s=probe.period_s,
        timeout_s=probe.timeout_s,
        deadline_s=probe.deadline_s,
        limit_s=probe.limit_s,
    )
    yield from positive(at, zero=True, stable_s=probe.stable_s, quiet_s=probe.quiet_s)
    if not 0 <= probe.jitter < 1:
        yield Problem(f"{at}.jitter", f"must be at least 0 and below 1, not {probe.jitter}")
    for key, count in (("failures", probe.failures), ("successes", probe.successes)):
        if count < 1:
            yield Problem(f"{at}.{key}", f"must be at least 1, not {count}")
    yield from _deadlines(at, name, probe)
    if not probe.checks:
        yield Problem(f"{at}.checks", "is empty; add a check or leave the probe out")
    for index, question in enumerate(probe.checks):
        yield from _check(f"{at}.checks.{index}", question, unit)


def _deadlines(at: str, name: str, probe: Probe) -> Iterator[Problem]:
    for key in ("deadline_s", "limit_s"):
        if name != "startup" and getattr(probe, key) is not None:
            yield Problem(f"{at}.{key}", "is for the startup probe only")
    if name == "readiness" and probe.quiet_s is not None:
        yield Problem(f"{at}.quiet_s", "is for startup and liveness probes only")
    if name == "startup" and probe.quiet_s is not None and probe.limit_s is None:
        yield Problem(f"{at}.quiet_s", "needs a limit_s: progress must not extend it for ever")
    if probe.limit_s is not None and probe.limit_s < (probe.deadline_s or probe.limit_s + 1):
        yield Problem(f"{at}.limit_s", "needs a deadline_s, and must not be less than it")


def _check(at: str, check: Check, unit: PlanUnit) -> Iterator[Problem]:
    forms = [form for form in _FORMS if getattr(check, form) not in (None, ())]
    if len(forms) != 1:
        yield Problem(at, f"must have exactly one of {', '.join(_FORMS)}")
    if check.port is not None and check.port not in unit.ports:
        yield Problem(f"{at}.port", f"{unit.name} has no port {check.port!r}")
    if check.path is not None:
        if check.port is None:
            yield Problem(f"{at}.path", "needs a port")
        if not _PATH.fullmatch(check.path):
            yield Problem(f"{at}.path", "must begin with / and contain no spaces")
    else:
        for key in _OF_GET:
            if getattr(check, key) not in (None, ()):
                yield Problem(f"{at}.{key}", "needs a path")
    if check.equals is not None and check.field is None:
        yield Problem(f"{at}.equals", "needs a field")
    for key in ("status", "skip"):
        if any(not 100 <= status <= 599 for status in getattr(check, key)):
            yield Problem(f"{at}.{key}", "must be HTTP statuses, 100 to 599")
    if any("\0" in word for word in check.command) or check.command[:1] == ("",):
        yield Problem(f"{at}.command", "can't be a command")
    yield from check_sizes.command(f"{at}.command", check.command)
    if check.gauges is not None:
        yield from _gauges(f"{at}.gauges", check.gauges, unit)
    yield from _patterns(at, body=(check.body,), log=(check.log,))


def _gauges(at: str, gauges: Gauges, unit: PlanUnit) -> Iterator[Problem]:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", gauges.name):
        yield Problem(f"{at}.name", f"{gauges.name[:40]!r} can't be the name of a metric")
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", gauges.label):
        yield Problem(f"{at}.label", f"{gauges.label[:40]!r} can't be the name of a label")
    trial = gauges.trial
    if trial is None:
        return
    yield from positive(f"{at}.trial", timeout_s=trial.timeout_s)
    if trial.port not in unit.ports:
        yield Problem(f"{at}.trial.port", f"{unit.name} has no port {trial.port!r}")
    if not _PATH.fullmatch(trial.path):
        yield Problem(f"{at}.trial.path", "must begin with / and contain no spaces")


def _progress(at: str, progress: Progress, unit: PlanUnit) -> Iterator[Problem]:
    if progress.port is not None and progress.port not in unit.ports:
        yield Problem(f"{at}.port", f"{unit.name} has no port {progress.port!r}")
    if bool(progress.counters) != (progress.port is not None):
        yield Problem(at, "needs both counters and a port, or neither")
    if not _PATH.fullmatch(progress.path):
        yield Problem(f"{at}.path", "must begin with / and contain no spaces")
    yield from _patterns(at, noise=progress.noise)


def _patterns(at: str, **patterns: Iterable[str | None]) -> Iterator[Problem]:
    for key, expressions in patterns.items():
        for expression in expressions:
            try:
                re.compile(expression or "")
            except re.error as error:
                yield Problem(f"{at}.{key}", f"is not a regular expression: {error}")
