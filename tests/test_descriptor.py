"""Descriptors that are kept: nothing uses or closes one after it was closed, whoever keeps it."""

import ast
import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest
import uvloop

from pdsup.agent.signals import Signals
from pdsup.descriptor import Descriptor
from pdsup.plan.model import Log
from pdsup.units.ledger import Ledger, LedgerFile
from pdsup.units.logs.pipe import LogPipe
from pdsup.units.logs.read import LogReader, Times
from pdsup.units.logs.rotate import LogWriter
from pdsup.units.process import spawn
from pdsup.units.process.guardian_link import BEGAN, GuardianLink
from pdsup.units.process.spawn import Process, Spawner

SOURCE = Path(__file__).parents[1] / "supervisor" / "pdsup"
# The guardian imports nothing; the stand-in imports nothing of the rest.
APART = ("descriptor.py", "units/process/guardian.py", "mock")
OPENS = {"os.open", "os.dup", "os.pidfd_open", "os.memfd_create", "_signalfd", "map"}
OPENS |= {"open_making_directory", "os.pipe", "os.pipe2"}


def test_a_closed_descriptor_has_no_number_and_is_closed_once(tmp_path):
    mine = Descriptor(os.open(tmp_path, os.O_RDONLY))
    number = mine.fileno()
    mine.close()
    theirs = os.open(tmp_path, os.O_RDONLY)
    try:
        assert theirs == number  # the kernel gives the lowest that is free
        mine.close()
        os.fstat(theirs)
        assert not mine.is_open
        with pytest.raises(OSError, match="Bad file descriptor"):
            mine.fileno()
    finally:
        os.close(theirs)


def test_one_that_another_closed_is_forgotten_all_the_same(tmp_path):
    mine = Descriptor(os.open(tmp_path, os.O_RDONLY))
    os.close(mine.fileno())
    mine.close()
    assert not mine.is_open


def test_no_object_keeps_the_bare_number_of_a_descriptor():
    kept = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(APART):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assign(targets=targets, value=ast.Call(func=called)) if ast.unparse(
                    called
                ) in OPENS - {"map"} and any(map(is_attribute, targets)):
                    kept.append(f"{name}:{node.lineno}")
                case ast.Call(func=called, args=[ast.Attribute() as closed]) if (
                    ast.unparse(called) == "os.close"
                ):
                    kept.append(f"{name}:{node.lineno}: {ast.unparse(closed)}")
    assert kept == []


def is_attribute(target: ast.expr) -> bool:
    inner = target.elts if isinstance(target, ast.Tuple) else [target]
    return any(isinstance(each, ast.Attribute) for each in inner)


# -- everything that keeps one --------------------------------------------------------------------


async def a_process(directory):
    ended = asyncio.get_running_loop().create_future()
    spawner = Spawner()
    process = spawner.spawn(("true",), os.environ, 1, ended.set_result)
    async with asyncio.timeout(60):
        await ended
    return lambda: [process.send(number) for number in (0, signal.SIGKILL)]


async def a_ledger(directory):
    ledger = LedgerFile(str(directory), "digest", Ledger())
    ledger.open()
    ledger.close()
    return ledger.close


async def signals(directory):
    heard = Signals(lambda *_: None, lambda: None, lambda *_: None, lambda: None, lambda *_: None)
    heard.listen()
    heard.close()
    return heard.close


async def a_guardian_link(directory):
    (hear, theirs), (their_in, say) = os.pipe(), os.pipe()
    link = GuardianLink(f"{hear},{say}")
    gone = asyncio.Event()
    link.listen(gone.set)
    os.close(theirs)
    async with asyncio.timeout(60):
        await gone.wait()
    os.close(their_in)
    return lambda: link.say(BEGAN)


async def a_log_pipe(directory):
    writer = LogWriter(str(directory / "log"), Log())
    pipe = LogPipe("unit", directory / "pipe", writer, lambda _: None)
    os.close(pipe.begin("begins\n"))
    pipe.end()
    return pipe.end


async def a_log_writer(directory):
    writer = LogWriter(str(directory / "log"), Log(mode="pipe", timestamps=True))
    writer.write("line\n")
    writer.close()
    return writer.close


async def a_log_reader(directory):
    (directory / "log").write_text("line\n")
    reader = LogReader(str(directory / "log"))
    reader.begin(1)
    reader.close()
    return reader.close


async def times(directory):
    (directory / "times").write_bytes(b"")
    found = Times(str(directory / "times"))
    found.close()
    return found.close


@pytest.mark.processes
@pytest.mark.parametrize(
    "owner",
    [
        a_process, a_ledger, signals, a_guardian_link, a_log_pipe, a_log_writer, a_log_reader,
        times,
    ],
)  # fmt: skip
async def test_what_got_the_numbers_of_a_closed_owner_is_neither_used_nor_closed(owner, tmp_path):
    again = await owner(tmp_path)
    (tmp_path / "theirs").write_text("theirs")
    with contextlib.ExitStack() as opened:
        theirs = [opened.enter_context((tmp_path / "theirs").open("r+")) for _ in range(20)]
        again()
        again()
        for file in theirs:
            assert os.pread(file.fileno(), 100, 0) == b"theirs"


@pytest.mark.processes
async def test_a_signal_never_reaches_whoever_got_the_number_of_a_pidfd(tmp_path):
    """Even if a part of the program that is not ours has closed it."""
    loop = asyncio.get_running_loop()
    spawner, ends = Spawner(), [loop.create_future() for _ in range(2)]
    victim, stranger = (
        spawner.spawn(("sleep", "1000"), os.environ, 1, end.set_result) for end in ends
    )
    try:
        mine = Process(victim.pid, Descriptor(os.dup(stranger.pidfd.fileno())), None)
        assert not mine.send(signal.SIGKILL)
        lost = Process(victim.pid, Descriptor(os.open(tmp_path, os.O_RDONLY)), None)
        assert not lost.send(signal.SIGKILL)
        assert stranger.send(0)
    finally:
        for process in (victim, stranger):
            assert process.send(signal.SIGKILL)
        async with asyncio.timeout(60):
            await asyncio.gather(*ends)
        mine.pidfd.close()
        lost.pidfd.close()


def test_the_event_loop_closes_a_connection_that_was_given_up_only_once():
    """uvloop before 0.23 does it again when the socket is collected, whatever has its number by
    then: a pidfd, and the next signal to that unit ends the agent.
    """

    async def give_up():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            connecting = loop.create_task(loop.create_connection(asyncio.Protocol, sock=client))
            await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait({connecting})
            server.close()
            return connecting.cancelled(), client.fileno()

    assert uvloop.run(give_up()) == (True, -1)


@pytest.mark.processes
async def test_a_child_that_somebody_else_reaps_has_ended_all_the_same(monkeypatch):
    ended = asyncio.get_running_loop().create_future()

    def reaped(pid, options):
        real(pid, options)
        raise ChildProcessError

    real = os.waitpid
    spawner = Spawner()
    process = spawner.spawn(("true",), os.environ, 1, ended.set_result)
    monkeypatch.setattr(spawn.os, "waitpid", reaped)
    async with asyncio.timeout(60):
        status = await ended
    assert (status.code, status.signal) == (None, None)
    assert not process.send(signal.SIGKILL)
