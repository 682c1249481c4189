"""How the tests are run: which start processes, what shares a worker, and what comes first."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
# Whole clusters, Slurm and browsers: one at a time in each of these groups.
MACHINE = {"system": "clusters", "docs": "pages", "pages": "pages", "bench": "pages"}
# There is only one address of IPv6 on a machine.
ONE_ADDRESS = ("test_ipv6.py",)
# What takes long begins early, so that all workers end together.
FIRST = (*MACHINE, "agent", "host", "cli", "mock", "front", "journal", "cluster")
STARTS = {
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pty.spawn",
    "subprocess.Popen",
}  # fmt: skip
# Rooms and fixtures that start some, so that their tests need no mark.
STARTING = ("system", "pages")
STARTERS = {
    "agents", "begin_supervising", "crew", "nginx", "real_nginx", "run_bench", "shared",
    "shared_agents", "stranger", "supervising",
}  # fmt: skip


class Guard:
    """Refuses processes to tests that ``make quick`` runs: those that are not marked."""

    def __init__(self) -> None:
        self.refusing = ""

    def look(self, event: str, _: object) -> None:
        if self.refusing and event in STARTS:
            raise AssertionError(f"{self.refusing} starts a process: mark it with `processes`")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        return (yield from self._guarding(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        return (yield from self._guarding(item))

    def _guarding(self, item: pytest.Item) -> Iterator[None]:
        self.refusing = "" if item.get_closest_marker("processes") else item.nodeid
        try:
            return (yield)
        finally:
            self.refusing = ""


def pytest_configure(config: pytest.Config) -> None:
    guard = Guard()
    config.pluginmanager.register(guard)
    sys.addaudithook(guard.look)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # the order is that of the items, see below
    return Sharing(config, log)


class Sharing(LoadScopeScheduling):
    """Gives a worker whole files, and each group of what uses much of the machine to one worker.

    xdist's own groups go by a mark, which is lost with pytest 9.2: it no longer reads ``_nodeid``.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0]).relative_to(HERE.name)
        if path.name in ONE_ADDRESS:
            return "clusters"
        return MACHINE.get(path.parts[0], str(path))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if starts_processes(item):
            item.add_marker("processes")
    items.sort(key=lambda item: FIRST.index(room(item)) if room(item) in FIRST else len(FIRST))


def room(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def starts_processes(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    shell = room(item) == "docs" and "desk" in fixtures  # the desk of the plans is but files
    return room(item) in STARTING or bool(STARTERS & fixtures) or shell
