"""A small plan, and reports about its units, for the tests of what happens across nodes."""

import asyncio
import dataclasses

import pytest

from pdsup.cluster.report import AgentReport, ExitReport, Report, UnitReport
from pdsup.plan.model import Need, Needs, Nginx, Node, Plan, PlanUnit, Stop
from pdsup.units.public_state import PublicState
from tests.bed.addresses import fresh_address

DIGEST = "d" * 64


LIMIT_S = 60.0


@pytest.fixture
def digest():
    return DIGEST


@pytest.fixture
def until():
    """The first true value of a condition, which must come soon."""

    async def wait(condition):
        async with asyncio.timeout(LIMIT_S):
            while True:
                if value := condition():
                    return value
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def plan():
    """Two prefills and two decodes on four nodes, a router before them, nginx before it."""

    def worker(role, index, node, **ports):
        return PlanUnit(
            name=f"{role}-{index}", kind="worker", role=role, rank=0, node=node, ports=ports,
            command=("engine",), stop=Stop(timeout_s=30),
        )  # fmt: skip

    needs = (
        Need(unit="prefill-0", ports=("http", "bootstrap")),
        Need(unit="prefill-1", ports=("http", "bootstrap")),
        Need(unit="decode-0", ports=("http",)),
        Need(unit="decode-1", ports=("http",)),
        Need(unit="etcd"),
    )
    return Plan(
        plan=1,
        name="demo",
        nodes=tuple(Node(name=f"node{i}", address=fresh_address()) for i in range(4)),
        units=(
            worker("prefill", 0, "node0", http=30000, bootstrap=30001),
            worker("prefill", 1, "node1", http=30000, bootstrap=30001),
            worker("decode", 0, "node2", http=30000),
            worker("decode", 1, "node3", http=30000),
            PlanUnit(name="etcd", kind="service", node="node0", command=("etcd",)),
            PlanUnit(
                name="router-0", kind="router", node="node0", ports={"http": 30080},
                command=("router",), needs=Needs(units=needs, later="one-per-role"),
                stop=Stop(timeout_s=5),
            ),
            PlanUnit(
                name="nginx", kind="nginx", node="node0", ports={"http": 8000, "status": 8001},
                command=("nginx",), nginx=Nginx(upstreams=("router-0",)), stop=Stop(timeout_s=2),
            ),
            PlanUnit(name="benchmark", kind="benchmark", node="node3", command=("bench",),
                     needs=Needs(units=(Need(unit="decode-1"),)), stop=Stop(timeout_s=1)),
        ),
    )  # fmt: skip


@pytest.fixture
def unit_report(plan):
    def make(name, state="RUNNING", **changes):
        unit = plan.by_name[name]
        report = UnitReport(
            name=name, kind=unit.kind, role=unit.role, node=unit.node, rank=unit.rank, gang=None,
            state=PublicState(state), ready=state == "RUNNING", pid=4711, run=2, restarts=1,
            since=1.7e9, started=12.5, ports=unit.ports, gpus=(0, 1), reason="",
            last_exit=ExitReport(code=None, signal="SIGKILL", at=1.6e9),
        )  # fmt: skip
        return dataclasses.replace(report, **changes)

    return make


@pytest.fixture
def report(plan, unit_report):
    def make(node="node1", sequence=1, incarnation="a1b2", units=("prefill-1",), **changes):
        made = Report(
            cluster="demo", plan=DIGEST, node=node, address=plan.address[node], sequence=sequence,
            at=100.0, ending=None, ends_cluster=False,
            agent=AgentReport(pid=99, guardian_pid=None, incarnation=incarnation, version="0.1.0"),
            units=tuple(unit_report(name) for name in units),
        )  # fmt: skip
        return dataclasses.replace(made, **changes)

    return make
