"""The few errors that a user may see. Any other exception is a defect and keeps its traceback.

Pure.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

# How much of a key path or a setting a message shows.
LONGEST = 200
LONGEST_PATH = 4096


class SupervisorError(Exception):
    """An error that a user can act on. Its text is a whole sentence without the program's name.

    The text has the form ``cannot VERB THING: CAUSE``. ``exit_status`` is the command's exit code.
    """

    exit_status: ClassVar[int] = 1


class Problem(NamedTuple):
    """One mistake in a document, and where it is.

    ``path`` is the dotted key path (``resources.prefill_nodes``, empty for the whole document),
    ``line`` and ``column`` count from 1. ``setting``: the argument of ``--set`` that is wrong, if
    the mistake is not in the file; the place is then where the setting would be. A ``warning`` is
    about something that may be right, and refuses nothing.
    """

    path: str
    message: str
    line: int = 1
    column: int = 1
    setting: str | None = None
    severity: Literal["error", "warning"] = "error"

    def at(self, file: str) -> str:
        """The problem as ``FILE:LINE:COL: path: message``, which editors turn into a link, or as
        ``--set SETTING: path: message``.
        """
        where = "warning: " if self.severity == "warning" else ""
        where += f"{short(self.path)}: " if self.path else ""
        if self.setting is not None:
            return f"--set {short(self.setting)}: {where}{self.message}"
        return f"{short(file, LONGEST_PATH)}:{self.line}:{self.column}: {where}{self.message}"


def short(text: str, most: int = LONGEST) -> str:
    """A key path, a setting or a message, short and printable, whatever it holds."""
    shown = text if len(text) <= most else f"{text[: most - 3]}..."
    return shown if shown.isprintable() else ascii(shown)


class InvalidDocument(SupervisorError):
    """A recipe or plan was read and is wrong; carries every problem at once."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        errors = sum(problem.severity == "error" for problem in problems)
        count = f"{errors} problem{'' if errors == 1 else 's'}"
        super().__init__(f"cannot use {file}: {count}")
        self.file = file
        self.problems = problems


class UnreadableDocument(SupervisorError):
    """A recipe or plan can't be read at all (missing, no permission, not text)."""

    exit_status = 2


class WrongUsage(SupervisorError):
    """The command line is ambiguous, or asks for something impossible."""

    exit_status = 2


class Unstartable(SupervisorError):
    """A program can't be started, and another attempt would fail the same way."""


class NothingThere(SupervisorError):
    """No agent answers, or there is no such unit (the LSB's "unknown")."""

    exit_status = 4
