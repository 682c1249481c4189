"""Why a run ended, as far as its exit, the kernel and its last words tell. Pure.

Patterns are those of SGLang 0.5.6 to 0.5.23, torch 2.x, NCCL 2.x and the router 0.3.2. What is not
known is said so, with the last lines: a wrong cause costs more than none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.units.states import ExitStatus

# An error that ended a run stands at the end of its output; the same words earlier were survived.
LAST = 10
SHOWN_LINES, SHOWN = 3, 120


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``cause``: words for a status line. ``hopeless``: the same command would end so again."""

    cause: str
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class _Sign:
    pattern: re.Pattern[str]
    name: str
    of_configuration: bool = False


def _sign(name: str, *patterns: str, of_configuration: bool = False) -> _Sign:
    return _Sign(re.compile("|".join(patterns)), name, of_configuration)


# The first that is found counts: what a failure causes comes after what causes it.
_SIGNS = (
    _sign(
        "CUDA out of memory",
        r"CUDA out of memory",
        r"torch\.(cuda\.)?OutOfMemoryError",
        r"CUDA error: out of memory",
        r"cudaErrorMemoryAllocation",
    ),
    _sign("out of memory", r"^MemoryError", r"Cannot allocate memory", r"std::bad_alloc"),
    _sign(
        "address in use",
        r"[Aa]ddress already in use",
        r"EADDRINUSE",
        r"error while attempting to bind on address",
        r"[Pp]ort \d+ is (already |not )(in use|available|occupied)",
    ),
    _sign(
        "wrong arguments",
        r"error: (unrecognized arguments|argument |the following arguments|ambiguous option)",
        r"error: (unexpected argument|invalid value|a value is required)",
        of_configuration=True,
    ),
    _sign(
        "no model there",
        r"is not a local folder and is not a valid model identifier",
        r"Repo id must (be in the form|use alphanumeric)",
        r"does not appear to have a file named",
        r"(FileNotFoundError|No such file).*(config\.json|tokenizer|\.safetensors|model)",
        r"[Cc]an't load (the configuration|tokenizer|the model)",
        of_configuration=True,
    ),
    _sign(
        "a Python module is missing",
        r"^(\S+: )?(ModuleNotFoundError|ImportError): ",
        r"^\S*python\S*: No module named ",
        of_configuration=True,
    ),
    _sign(
        "NCCL failed",
        r"NCCL (error|WARN)",
        r"nccl(System|Internal|Remote|UnhandledCuda)Error",
        r"ncclUnhandledCudaError",
        r"caught collective operation timeout",
    ),
    _sign("CUDA failed", r"CUDA error: ", r"cudaError[A-Z]\w+", r"no CUDA-capable device"),
)


def diagnose(status: ExitStatus, lines: Sequence[str], oom_kills: int) -> Diagnosis:
    """From how a run ended, its last lines, and how many processes of this node the kernel's OOM
    killer ended meanwhile.
    """
    if status.signal == "SIGKILL" and oom_kills:
        return Diagnosis("out of memory: the kernel's OOM killer was at work")
    for sign in _SIGNS:
        for back, line in enumerate(reversed(lines)):
            if sign.pattern.search(line):
                hopeless = sign.of_configuration and back < LAST and status.code not in (None, 0)
                return Diagnosis(f"{sign.name}: {_shown(line)}", hopeless)
    if not lines:
        return Diagnosis("")
    last = " | ".join(_shown(line) for line in lines[-SHOWN_LINES:])
    return Diagnosis(f"cause unknown; its last words: {last}")


def _shown(line: str) -> str:
    """A line of output, harmless to a terminal and not too long."""
    printable = "".join(char if char.isprintable() else " " for char in line)
    text = " ".join(printable.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
