"""Who holds a port, with real sockets of this process and of others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from pdsup.plan.model import Bind
from pdsup.units.process import holders
from pdsup.units.process.holders import CleanSlate, busy_port, holder, port_holder

PORT = 8000
LISTEN = (
    "import socket as s, sys; l = s.create_server((sys.argv[1], int(sys.argv[2])));"
    "print(flush=True); sys.stdin.read()"
)


@contextlib.contextmanager
def listening(address: str, port: int = PORT, family: int = socket.AF_INET) -> Iterator[None]:
    with socket.create_server((address, port), family=family):
        yield


@contextlib.contextmanager
def stranger(address: str, port: int, *words: str) -> Iterator[int]:
    """Another process that listens; its pid."""
    command = [sys.executable, "-c", LISTEN, address, str(port), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process.pid
        process.communicate()


def test_free_ports_have_no_holder(address: str) -> None:
    assert port_holder(address, "address", {"http": PORT, "bootstrap": PORT + 1}) is None


def test_a_unit_without_ports_finds_nothing_in_its_way(address: str) -> None:
    assert port_holder(address, "any", {}) is None


def test_the_lowest_port_that_is_taken_is_named(address: str) -> None:
    with listening(address, 8001), listening(address, 8002):
        assert busy_port(address, "address", {"a": 8002, "b": 8001, "c": 8000}) == 8001


def test_looking_does_not_take_the_port(address: str) -> None:
    assert busy_port(address, "address", {"http": PORT}) is None
    with listening(address):
        pass


@pytest.mark.processes
def test_a_stranger_is_named_by_pid_command_and_user(address: str) -> None:
    with stranger(address, PORT, "some-model") as pid:
        said = port_holder(address, "address", {"http": PORT})
    assert said is not None
    assert said.startswith(f"port {PORT} is held by pid {pid} ({sys.executable} -c")
    assert "user " in said


@pytest.mark.processes
def test_a_unit_of_another_run_is_named_with_what_ends_it(address: str) -> None:
    listen = f"import socket; s = socket.create_server(({address!r}, {PORT})); print(1, flush=True)"
    child = [sys.executable, "-c", f"{listen}; s.accept()"]
    command = f"import subprocess; subprocess.run({child!r})"
    words = [sys.executable, "-c", command, "pdsup.launch", "--run-dir", "/runs/other"]
    agent = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert agent.stdout is not None and agent.stdout.readline()
        said = port_holder(address, "address", {"http": PORT})
    finally:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.communicate()
    assert said is not None
    assert said.endswith(
        " of another run (to stop it: pdsup shutdown --all --run-dir /runs/other); stop it first"
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["nginx: worker", " " * 200, "end"], "nginx: worker end"),
        (["engine", "\x1b[31m red \n alert \x07"], "engine red alert"),
        (["x" * 500], "x" * 120),
    ],
    ids=["blank title", "control characters", "long"],
)
def test_a_strangers_command_line_is_shown_in_one_short_harmless_line(
    address: str, monkeypatch: pytest.MonkeyPatch, words: list[str], shown: str
) -> None:
    monkeypatch.setattr("psutil.Process.cmdline", lambda self: words)
    with listening(address):
        assert f" ({shown}; user " in holder(address, "address", PORT)


def test_a_port_of_another_address_is_in_the_way_only_of_a_unit_that_listens_everywhere(
    address: str, other_address: str, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with listening(other_address, port):
        assert busy_port(address, "address", {"http": port}) is None
        assert busy_port(address, "any", {"http": port}) == port


@pytest.mark.parametrize(
    ("everywhere", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)]
)
def test_who_listens_everywhere_is_in_the_way_of_every_address(
    address: str, free_port: Callable[[], int], everywhere: str, family: int
) -> None:
    port = free_port()
    with socket.create_server(
        (everywhere, port), family=family, dualstack_ipv6=family == socket.AF_INET6
    ):
        for bind in ("address", "any"):
            assert f"pid {os.getpid()} " in str(port_holder(address, bind, {"http": port}))


@pytest.mark.parametrize(
    ("bind", "holds"), [("address", "::1"), ("any", "::1"), ("any", "::"), ("any", "0.0.0.0")]
)
def test_a_port_of_an_ipv6_address_that_is_held_is_found(
    free_port: Callable[[], int], bind: Bind, holds: str
) -> None:
    port = free_port()
    family = socket.AF_INET6 if ":" in holds else socket.AF_INET
    assert port_holder("::1", bind, {"http": port}) is None
    with listening(holds, port, family):
        assert f"pid {os.getpid()} " in str(port_holder("::1", bind, {"http": port}))


def test_an_ipv6_address_of_another_machine_is_told_with_its_port_in_brackets() -> None:
    with pytest.raises(OSError, match="not an address of this node") as caught:
        busy_port("fd00::7", "address", {"http": PORT})
    assert caught.value.filename == f"[fd00::7]:{PORT}"


def test_connections_that_linger_after_their_server_are_not_in_the_way(address: str) -> None:
    with listening(address) as _, socket.create_connection((address, PORT)):
        pass
    assert _closing_connection(address) is None
    assert busy_port(address, "address", {"http": PORT}) is None


def _closing_connection(address: str) -> None:
    """Leaves a connection of which the server hung up first (TIME_WAIT on its port)."""
    with socket.create_server((address, PORT)) as server:
        client = socket.create_connection((address, PORT))
        accepted, _ = server.accept()
        accepted.close()
        assert select.select([client], [], [], 5.0)[0]
        client.close()


def test_an_outgoing_connection_that_was_given_the_port_is_named_too(address: str) -> None:
    with socket.create_server((address, PORT)) as server, socket.socket() as client:
        client.bind((address, 9000))
        client.connect((address, PORT))
        with server.accept()[0]:
            assert f"pid {os.getpid()} " in str(port_holder(address, "address", {"http": 9000}))


@pytest.mark.processes
@pytest.mark.parametrize("listener_first", [True, False])
def test_a_listener_is_named_before_connections_that_have_its_port(
    address: str,
    other_address: str,
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    listener_first: bool,
) -> None:
    found = psutil.net_connections

    def in_order(kind: str) -> list:
        return sorted(
            found(kind), key=lambda one: (one.status == psutil.CONN_LISTEN) != listener_first
        )

    monkeypatch.setattr(psutil, "net_connections", in_order)
    port = free_port()
    with stranger(address, port) as pid, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((other_address, port))
        client.connect((address, port))
        assert f"pid {pid} " in holder(address, "any", port)


def test_an_address_of_another_machine_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match="not an address of this node") as caught:
        port_holder("192.0.2.1", "address", {"http": PORT})
    assert caught.value.filename == f"192.0.2.1:{PORT}"


def test_an_address_of_another_machine_does_not_matter_to_a_unit_that_listens_everywhere(
    free_port: Callable[[], int],
) -> None:
    assert port_holder("192.0.2.1", "any", {"http": free_port()}) is None


def test_a_holder_that_can_not_be_seen_is_said_to_be_so(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.net_connections", lambda kind: [])
    with listening(address):
        assert "not visible from here" in str(
            holders.port_holder(address, "address", {"http": PORT})
        )


async def test_a_gpu_driver_that_hangs_holds_up_no_start_and_one_thread_at_most(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = [], threading.Event()

    def hang(gpus: tuple[int, ...]) -> str:
        asked.append(gpus)
        answers.wait(60)
        return "held"

    monkeypatch.setattr(holders, "DRIVER_S", 0.05)
    monkeypatch.setattr(holders, "gpu_holder", hang)
    looking = CleanSlate(address, "address", {}, (0, 3))
    assert [await looking.look() for _ in range(3)] == [None] * 3
    assert asked == [(0, 3)]
    answers.set()
    monkeypatch.setattr(holders, "DRIVER_S", 10.0)
    async with asyncio.timeout(60):
        while True:
            if await looking.look() == "held":
                return
            await asyncio.sleep(0)
