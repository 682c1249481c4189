"""The API's answers for those who look closer."""

import asyncio
import json
import os
import threading
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pdsup.api import metrics, queries, server
from pdsup.units.process import nvml
from pdsup.units.process.gpu import Gpu


@pytest.fixture
def journal(tmp_path):
    def write(node, *units):
        (tmp_path / "events").mkdir(exist_ok=True)
        with (tmp_path / "events" / f"{node}.jsonl").open("a") as file:
            for at, unit in units:
                file.write(json.dumps({"at": at, "node": node, "unit": unit, "to": "X"}) + "\n")

    return write


async def test_events_of_all_nodes_come_in_the_order_of_time(serving, journal):
    journal("node1", (1, "a"), (3, "b"))
    journal("node2", (2, "c"))
    async with serving() as s:
        for ask in (s.local, s.remote):
            found = (await ask("/v1/events")).json()["events"]
            assert [one["unit"] for one in found] == ["a", "c", "b"]


async def test_events_can_be_those_of_a_unit_and_the_last_ones(serving, journal):
    journal("node1", *((at, f"u{at % 2}") for at in range(10)))
    async with serving() as s:
        found = (await s.local("/v1/events?unit=u1&n=2")).json()["events"]
        assert [one["at"] for one in found] == [7, 9]


@pytest.mark.parametrize("n", ["0", "-1", "10001", "many", "1e3"])
async def test_a_number_of_events_that_makes_no_sense_is_refused(serving, n):
    async with serving() as s:
        assert (await s.local(f"/v1/events?n={n}")).status == 400


async def test_a_journal_that_can_not_be_read_is_told(serving, tmp_path):
    async with serving() as s:
        (tmp_path / "events" / "node0.jsonl").mkdir(parents=True)
        answer = await s.local("/v1/events")
        assert (answer.status, b"cannot read the journal" in answer.body) == (503, True)


async def test_a_unit_of_this_node_is_explained(serving, unit_report, tmp_path):
    async with serving() as s:
        s.parts.own_report.publish(unit_report("decode-1", "STARTING", reason="not ready yet"))
        found = (await s.remote("/v1/explain/decode-1")).json()
        assert (found["unit"]["state"], found["unit"]["reason"]) == ("STARTING", "not ready yet")
        assert (found["told_by"], found["agent"]["reachable"]) == ("node3", True)
        assert found["gate"] == {"rule": "all", "enough": {}, "conditions": []}
        assert found["log"] == f"{tmp_path}/logs/node3_decode-1.out"


async def test_a_unit_of_another_node_is_explained_by_what_is_known_here(serving, unit_report):
    async with serving() as s, serving("node2") as peer:
        peer.parts.own_report.publish(unit_report("decode-0", "RUNNING"))
        found = (await s.local("/v1/explain/router-0")).json()
        truth = {one["what"]: one["holds"] for one in found["gate"]["conditions"]}
        assert (found["told_by"], found["agent"]["reachable"]) == ("node3", False)
        assert truth["decode-0 ready"] is True
        assert truth["prefill-0 ready"] is None


async def test_a_unit_that_does_not_exist_is_not_explained(serving):
    async with serving() as s:
        assert (await s.local("/v1/explain/nono")).status == 404


async def test_metrics_are_told_in_the_format_that_prometheus_reads(serving, unit_report):
    async with serving() as s:
        s.parts.own_report.publish(unit_report("decode-1", "STARTING", pid=os.getpid()))
        for ask in (s.local, s.remote):
            answer = await ask("/metrics")
            assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
            found = {f.name: f for f in text_string_to_metric_families(answer.body.decode())}
            by_unit = {x.labels["unit"]: x.value for x in found["pdsup_unit_memory_bytes"].samples}
            assert by_unit.keys() == {"decode-1"}
            assert by_unit["decode-1"] > 1 << 20
            assert found["process_resident_memory_bytes"].samples[0].value > 1 << 20


async def test_metrics_stay_readable_and_bounded_while_much_happens(serving, unit_report):
    async with serving() as s:
        states = ("STARTING", "RUNNING", "BACKOFF")

        async def change():
            for run in range(300):
                now = unit_report("decode-1", states[run % 3], run=run, reason=f'"{run}\\ \n"')
                s.parts.own_report.publish(now)
                await asyncio.sleep(0)

        async def read():
            answer = await s.local("/metrics")
            families = text_string_to_metric_families(answer.body.decode())
            return {(x.name, *sorted(x.labels.items())) for f in families for x in f.samples}

        _, *seen = await asyncio.gather(change(), *(read() for _ in range(20)))
        assert len(set().union(*seen)) == len(seen[0])


@pytest.fixture
def with_gpus(plan):
    """The plan, whose decode on node3 has two GPUs."""
    given = {"decode-1": (0, 1)}
    units = tuple(replace(unit, gpus=given.get(unit.name, ())) for unit in plan.units)
    return replace(plan, units=units)


async def test_the_status_tells_what_is_in_use_of_the_gpus_of_this_node(
    serving, with_gpus, monkeypatch
):
    asked = []

    def found():
        asked.append(1)
        return (Gpu(0, True, 5, 80, 0.5), Gpu(1, True, 7, 80, 1.0))

    monkeypatch.setattr(nvml, "gpus", found)
    monkeypatch.setattr(queries, "GPUS_KEPT_S", 1000.0)
    used = {"memory_used": 12, "memory": 160, "utilization": 0.75}
    async with serving(plan=with_gpus) as s:
        for ask in (s.local, s.remote):
            (node,) = (await ask("/v1/status")).json()["nodes"]
            told = {unit["name"]: unit["gpu_use"] for unit in node["units"]}
            assert told == {"decode-1": used, "benchmark": None}
        explained = (await s.local("/v1/explain/decode-1")).json()
        assert explained["unit"]["gpu_use"] == used
        assert asked == [1]


async def test_where_no_unit_has_gpus_the_status_asks_no_driver(serving, monkeypatch):
    asked = []
    monkeypatch.setattr(nvml, "gpus", lambda: asked.append(1))
    async with serving() as s:
        (node,) = (await s.local("/v1/status")).json()["nodes"]
        assert [unit["gpu_use"] for unit in node["units"]] == [None, None]
        assert asked == []


async def test_a_gpu_driver_that_hangs_holds_up_one_status_and_no_more(
    serving, with_gpus, monkeypatch
):
    asked, answers = [], threading.Event()

    def hang():
        asked.append(1)
        answers.wait(60)

    monkeypatch.setattr(nvml, "ANSWER_S", 0.05)
    monkeypatch.setattr(nvml, "gpus", hang)
    async with serving(plan=with_gpus) as s:
        for _ in range(3):
            (node,) = (await s.local("/v1/status")).json()["nodes"]
            assert [unit["gpu_use"] for unit in node["units"]] == [None, None]
            monkeypatch.setattr(nvml, "ANSWER_S", 1000.0)
        assert asked == [1]
        answers.set()


async def test_a_status_that_waited_for_the_driver_has_the_version_of_what_it_tells(
    serving, with_gpus, unit_report, monkeypatch
):
    began, answers = threading.Event(), threading.Event()

    def hang():
        began.set()
        answers.wait(60)
        return ()

    monkeypatch.setattr(nvml, "ANSWER_S", 30.0)
    monkeypatch.setattr(nvml, "gpus", hang)
    async with serving(plan=with_gpus) as s:
        asking = asyncio.create_task(s.local("/v1/status"))
        await asyncio.to_thread(began.wait, 30)
        s.parts.own_report.publish(unit_report("decode-1", "RUNNING", run=77))
        answers.set()
        answer = await asking
        (node,) = answer.json()["nodes"]
        assert [unit["run"] for unit in node["units"]] == [77, 0]
        assert answer.headers[server.VERSION] == s.agent.version


async def test_a_gpu_driver_that_hangs_holds_up_neither_metrics_nor_more_than_one_thread(
    serving, monkeypatch
):
    asked, answers = [], threading.Event()

    def hang():
        asked.append(1)
        answers.wait(60)
        return (Gpu(0, False),)

    monkeypatch.setattr(nvml, "ANSWER_S", 0.05)
    monkeypatch.setattr(nvml, "gpus", hang)
    async with serving() as s:
        for _ in range(3):
            assert b"pdsup_gpu_up" not in (await s.local("/metrics")).body
        assert len(asked) == 1
        answers.set()
        async with asyncio.timeout(60):
            while True:
                if b'pdsup_gpu_up{node="node3",gpu="0"' in (await s.local("/metrics")).body:
                    return
