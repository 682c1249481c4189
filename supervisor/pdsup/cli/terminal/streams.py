"""Prints: whatever a command says gets out, or it is told in one line why it does not."""

from __future__ import annotations

import io
import os
import sys

STDOUT, STDERR = 1, 2


def take_streams() -> None:
    """Makes stdout and stderr take every text. What the encoding lacks (``PYTHONIOENCODING=ascii``)
    and bytes of a path that are no text are written as escapes; writing to stdout raises
    SupervisorError where that can't be done. What was closed leads nowhere.
    """
    if sys.stderr is None:  # print would take stdout for it
        _lead_nowhere(STDERR)
        sys.stderr = open(STDERR, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        _lead_nowhere(STDOUT)
    encoding = sys.stdout.encoding if sys.stdout else None
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Answers(STDOUT, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=os.isatty(STDOUT),
    )


def _lead_nowhere(number: int) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    if descriptor != number:
        os.close(descriptor)


class _Answers(io.FileIO):
    """Where answers go: only here can the failure of a write be told from other errors."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            from pdsup.errors import SupervisorError  # late: every command pays for it

            _lead_nowhere(STDOUT)  # what is still buffered would fail again, at the exit
            raise SupervisorError(f"cannot write to stdout: {error.strerror}") from None
