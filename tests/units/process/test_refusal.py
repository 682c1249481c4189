"""Programs that can't be started: the kernel really refuses each of them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from pdsup import launch
from pdsup.plan.check_sizes import MOST_BYTES, too_long
from pdsup.units.process import refusal
from pdsup.units.process.spawn import Spawner

WORD = "x" * (MOST_BYTES - 1)  # a NUL follows
TRUE = "/bin/true"
PASSING = ["EAGAIN", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "ESTALE", "ETXTBSY"]


def made(path: Path, content: str, mode: int = 0o755) -> str:
    path.write_text(content)
    path.chmod(mode)
    return str(path)


async def refused(*command: str, env: dict[str, str] | None = None) -> OSError:
    with pytest.raises(OSError) as caught:
        await Spawner().run(command, env or {}, 2, 30.0)
    return caught.value


def a_loop(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


def a_link_to_nothing(path: Path) -> str:
    path.symlink_to("/nowhere")
    return str(path)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("program", "told"),
    [
        (lambda path: str(path), "No such file or directory"),
        (lambda path: "engine-that-nobody-has", "no such program on PATH"),
        (lambda path: str(path.parent), "Permission denied: it is a directory"),
        (lambda path: made(path, "", 0o644), "Permission denied: it is not executable (chmod +x)"),
        (lambda path: made(path, "#!/nowhere/python3 -u\n"), "its interpreter /nowhere/p"),
        (lambda path: made(path, "true\n"), "Exec format error: neither a script"),
        (lambda path: made(path, "\x7fELF"), "Exec format error: neither a script that begins"),
        (a_loop, "Too many levels of symbolic links"),
        (a_link_to_nothing, "No such file or directory"),
        (lambda path: f"{TRUE}/engine", "Not a directory"),
        (lambda path: f"/{'x' * 300}", "File name too long"),
    ],
)  # fmt: skip
async def test_a_program_that_can_never_start_is_told_apart_and_says_why(program, told, tmp_path):
    command = (program(tmp_path / "engine"), "word")
    error = await refused(*command)
    assert refusal.lasts(error)
    assert refusal.why(error, command, {}).startswith(f"{command[0]}: {told}")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "env", "told"),
    [
        ((TRUE, "a", f"{WORD}x"), {}, "argument 2 has 131,073 bytes; Linux passes at most 131,072"),
        ((TRUE,), {"A": WORD}, "the variable A has 131,074 bytes with its name; Linux passes"),
        ((TRUE, *[WORD] * 60), {}, "together with the environment; ulimit -s of the agent limits"),
    ],
    ids=["argument", "variable", "all"],
)
async def test_what_is_too_long_for_the_kernel_is_named(command, env, told):
    error = await refused(*command, env=env)
    assert (error.errno, refusal.lasts(error)) == (errno.E2BIG, True)
    assert refusal.why(error, command, env).startswith(f"{TRUE}: Argument list too long: {told}")


@pytest.mark.processes
async def test_the_kernel_takes_what_is_just_short_enough():
    assert too_long(WORD) is None
    assert too_long("A", WORD[2:]) is None
    status = await Spawner().run((TRUE, WORD), {"A": WORD[2:]}, 2, 30.0)
    assert status.code == 0


def test_text_that_is_not_ascii_counts_in_bytes():
    assert too_long("é" * (MOST_BYTES // 2 - 1)) is None
    assert too_long("é" * (MOST_BYTES // 2)) is not None


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_by_itself_is_tried_again(name):
    assert not refusal.lasts(OSError(getattr(errno, name), "refused"))


def raising(number: int):
    def refuse(*words: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("module", "call", "number"),
    [
        (os, "pidfd_open", errno.EPERM),
        (os, "pidfd_open", errno.ENOSYS),
        (signal, "pidfd_send_signal", errno.EPERM),
    ],
)
def test_an_agent_does_not_begin_where_processes_can_not_be_watched(
    module, call, number, monkeypatch, capsys
):
    monkeypatch.setattr(module, call, raising(number))
    assert launch.main(["plan.yaml"]) == 1
    told = f"{call} is refused ({os.strerror(number)}); pdsup needs Linux 5.3 or newer"
    error = capsys.readouterr().err
    assert error.startswith(f"pdsup: cannot run an agent on this machine: {told}")
    assert error.count("\n") == 1


def test_processes_can_be_watched_here():
    assert refusal.of_pidfds() is None
