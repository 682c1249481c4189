"""Diagnoses why a run ended, from its exit status, the kernel's OOM counts and its last output.

The patterns match SGLang 0.5.6 to 0.5.23, torch 2.x, NCCL 2.x and the router 0.3.2. Where nothing
matches, the cause is called unknown and the last lines are shown: a wrong cause costs more time
than none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdsup import clock
from pdsup.plan.masks import BY_FORM, Mask
from pdsup.printable import printable
from pdsup.units.logs import last, split
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER

# The error that ended a run is among its last lines; the run survived what came before them.
LAST = 10
SHOWN_LINES, SHOWN = 3, 120
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a run ended.

    ``cause``: for a status line, such as ``address in use: [Errno 98] ...``; "" if unknown: then
    ``last_words`` holds the last lines of the output. ``hopeless``: the same command would fail
    the same way again.
    """

    cause: str
    hopeless: bool = False
    last_words: str = ""


@dataclass(frozen=True, slots=True)
class _Sign:
    pattern: re.Pattern[str]
    name: str
    of_configuration: bool = False


def _sign(name: str, *patterns: str, of_configuration: bool = False) -> _Sign:
    return _Sign(re.compile("|".join(patterns)), name, of_configuration)


# The first match wins, so causes come before their consequences: running out of CUDA memory on one
# rank makes NCCL fail on the others.
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
        "model not found",
        r"is not a local folder and is not a valid model identifier",
        r"Repo id must (be in the form|use alphanumeric)",
        r"does not appear to have a file named",
        r"(FileNotFoundError|No such file).*(config\.json|tokenizer|\.safetensors|model)",
        r"[Cc]an't load (the configuration|tokenizer|the model)",
        of_configuration=True,
    ),
    _sign(
        "Python module not found",
        r"^(\S+: )?(ModuleNotFoundError|ImportError): ",
        r"^\S*python\S*: No module named ",
        of_configuration=True,
    ),
    _sign(
        "NCCL error",
        r"NCCL (error|WARN)",
        r"nccl(System|Internal|Remote|UnhandledCuda)Error",
        r"ncclUnhandledCudaError",
        r"caught collective operation timeout",
    ),
    _sign("CUDA error", r"CUDA error: ", r"cudaError[A-Z]\w+", r"no CUDA-capable device"),
)


def diagnose(status: ExitStatus, lines: Sequence[str], oom_kills: int) -> Diagnosis:
    """Diagnoses a run from its exit status and last lines. ``oom_kills``: how many processes on
    this node the kernel's OOM killer has killed since the run began.
    """
    if status.signal == "SIGKILL" and oom_kills:
        return Diagnosis("out of memory: the kernel's OOM killer was active")
    for sign in _SIGNS:
        for back, line in enumerate(reversed(lines)):
            if sign.pattern.search(line):
                hopeless = sign.of_configuration and back < LAST and status.code not in (None, 0)
                return Diagnosis(f"{sign.name}: {_shown(line)}", hopeless)
    return Diagnosis("", last_words=" | ".join(_last_words(lines)))


def _last_words(lines: Sequence[str]) -> list[str]:
    """The last lines; of a progress bar, whose lines differ in numbers alone, only the last one."""
    found: list[str] = []
    before = ""
    for line in reversed(lines):
        words = _NUMBER.sub("", line)
        if words != before or not found:
            found.insert(0, _shown(line))
        if len(found) == SHOWN_LINES:
            break
        before = words
    return found


def _shown(line: str) -> str:
    """A line of output, safe to print on a terminal and at most ``SHOWN`` characters long: of a
    longer one its beginning, and its end, which was written last.
    """
    text = " ".join(printable(line).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2 - 5]} ... {text[-SHOWN // 2 :]}"


# A program may take a while to end on a signal; one that runs on for longer has not ended by it.
AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class SentSignal:
    """The last signal to a run. ``by``: who sent it, in words; ``at``: monotonic seconds."""

    run: int
    name: str
    by: str
    at: float


def explained(
    found: Diagnosis, status: ExitStatus, run: int, sent: SentSignal | None, now: float
) -> Diagnosis:
    """What is known of a run's end, with the signal that it was sent shortly before."""
    if sent is None or sent.run != run or now - sent.at > AFTER_S:
        return found
    if status.signal is not None:
        return Diagnosis(f"sent {sent.by}") if status.signal == sent.name else found
    after = f"after {sent.name} sent {sent.by}"
    return Diagnosis(f"{found.cause}; {after}" if found.cause else after)


MOST = 1 << 15  # bytes of output: some 300 lines
MOST_LINES = 200
# Units that start or end together share one reading of the kernel's counts.
FRESH_S = 0.05
_KILLS = re.compile(r"^oom_kill (\d+)$", re.M)


class CauseSearch:
    """Diagnoses the runs of all units of a node. ``root``: where /proc and /sys are; ``mask``:
    masks the secrets in their output.
    """

    def __init__(self, root: str = "/", mask: Mask = BY_FORM) -> None:
        self._mask = mask
        self._root = Path(root)
        self._groups = self._find_groups()
        self._kills = 0
        self._read_at = -FOREVER

    def oom_kills(self) -> int:
        """How many processes the OOM killer has killed so far, in this cgroup and on this node."""
        if clock.monotonic() - self._read_at >= FRESH_S:
            self._kills = sum(map(self._count, self._groups))
            self._read_at = clock.monotonic()
        return self._kills

    def diagnose(
        self, status: ExitStatus, path: str, start: int, oom_kills: int, noise: Sequence[str] = ()
    ) -> Diagnosis:
        """Diagnoses a run whose output begins at byte ``start`` of the log at ``path``.

        ``oom_kills``: the count of that name when the run began. ``noise``: the patterns of lines
        that are no words, such as those of an access log about probes.
        """
        wanted = last.Wanted(MOST_LINES, split.noise(noise), within=MOST)
        # Before lines are shortened: half a secret would not be recognised.
        lines = [self._mask(line) for line in last.of_last_run(path, start, wanted)]
        killed = status.signal == "SIGKILL"
        if killed:
            self._read_at = -FOREVER  # the kill may be newer than the last reading
        return diagnose(status, lines, self.oom_kills() - oom_kills if killed else 0)

    def _find_groups(self) -> tuple[Path, ...]:
        """The files with the counts of this cgroup and of the node: either may reach its limit."""
        groups = self._root / "sys/fs/cgroup"
        paths = [self._root / "proc/vmstat"]
        for line in self._text(self._root / "proc/self/cgroup").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:  # version 2
                paths.append(groups / path[1:] / "memory.events")
            elif "memory" in kinds.split(","):
                paths.append(groups / "memory" / path[1:] / "memory.oom_control")
        return tuple(paths)

    def _count(self, path: Path) -> int:
        match = _KILLS.search(self._text(path))
        return int(match[1]) if match else 0

    def _text(self, path: Path) -> str:
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (at each start and end)
                return file.readall().decode(errors="replace")
        except OSError:
            return ""
