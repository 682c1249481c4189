"""Real children: how they start, and how their end is told."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdsup.units.process import proc, spawn
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.spawn import Process, Spawner, close_inherited, exit_status
from pdsup.units.process.tree import TAG_LIMIT

pytestmark = pytest.mark.processes

LIMIT = 60.0  # seconds, for anything that is going to happen
ENV = dict(os.environ)
SLEEP = ("sleep", "1000")
# 32 and 33 are glibc's own; its posix_spawn leaves them ignored.
LIBC_SIGNALS = 1 << 31 | 1 << 32


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    yield descriptor
    os.close(descriptor)


class Child:
    """One child, and its end."""

    def __init__(self, command: tuple[str, ...], output: int, **how) -> None:
        self.output = output
        self.ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self.spawner: Spawner = how.pop("spawner", None) or Spawner()
        env = how.pop("env", ENV)
        self.process = self.spawner.spawn(command, env, output, self.ended.set_result, **how)

    async def end(self) -> ExitStatus:
        async with asyncio.timeout(LIMIT):
            return await self.ended

    async def kill(self) -> ExitStatus:
        self.process.send(signal.SIGKILL)
        return await self.end()

    def said(self) -> str:
        return os.pread(self.output, 1 << 20, 0).decode()


async def said_by(command: tuple[str, ...], output: int, **how) -> str:
    """What a command that ends well writes."""
    child = Child(command, output, **how)
    assert await child.end() == ExitStatus(0)
    return child.said()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def limit_of(pid: int) -> int:
    return resource.prlimit(pid, TAG_LIMIT)[0]


# -- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 255])
async def test_an_exit_code_is_told(output: int, code: int) -> None:
    assert await Child(("sh", "-c", f"exit {code}"), output).end() == ExitStatus(code)


async def test_the_signal_that_killed_it_is_told_by_name(output: int) -> None:
    assert await Child(SLEEP, output).kill() == ExitStatus(None, "SIGKILL")


async def test_a_signal_without_a_name_is_told_by_number(output: int) -> None:
    child = Child(SLEEP, output)
    child.process.send(signal.SIGRTMIN + 1)
    assert await child.end() == ExitStatus(None, f"signal {signal.SIGRTMIN + 1}")


def test_an_exit_status_reads_as_a_sentence() -> None:
    assert str(exit_status(3 << 8)) == "exited with status 3"
    assert str(exit_status(signal.SIGSEGV | 0x80)) == "killed by SIGSEGV"


async def test_the_end_is_told_once_though_a_grandchild_keeps_the_output_open(output: int) -> None:
    read, write = os.pipe()
    child = Child(("sh", "-c", "sleep 1000 & echo $!; exit 4"), write)
    os.close(write)
    assert await child.end() == ExitStatus(4)
    os.kill(int(os.read(read, 100)), signal.SIGKILL)
    os.close(read)


async def test_a_child_that_ended_leaves_no_zombie_and_is_not_signalled(output: int) -> None:
    child = Child(SLEEP, output)
    assert child.spawner.pids == {child.process.pid}
    assert child.process.send(0)
    await child.kill()
    assert child.spawner.pids == set()
    assert not Path(f"/proc/{child.process.pid}").exists()


async def test_many_children_that_end_at_once_are_all_told(output: int) -> None:
    one = Spawner()
    children = [Child(SLEEP, output, spawner=one) for _ in range(30)]
    for child in children:
        child.process.send(signal.SIGKILL)
    assert {await child.end() for child in children} == {ExitStatus(None, "SIGKILL")}
    assert one.pids == set()


# -- what a child is given ---------------------------------------------------------------------


async def test_a_child_leads_a_session_of_its_own(output: int) -> None:
    child = Child(SLEEP, output)
    assert os.getsid(child.process.pid) == os.getpgid(child.process.pid) == child.process.pid
    await child.kill()


async def test_stdin_is_at_its_end(output: int) -> None:
    assert await said_by(("sh", "-c", "cat; readlink /proc/$$/fd/0"), output) == "/dev/null\n"


async def test_stdout_and_stderr_go_to_the_output(output: int) -> None:
    assert await said_by(("sh", "-c", "echo a; echo b >&2"), output) == "a\nb\n"


async def test_a_child_has_no_descriptor_but_its_standard_three(output: int) -> None:
    with open_pipe() as pipe:
        os.set_inheritable(pipe, True)
        close_inherited()
        said = await said_by(python("import os; print(os.listdir('/proc/self/fd'))"), output)
    listed = {"0", "1", "2", "3"}  # 3 is the one that lists
    assert set(eval(said)) == listed  # noqa: S307 (our own list)


@contextlib.contextmanager
def open_pipe() -> Iterator[int]:
    read, write = os.pipe()
    yield write
    os.close(read)
    os.close(write)


async def test_a_child_has_default_dispositions_and_no_blocked_signal(output: int) -> None:
    """Python ignores SIGPIPE, and whoever started us may have ignored or blocked more."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        said = await said_by(("grep", "^Sig[BI]", "/proc/self/status"), output)
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    masks = {name: int(mask, 16) for name, mask in map(str.split, said.splitlines())}
    assert masks["SigBlk:"] == 0
    assert masks["SigIgn:"] & ~LIBC_SIGNALS == 0


async def test_a_child_that_is_spared_a_signal_ignores_it_as_this_process_does(output: int) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    hup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
    command = ("grep", "^SigIgn", "/proc/self/status")
    try:
        Spawner().spawn(command, os.environ, output, ended.set_result, spared=("USR1", "HUP"))
        await ended
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.signal(signal.SIGHUP, hup)
    os.lseek(output, 0, os.SEEK_SET)
    mask = int(os.read(output, 1000).split()[1], 16)
    assert mask & (1 << signal.SIGUSR1 - 1)
    assert not mask & (1 << signal.SIGHUP - 1)


async def test_a_child_has_exactly_the_environment_it_is_given(output: int) -> None:
    env = {"PATH": os.environ["PATH"], "A": "b=c", "EMPTY": ""}
    said = await said_by(("env",), output, env=env)
    assert dict(line.split("=", 1) for line in said.splitlines()) == env


async def test_a_program_is_found_on_the_path_of_the_unit(output: int, tmp_path: Path) -> None:
    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert await said_by(("engine",), output, env={"PATH": str(tmp_path)}) == "found\n"


async def test_stdin_may_be_something_to_read(output: int, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("for you\n")
    with (tmp_path / "in").open() as given:
        assert await said_by(("cat",), output, stdin=given.fileno()) == "for you\n"


async def test_the_output_may_be_any_descriptor_also_the_one_of_stdin(tmp_path: Path) -> None:
    """An agent that was started without stdin gets 0 for the first file it opens."""
    code = (
        "import asyncio, os\n"
        "from pdsup.units.process.spawn import Spawner\n"
        "os.close(0)\n"
        f"log = os.open({str(tmp_path / 'log')!r}, os.O_WRONLY | os.O_CREAT, 0o600)\n"
        "assert log == 0\n"
        "async def main():\n"
        "    await Spawner().run(('sh', '-c', 'cat; echo said'), os.environ, log, 5.0)\n"
        "os.dup2(log, 100)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await asyncio.wait_for(process.wait(), LIMIT) == 0
    assert (tmp_path / "log").read_text() == "said\n"


# -- the tag -----------------------------------------------------------------------------------


async def test_the_tag_survives_a_new_session_a_cleared_environment_and_an_exec(
    output: int,
) -> None:
    script = "setsid env -i sh -c 'echo $$; exec sleep 1000' & wait"
    child = Child(("sh", "-c", script), output)
    await until(lambda: child.said().endswith("\n"))
    daemon = int(child.said())
    assert limit_of(daemon) == limit_of(child.process.pid) == child.process.tag
    os.kill(daemon, signal.SIGKILL)
    await child.kill()


async def test_what_nobody_noted_is_found_by_its_mark_or_by_its_tag_and_output(
    output: int, tmp_path: Path
) -> None:
    marked = Child(SLEEP, output, env={**ENV, "PDSUP_RUN": "cluster/a/3"})
    cleared = Child(SLEEP, output, env={"PATH": ENV["PATH"]})
    (tmp_path / "out").unlink()
    # In the middle of its exec a process has no environment yet.
    await until(lambda: proc.leftover(marked.process.pid).mark is not None)
    found = {each.identity[0]: each for each in proc.untold()}
    assert found[marked.process.pid].mark == "cluster/a/3"
    assert found[marked.process.pid].tag == marked.process.tag
    assert found[cleared.process.pid].mark == ""
    assert found[cleared.process.pid].output == str(tmp_path / "out")
    assert os.getpid() not in found
    for child in (marked, cleared):
        await child.kill()


async def test_every_run_and_every_agent_has_tags_of_its_own(output: int) -> None:
    one = Spawner()
    children = [Child(SLEEP, output, spawner=one), Child(SLEEP, output, spawner=one)]
    children.append(Child(SLEEP, output))
    assert len({child.process.tag for child in children}) == 3
    for child in children:
        await child.kill()


async def test_the_agent_itself_is_not_tagged(output: int) -> None:
    before = limit_of(os.getpid())
    await Child(SLEEP, output).kill()
    assert limit_of(os.getpid()) == before


async def test_where_tags_can_not_be_set_children_start_without(
    output: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    child = Child(SLEEP, output)
    assert child.process.tag is None
    await child.kill()


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.005)


# -- what can't be started ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("no-such-engine",), errno.ENOENT),
        (("/no/such/engine",), errno.ENOENT),
        (("/etc/passwd",), errno.EACCES),
        (("/",), errno.EACCES),
        (("sh", "x" * (1 << 20)), errno.E2BIG),
        (("sh", "half a surrogate: \ud800"), errno.EINVAL),
    ],
    ids=["not on PATH", "missing", "not executable", "directory", "too long", "no text"],
)
async def test_what_can_not_be_started_raises_an_error_that_names_it(
    output: int, command: tuple[str, ...], number: int
) -> None:
    one = Spawner()
    with pytest.raises(OSError) as caught:
        one.spawn(command, ENV, output, lambda _: None)
    assert caught.value.errno == number
    assert Path(caught.value.filename).name == Path(command[0]).name
    assert one.pids == set()


async def test_a_script_whose_interpreter_is_missing_can_not_be_started(
    output: int, tmp_path: Path
) -> None:
    script = tmp_path / "engine"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(FileNotFoundError):
        Spawner().spawn((str(script),), ENV, output, lambda _: None)


async def test_a_child_that_can_not_be_watched_does_not_live(
    output: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def out_of_descriptors(pid: int) -> int:
        started.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", out_of_descriptors)
    one = Spawner()
    with pytest.raises(OSError, match="Too many open files"):
        one.spawn(SLEEP, ENV, output, lambda _: None)
    assert one.pids == set()
    assert not Path(f"/proc/{started[0]}").exists()


# -- short commands ----------------------------------------------------------------------------


async def test_a_short_command_returns_how_it_ended(output: int) -> None:
    assert await Spawner().run(("sh", "-c", "exit 3"), ENV, output, LIMIT) == ExitStatus(3)


async def test_a_short_command_that_takes_too_long_is_killed(output: int) -> None:
    one = Spawner()
    with pytest.raises(TimeoutError):
        await one.run(SLEEP, ENV, output, 0.05)
    assert one.pids == set()


async def test_a_short_command_is_killed_when_nobody_waits_for_it_any_more(output: int) -> None:
    one = Spawner()
    running = asyncio.create_task(one.run(SLEEP, ENV, output, LIMIT))
    await until(lambda: bool(one.pids))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert one.pids == set()


async def test_a_short_command_that_survives_its_kill_is_not_waited_for_for_ever(
    output: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "KILLED_S", 0.05)
    signals: list[int] = []

    def survive(process: Process, number: int) -> bool:
        signals.append(number)
        return True

    one = Spawner()
    with monkeypatch.context() as patch:
        patch.setattr(Process, "send", survive)
        async with asyncio.timeout(LIMIT):
            with pytest.raises(TimeoutError):
                await one.run(SLEEP, ENV, output, 0.05)
    assert signals == [signal.SIGKILL]
    for pid in one.pids:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not one.pids)
