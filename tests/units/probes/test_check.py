"""Checks of every kind, put to real servers, files and processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from pdsup.plan.model import Check, Gauges, Probes, Trial
from pdsup.units.probes.check import ProbeCheck, Subject
from pdsup.units.probes.health import No, Unasked, Yes
from pdsup.units.process import proc
from pdsup.units.process.spawn import Spawner
from tests.units.servers import always, serving, talking

LIMIT = 60.0
PORTS = {"http": 8000, "other": 8001}
GET = Check(port="http", path="/health")
TCP = Check(port="http")
# Names its child as the engine does, tells its pid, and ends it when told so.
PARENT = """
import ctypes, os, signal, sys
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
    os.write(1, b"%d\\n" % os.getpid())
    signal.pause()
for line in sys.stdin:
    os.kill(child, signal.SIGKILL)
    if line == "reap\\n":
        os.waitpid(child, 0)
    print("done", flush=True)
"""


def subject(address: str = "127.0.0.1", *, log: str = "/nowhere", start: int = 0, pid: int = 1):
    return Subject(
        probes=Probes(), address=address, ports=PORTS, pid=pid, env=dict(os.environ),
        log_path=log, log_start=start,
    )  # fmt: skip


async def ask(check: Check, address: str, timeout_s: float = 5.0):
    return await ProbeCheck(subject(address), Spawner()).ask(check, timeout_s)


# -- over the network --------------------------------------------------------------------------


async def test_a_reply_as_wanted_is_a_yes_and_another_a_no_that_says_where(address: str) -> None:
    async with serving(address, always(200)):
        assert await ask(GET, address) == Yes()
    async with serving(address, always(503)):
        assert await ask(GET, address) == No(f"{address}:8000/health: HTTP 503")


async def test_a_field_of_the_body_is_read(address: str) -> None:
    check = Check(port="http", path="/health?full=1", field="health", equals="true")
    async with serving(address, always(200, text='{"health": "true"}')):
        assert await ask(check, address) == Yes()
    async with serving(address, always(200, text='{"health": "false"}')):
        said = "health is false, not true"
        assert await ask(check, address) == No(f"{address}:8000/health: {said}")


async def test_nobody_listening_is_a_no(address: str) -> None:
    for check in (GET, TCP):
        where = f"{address}:8000{check.path or ''}"
        assert await ask(check, address) == No(f"{where}: connection refused")


async def test_a_server_that_never_answers_is_a_no_after_the_timeout(address: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(address, answer), asyncio.timeout(LIMIT):
        said = await ask(GET, address, 0.1)
    assert said == No(f"{address}:8000/health: no answer within 0.1 s")


async def test_a_half_open_server_passes_a_connect_and_fails_a_request(address: str) -> None:
    async with talking(address, None), asyncio.timeout(LIMIT):
        assert await ask(TCP, address) == Yes()
        said = await ask(GET, address, 0.1)
    assert said == No(f"{address}:8000/health: no answer within 0.1 s")


async def test_an_answer_that_is_not_http_is_a_no(address: str) -> None:
    async with talking(address, b"SSH-2.0-x\r\n"), asyncio.timeout(LIMIT):
        assert await ask(GET, address) == No(f"{address}:8000/health: the reply is not HTTP")


async def test_a_name_that_can_not_be_a_host_is_a_no() -> None:
    for check in (GET, TCP):
        assert isinstance(await ask(check, "a..b"), No)


async def test_without_descriptors_left_the_question_is_not_asked(address: str) -> None:
    async with serving(address, always(200)):
        with no_descriptors():
            said = await ask(GET, address)
        assert said == Unasked(f"{address}:8000/health: Too many open files")
        assert await ask(GET, address) == Yes()


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    filling = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in filling:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- gauges and trials --------------------------------------------------------------------------

TRIAL = Trial(port="other", path="/generate", body='{"text": "a"}', timeout_s=5.0)


def breakers(trial: Trial | None = None) -> Check:
    gauges = Gauges(
        name="open", label="w", bad=1.0, means="an open breaker", groups={"decode": ("d",)},
        trial=trial,
    )  # fmt: skip
    return Check(port="http", path="/metrics", gauges=gauges)


@pytest.mark.parametrize(
    ("value", "expected"), [(0, None), (1, "every decode has an open breaker")]
)
async def test_gauges_of_an_answer_can_make_it_a_no(
    address: str, value: int, expected: str | None
) -> None:
    async with serving(address, always(200, text=f'open{{w="d"}} {value}\n')):
        said = await ask(breakers(), address)
    assert said == (No(f"{address}:8000/metrics: {expected}") if expected else Yes())


@pytest.mark.parametrize(("status", "yes"), [(200, True), (503, False)])
async def test_a_trial_has_the_last_word_over_bad_gauges(
    address: str, status: int, yes: bool
) -> None:
    bodies: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(f"{request.path} {request.content_type} {await request.text()}")
        return web.Response(status=status)

    bad = always(200, text='open{w="d"} 1\n')
    async with serving(address, bad), serving(address, answer, port=8001):
        said = await ask(breakers(TRIAL), address)
    assert bodies == ['/generate application/json {"text": "a"}']
    refused = "every decode has an open breaker, and a trial request failed: HTTP 503"
    assert said == (Yes() if yes else No(f"{address}:8000/metrics: {refused}"))


async def test_nobody_is_tried_while_the_gauges_are_good(address: str) -> None:
    async with serving(address, always(200, text='open{w="d"} 0\n')):  # a trial would be refused
        assert await ask(breakers(TRIAL), address) == Yes()


async def test_gauges_that_can_not_be_read_are_a_no(address: str) -> None:
    async with serving(address, always(500)):
        assert await ask(breakers(TRIAL), address) == No(f"{address}:8000/metrics: HTTP 500")


# -- a command ---------------------------------------------------------------------------------


@pytest.mark.processes
async def test_a_command_answers_by_its_exit_status() -> None:
    assert await ask(Check(command=("true",)), "") == Yes()
    said = await ask(Check(command=("sh", "-c", "exit 3")), "")
    assert said == No("sh -c exit 3: exited with status 3")


@pytest.mark.processes
async def test_a_command_that_takes_too_long_is_a_no_and_is_ended() -> None:
    spawner = Spawner()
    asker = ProbeCheck(subject(), spawner)
    said = await asker.ask(Check(command=("sleep", "1000")), 0.1)
    assert said == No("sleep 1000: no answer within 0.1 s")
    assert spawner.pids == set()


async def test_a_command_that_is_not_there_is_a_question_not_asked() -> None:
    said = await ask(Check(command=("no-such-program-here",)), "")
    assert said == Unasked("no-such-program-here: no such program on PATH")


# -- a line of output --------------------------------------------------------------------------


async def test_a_line_of_this_run_answers_for_good(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ready to roll\n")  # of the run before
    check = Check(log=r"ready to (roll|serve)")
    asker = ProbeCheck(subject(log=str(log), start=log.stat().st_size), Spawner())
    no = No(r"no line of output matches ready to (roll|serve) yet")
    assert await asker.ask(check, 5.0) == no
    with log.open("a") as out:
        out.write("ready to ro")
        out.flush()
        assert await asker.ask(check, 5.0) == no
        out.write("ll\nand so on\n")
    assert await asker.ask(check, 5.0) == Yes()
    assert await asker.ask(check, 5.0) == Yes()


async def test_a_log_that_can_not_be_read_is_a_question_not_asked(tmp_path: Path) -> None:
    asker = ProbeCheck(subject(log=str(tmp_path / "none")), Spawner())
    assert await asker.ask(Check(log="x"), 5.0) == Unasked("No such file or directory")


# -- its processes -----------------------------------------------------------------------------


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process and the pid of its only child, which is called ``sglang::schedul``."""
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT, "sglang::scheduler_TP0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = int(parent.stdout.readline())
    try:
        yield parent, child
    finally:
        for pid in (child, parent.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.communicate()


TREE = Check(tree="sglang::")


@pytest.mark.processes
@pytest.mark.parametrize("how", ["reap", "leave"])
async def test_a_process_of_the_engine_that_died_is_a_final_no(family, how: str) -> None:
    parent, child = family
    asker = ProbeCheck(subject(pid=parent.pid), Spawner())
    assert await asker.ask(TREE, 5.0) == Yes()
    parent.stdin.write(f"{how}\n")
    parent.stdin.flush()
    assert parent.stdout.readline() == "done\n"
    assert await dies(asker) == No(
        f"its process {child} (sglang::schedul) has died", final=True, seen=True
    )


async def dies(asker: ProbeCheck) -> object:
    """The first answer that is no yes: a killed process takes a moment to become a zombie."""
    async with asyncio.timeout(LIMIT):
        while (answer := await asker.ask(TREE, 5.0)) == Yes():
            pass
    return answer


@pytest.mark.processes
async def test_other_processes_may_come_and_go(family) -> None:
    parent, _ = family
    asker = ProbeCheck(subject(pid=parent.pid), Spawner())
    other = Check(tree="another")
    assert await asker.ask(other, 5.0) == Yes()
    parent.stdin.write("reap\n")
    parent.stdin.flush()
    parent.stdout.readline()
    assert await asker.ask(other, 5.0) == Yes()


@pytest.mark.processes
@pytest.mark.parametrize("prefix", ["sglang::", ""])
@pytest.mark.parametrize("which", [0, 1], ids=["the main process", "its child"])
async def test_a_stopped_process_is_a_no_at_the_next_look_until_it_goes_on(
    family, which: int, prefix: str
) -> None:
    parent, child = family
    pid = (parent.pid, child)[which]
    tree = Check(tree=prefix)
    asker = ProbeCheck(subject(pid=parent.pid), Spawner())
    assert await asker.ask(tree, 5.0) == Yes()
    os.kill(pid, signal.SIGSTOP)
    while (seen := proc.seen(pid)) is not None and seen.state != "T":
        pass
    answer = await asker.ask(tree, 5.0)
    assert isinstance(answer, No)
    assert answer.detail.startswith(f"its process {pid} (")
    assert answer.detail.endswith("is stopped (state T)")
    assert not answer.final
    os.kill(pid, signal.SIGCONT)
    async with asyncio.timeout(LIMIT):
        while await asker.ask(tree, 5.0) != Yes():
            pass
