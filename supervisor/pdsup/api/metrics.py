"""The metrics of one node, in the text format that Prometheus scrapes.

The plan bounds the number of series: one for each unit, or for each unit and state, never one for
anything that comes and goes. https://prometheus.io/docs/instrumenting/exposition_formats/ Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pdsup.agent.counters import Counts
from pdsup.cluster.report import Report, UnitReport
from pdsup.front.nginx_conf import Reloads
from pdsup.units.process.gpu import Gpu
from pdsup.units.process.tree import Usage
from pdsup.units.public_state import REPORTED

AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """The data for one scrape. ``wall``: when ``report`` was made, in seconds since the epoch.

    ``usage`` is by unit name, with the agent's own process as ``AGENT``. ``log_bytes``, ``probes``
    (seconds by kind of probe) and ``fronts`` (each nginx) are by unit name, ``reachable`` by the
    name of each followed node.
    """

    report: Report
    wall: float
    counts: Counts
    usage: Mapping[str, Usage]
    log_bytes: Mapping[str, int]
    probes: Mapping[str, Mapping[str, float]]
    fronts: Mapping[str, Reloads]
    reachable: Mapping[str, bool]
    gpus: Sequence[Gpu]


def families(scrape: Scrape) -> list[Family]:
    """All metrics of a node."""
    of_units = (*_of_units(scrape), *_of_states(scrape), *_of_use(scrape))
    return [*of_units, *_of_node(scrape), *_of_gpus(scrape)]


def _labels(unit: UnitReport) -> dict[str, str]:
    return {"node": unit.node, "unit": unit.name, "role": unit.role or unit.kind}


def _each(scrape: Scrape, values: Mapping[str, float | None]) -> tuple[Sample, ...]:
    """A sample for each unit that has a value."""
    return tuple(
        (_labels(unit), value)
        for unit in scrape.report.units
        if (value := values.get(unit.name)) is not None
    )


def _of_units(scrape: Scrape) -> Iterator[Family]:
    units = scrape.report.units
    ready: dict[str, float | None] = {unit.name: unit.ready for unit in units}
    yield Family("pdsup_unit_ready", "gauge", "Whether the unit is ready.", _each(scrape, ready))
    runs: dict[str, float | None] = {unit.name: unit.restarts for unit in units}
    about = "How often the unit was restarted."
    yield Family("pdsup_unit_restarts_total", "counter", about, _each(scrape, runs))
    began = {unit.name: _began(unit, scrape) for unit in units}
    about = "When the unit's process started, in seconds since the epoch."
    yield Family("pdsup_unit_start_time_seconds", "gauge", about, _each(scrape, began))
    probes = (
        (_labels(unit) | {"probe": kind}, seconds)
        for unit in units
        for kind, seconds in scrape.probes.get(unit.name, {}).items()
    )
    about = "Duration of the unit's last probe, by kind."
    yield Family("pdsup_unit_probe_duration_seconds", "gauge", about, tuple(probes))
    epochs = (({"gang": unit.gang}, unit.order.epoch) for unit in units if unit.gang and unit.order)
    yield Family("pdsup_gang_epoch", "gauge", "The epoch of the gang.", tuple(epochs))


def _began(unit: UnitReport, scrape: Scrape) -> float | None:
    if unit.started is None:
        return None
    return round(scrape.wall - scrape.report.at + unit.started, 3)


def _of_states(scrape: Scrape) -> Iterator[Family]:
    pairs = [(unit, state) for unit in scrape.report.units for state in REPORTED]

    def family(name: str, about: str, values: Iterable[float], *, counter: bool) -> Family:
        labels = (_labels(unit) | {"state": state} for unit, state in pairs)
        samples = tuple(zip(labels, values, strict=True))
        return Family(name, "counter" if counter else "gauge", about, samples)

    now = (unit.state == state for unit, state in pairs)
    yield family("pdsup_unit_state", "1 for the state the unit is in, else 0.", now, counter=False)
    entered = (scrape.counts.entered.get((unit.name, state), 0) for unit, state in pairs)
    about = "How often the unit entered the state since the agent started."
    yield family("pdsup_unit_state_entered_total", about, entered, counter=True)
    seconds = (scrape.counts.seconds.get((unit.name, state), 0.0) for unit, state in pairs)
    about = "Time the unit spent in the state since the agent started; WAITING is for its gate."
    yield family("pdsup_unit_state_seconds_total", about, seconds, counter=True)


def _of_use(scrape: Scrape) -> Iterator[Family]:
    cpu: dict[str, float | None] = {name: used.cpu_s for name, used in scrape.usage.items()}
    about = "CPU time of the unit's processes, including children they have reaped."
    yield Family("pdsup_unit_cpu_seconds_total", "counter", about, _each(scrape, cpu))
    memory: dict[str, float | None] = {name: used.memory for name, used in scrape.usage.items()}
    about = "Resident memory of the unit's processes; shared memory counts once for each."
    yield Family("pdsup_unit_memory_bytes", "gauge", about, _each(scrape, memory))
    count: dict[str, float | None] = {name: used.processes for name, used in scrape.usage.items()}
    yield Family(
        "pdsup_unit_processes", "gauge", "Number of processes of the unit.", _each(scrape, count)
    )
    logs: dict[str, float | None] = dict(scrape.log_bytes)
    yield Family(
        "pdsup_unit_log_bytes", "gauge", "Size of the unit's log file.", _each(scrape, logs)
    )


def _of_node(scrape: Scrape) -> Iterator[Family]:
    report = scrape.report
    info = {"node": report.node, "cluster": report.cluster, "plan": report.plan}
    info["version"] = report.agent.version
    about = "Always 1; the labels describe the agent."
    yield Family("pdsup_agent_info", "gauge", about, ((info, 1),))
    ending = (({"node": report.node}, report.ending is not None),)
    yield Family("pdsup_node_ending", "gauge", "Whether the node is stopping its units.", ending)
    peers = (({"node": report.node, "peer": p}, up) for p, up in scrape.reachable.items())
    about = "Whether the peer's agent answers and runs the same plan; followed nodes only."
    yield Family("pdsup_peer_reachable", "gauge", about, tuple(peers))
    yield from _of_fronts(scrape)
    if own := scrape.usage.get(AGENT):
        about = "CPU time of the agent."
        yield Family("process_cpu_seconds_total", "counter", about, (({}, own.cpu_s),))
        about = "Resident memory of the agent."
        yield Family("process_resident_memory_bytes", "gauge", about, (({}, own.memory),))


def _of_fronts(scrape: Scrape) -> Iterator[Family]:
    taken: dict[str, float | None] = {name: one.taken for name, one in scrape.fronts.items()}
    about = "Successful reloads of the running nginx."
    yield Family("pdsup_nginx_reloads_total", "counter", about, _each(scrape, taken))
    failed: dict[str, float | None] = {name: one.failed for name, one in scrape.fronts.items()}
    about = "Failed reloads of nginx."
    yield Family("pdsup_nginx_reload_failures_total", "counter", about, _each(scrape, failed))
    routers: dict[str, float | None] = {n: one.upstreams for n, one in scrape.fronts.items()}
    about = "Number of routers that nginx balances over."
    yield Family("pdsup_nginx_upstreams", "gauge", about, _each(scrape, routers))


def _of_gpus(scrape: Scrape) -> Iterator[Family]:
    """The metrics of GPUs; the label ``unit`` is empty for a GPU that no unit has."""
    users = {index: unit.name for unit in scrape.report.units for index in unit.gpus}

    def family(name: str, about: str, values: Iterable[float | None]) -> Family:
        samples = tuple(
            ({"node": scrape.report.node, "gpu": str(i), "unit": users.get(i, "")}, value)
            for i, value in zip((gpu.index for gpu in scrape.gpus), values, strict=True)
            if value is not None
        )
        return Family(name, "gauge", about, samples)

    gpus = scrape.gpus
    yield family("pdsup_gpu_up", "Whether the driver can read the GPU.", (g.up for g in gpus))
    about = "Whether heat or a power limit slows the GPU down."
    yield family("pdsup_gpu_throttled", about, (g.throttled for g in gpus))
    about = "GPU memory in use."
    yield family("pdsup_gpu_memory_used_bytes", about, (g.memory_used for g in gpus))
    yield family("pdsup_gpu_memory_bytes", "GPU memory in total.", (g.memory for g in gpus))
    about = "Share of the last sampling period in which the GPU was busy, 0 to 1."
    yield family("pdsup_gpu_utilization_ratio", about, (g.utilization for g in gpus))
    yield family(
        "pdsup_gpu_temperature_celsius", "Temperature of the GPU.", (g.celsius for g in gpus)
    )
    yield family("pdsup_gpu_power_watts", "Power draw of the GPU.", (g.watts for g in gpus))


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A counter's name ends in ``_total``; units are base units (seconds, bytes)."""

    name: str
    kind: Literal["gauge", "counter"]
    about: str
    samples: tuple[Sample, ...]


def text(families: Iterable[Family]) -> str:
    """The metrics in the text format, without those that have no sample."""
    return "".join(line + "\n" for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {_escaped(family.about)}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        named = ",".join(f'{key}="{_quoted(word)}"' for key, word in labels.items())
        yield f"{family.name}{{{named}}} {_number(value)}"


def _escaped(words: str) -> str:
    return words.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(word: str) -> str:
    return _escaped(word).replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
