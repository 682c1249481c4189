"""What an agent tells of its GPUs: real agents, and a stand-in for the driver."""

import asyncio
import dataclasses
import json
import os
import signal

import pytest

from pdsup.agent import gpu_watch
from pdsup.units.process import nvml as gpus_module
from pdsup.units.process.gpu import Gpu
from pdsup.units.runner import Runner
from tests.bed.hosts import assigned, fake_host


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Agents look often, and find the GPUs that it was called with, each up, slow or dead."""
    path = tmp_path / "gpus"

    def tell(*words):
        aside = tmp_path / "gpus.new"
        aside.write_text(json.dumps(words))
        aside.replace(path)

    def found():
        words = json.loads(path.read_text())
        return tuple(Gpu(i, w != "dead", throttled=w == "slow") for i, w in enumerate(words))

    monkeypatch.setattr(gpu_watch, "LOOK_S", 0.02)
    monkeypatch.setattr(gpus_module, "gpus", found)
    return tell


def told(agents):
    lines = [line for line in agents.journal() if "to" not in line]
    return [(line["unit"], line["event"]["type"], line["event"]["gpus"]) for line in lines]


def test_the_unit_whose_gpu_is_slowed_down_or_lost_is_told_with_its_run(agents, driver, wait_for):
    driver("up", "up")
    agents.start(agents.plan(agents.unit("a", gpus=[0]), agents.unit("b", gpus=[1])))
    agents.reaches("RUNNING", "b")
    driver("slow", "up")
    wait_for(lambda: told(agents))
    driver("up", "dead")
    wait_for(lambda: len(told(agents)) == 3)
    assert sorted(told(agents)[1:]) == [("a", "GpusUnthrottled", []), ("b", "GpusLost", [1])]
    lost = next(line for line in agents.journal() if line["event"]["type"] == "GpusLost")
    assert (lost["node"], lost["run"], lost["reason"]) == (
        "node0", 1, "the driver has lost GPU 1",
    )  # fmt: skip


def test_an_agent_that_takes_over_tells_when_what_the_last_one_told_is_over(
    agents, driver, wait_for
):
    plan = agents.plan(agents.unit("a", gpus=[0]))
    driver("up")
    agents.start(plan)
    agents.reaches("RUNNING", "a")
    driver("slow")
    wait_for(lambda: told(agents))
    os.kill(agents.processes["node0"].pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    driver("up")
    agents.start(plan)
    wait_for(lambda: len(told(agents)) == 2)
    assert told(agents) == [("a", "GpusThrottled", [0]), ("a", "GpusUnthrottled", [])]


async def test_nobody_looks_where_no_unit_has_gpus_or_there_is_no_driver(
    plan, monkeypatch, tmp_path
):
    asked = []
    monkeypatch.setattr(gpus_module, "gpus", lambda: asked.append(1) or ())

    async with asyncio.TaskGroup() as tasks:
        host = fake_host(tasks, tmp_path)

        def watch(*gpus):
            units = tuple(dataclasses.replace(unit, gpus=gpus) for unit in plan.units)
            here = assigned(dataclasses.replace(plan, units=units), "node0", tmp_path)
            runners = {unit.name: Runner(unit, host) for unit in here.units}
            return gpu_watch.GpuWatch(runners, host.gpus, host.ledger, asked.append, {})

        await watch().run()
        assert asked == []
        await watch(0, 1).run()
        assert asked == [1]
