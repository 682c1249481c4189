"""What is kept of a unit that was found dead, before it is ended: names, and how it reads. Pure.

One directory for each run, one file for each kind of evidence, so that a kind that takes too long
costs nothing but itself. Everything is text for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# In all, on every rank of a gang: a unit that serves nobody is not kept waiting for longer.
WITHIN_S = 20.0
# For one rank; what is left of the above is for hearing of it.
TAKEN_WITHIN_S = 12.0
LOG_LINES = 200

WHY, PROCESSES, STACKS, SOCKETS = "why.txt", "processes.txt", "stacks.txt", "sockets.txt"
GPUS, LOG, PROBES = "gpus.txt", "log.txt", "probes.txt"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a tree. ``threads``: for each of its threads, its state and where it waits."""

    pid: int
    parent: int
    name: str
    state: str
    command: str
    threads: tuple[str, ...]
    stack: str


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of evidence: its file, and why there is none (empty: there is)."""

    file: str
    problem: str = ""


def directory(unit: str, run: int) -> str:
    """Where it lies, below the run directory."""
    return f"evidence/{unit}-{run}"


def why(unit: str, run: int, at: str, reason: str, parts: Iterable[Part]) -> str:
    """The page to read first."""
    lines = [f"{unit} run {run}, {at}", "", reason, ""]
    lines += [f"{part.file}: {part.problem or 'taken'}" for part in parts]
    return "\n".join(lines) + "\n"


def processes(found: Sequence[Process]) -> str:
    """Every process, parents first, with what its threads do."""
    return "\n\n".join(map(_process, found)) + "\n" if found else "no process is left\n"


def _process(process: Process) -> str:
    head = f"{process.pid} (parent {process.parent}) {process.name}, state {process.state}"
    counts: dict[str, int] = {}
    for thread in process.threads:
        counts[thread] = counts.get(thread, 0) + 1
    lines = [head, f"  {process.command}"]
    lines += [f"  {count} x {what}" for what, count in sorted(counts.items(), key=_most_first)]
    lines += [f"  {line}" for line in process.stack.splitlines()]
    return "\n".join(lines)


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


# include/net/tcp_states.h
_STATES: Mapping[str, str] = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2",
    "06": "TIME_WAIT", "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN",
    "0B": "CLOSING",
}  # fmt: skip


def sockets(table: str, owners: Mapping[int, int]) -> str:
    """The lines of /proc/net/tcp or tcp6 about sockets that ``owners`` has, by inode and pid."""
    lines = []
    for row in table.splitlines()[1:]:
        fields = row.split()
        if len(fields) > 9 and (pid := owners.get(int(fields[9]))) is not None:
            sent, _, received = fields[4].partition(":")
            lines.append(
                f"pid {pid} {_STATES.get(fields[3], fields[3])} {_endpoint(fields[1])} ->"
                f" {_endpoint(fields[2])}, {int(received, 16)} bytes not read,"
                f" {int(sent, 16)} not sent"
            )
    return "".join(f"{line}\n" for line in sorted(lines))


def _endpoint(text: str) -> str:
    """``0100007F:1F40`` as people write it: the kernel prints words of 4 bytes, each reversed."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    if len(words) == 1:
        return f"{'.'.join(map(str, words[0]))}:{int(port, 16)}"
    raw = b"".join(words).hex()
    return f"[{':'.join(raw[i : i + 4] for i in range(0, 32, 4))}]:{int(port, 16)}"
