"""Makes stdout and stderr safe: output is written, or one line says why it is not."""

from __future__ import annotations

import io
import os
import sys

STDOUT, STDERR = 1, 2


def take_streams() -> None:
    """Makes stdout and stderr accept every text: characters that the encoding lacks
    (``PYTHONIOENCODING=ascii``) and undecodable bytes of a path are escaped. A failed write to
    stdout raises SupervisorError; a closed stream becomes /dev/null.
    """
    if sys.stderr is None:  # print would use stdout instead
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


def end_with_the_reader() -> None:
    """Ends this process, with status 0, when what reads its stdout has closed the pipe or terminal.

    A command that follows something may have nothing to write for hours, and only a write would
    tell. Call it once; nothing needs to be cleaned up after a command that only reads.
    """
    import threading  # late: most commands do not follow

    threading.Thread(target=_end_with_the_reader, daemon=True, name="reader").start()


def _end_with_the_reader() -> None:
    import select  # late too

    poll = select.poll()
    poll.register(STDOUT, 0)  # POLLERR and POLLHUP are reported without being asked for
    poll.poll()
    os._exit(0)


def _lead_nowhere(number: int) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    if descriptor != number:
        os.close(descriptor)


class _Answers(io.FileIO):
    """The raw stdout: only here can a failed write be told from other errors."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            from pdsup.errors import SupervisorError  # late: every command would pay for it

            _lead_nowhere(STDOUT)  # flushing the buffer at exit would fail again
            raise SupervisorError(f"cannot write to stdout: {error.strerror}") from None
