"""Why the kernel refused to start a program, and whether it would refuse it again.

The errors are those of execve(2). EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, ESTALE and ETXTBSY pass by
themselves: memory or a file system comes back, somebody has finished writing the program. The
others are about the command, and another start with the same command would fail the same way.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from pdsup.plan.check_sizes import too_long

LASTING = frozenset(
    {
        errno.E2BIG,
        errno.EACCES,
        errno.EINVAL,  # several ELF interpreters, or text that can't be passed to a program
        errno.EISDIR,
        errno.ELIBBAD,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EPERM,  # such as a set-user-ID program on a file system that forbids it
    }
)
PIDFD = "pidfd_open is refused ({}); pdsup needs Linux 5.3 or newer, and in a container a seccomp "
PIDFD += "profile that allows it"


def lasts(error: OSError) -> bool:
    """Whether the same start would be refused again."""
    return error.errno in LASTING


def why(error: OSError, command: tuple[str, ...], env: Mapping[str, str]) -> str:
    """Why a command was refused: the kernel's reason, and what is wrong where that can be seen."""
    reason, program = error.strerror or str(error), str(error.filename or command[0])
    match error.errno:
        case errno.E2BIG:
            reason += f": {_largest(command, env)}"
        case errno.ENOEXEC:
            machine = os.uname().machine
            reason += f": neither a script that begins with #! nor a program for {machine}"
        case errno.ENOENT if os.path.lexists(program):
            reason = _without(program)
        case errno.EACCES if Path(program).is_dir():
            reason += ": it is a directory"
        case errno.EACCES if Path(program).exists() and not os.access(program, os.X_OK):
            reason += ": it is not executable (chmod +x)"
    return f"{program}: {reason}"


def _without(program: str) -> str:
    """Why a program that exists can't be found: it needs another one, or it is a dangling link."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123 (as short as it can be)
            first = file.readline(256)
    except OSError as error:
        return error.strerror or str(error)
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    return f"its interpreter {words[0] if words else '(the ELF loader)'} does not exist"


def _largest(command: tuple[str, ...], env: Mapping[str, str]) -> str:
    """Names the first word or variable that is too long by itself."""
    for number, word in enumerate(command):
        if told := too_long(word):
            return f"argument {number} {told}"
    for name, value in env.items():
        if told := too_long(name, value):
            return f"the variable {name} {told}"
    return "together with the environment; ulimit -s of the agent limits them"


def of_pidfds() -> str | None:
    """Why processes can't be watched on this machine, or None."""
    try:
        own = os.pidfd_open(os.getpid())
    except OSError as error:
        return PIDFD.format(error.strerror)
    try:
        signal.pidfd_send_signal(own, 0)
    except OSError as error:
        return PIDFD.format(error.strerror).replace("open", "send_signal", 1)
    finally:
        os.close(own)
    return None
