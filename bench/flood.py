"""``python -m bench.flood``: how well an agent supervises while strangers, or its own, flood it.

For each flood a fresh agent runs one unit that is killed again and again; with ``--write`` the
table goes to ``docs/explanation/security.md``. A flood comes from this machine and takes one of its
processors, so one row says what that costs where it is of no concern to the agent.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import processes
from bench.peers.pdsup import ADDRESSES, Pdsup
from bench.peers.peer import ROOT
from bench.runner import Running, compile_child, running
from pdsup.node import signatures

PORT = 9440
PAGE = ROOT / "docs" / "explanation" / "security.md"
BEGIN, END = (
    "<!-- measured: made by python -m bench.flood --write -->\n",
    "<!-- end of measured -->\n",
)
IDLE, SLOW, AT_ONCE = 5000, 300, 4
SETTLE_S = 1.0

Flood = Callable[[str, str], None]


@dataclass(frozen=True)
class Row:
    """What was measured of an agent under one flood."""

    name: str
    latencies: list[float]
    memory: int
    descriptors: int
    log: int
    seconds: float

    @property
    def median(self) -> float:
        """The median of the latencies."""
        return statistics.median(self.latencies)


def main() -> None:
    """Measures an agent that is left alone, and then under each flood."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="kills of the unit in each round")
    parser.add_argument(
        "--rounds", type=int, default=3, help="the round with the best median counts"
    )
    parser.add_argument("--write", action="store_true", help=f"update {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    compile_child()
    rounds: dict[str, list[Row]] = {name: [] for name in FLOODS}
    for number in range(args.rounds):
        for name, flood in FLOODS.items():
            print(f"round {number + 1} of {args.rounds}: {name}", file=sys.stderr)
            rounds[name].append(_measured(name, flood, args.kills))
    rows = [min(found, key=lambda row: row.median) for found in rounds.values()]
    found = f"{_where()}\n\n{table(rows)}"
    print(found)
    if args.write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{found}\n\n{END}{after}", "utf-8")


def _where() -> str:
    day, load = time.strftime("%d %B %Y"), os.getloadavg()[0]
    linux = os.uname().release
    return f"{day}; {os.cpu_count()} cores, Linux {linux}; load before it {load:.1f}."


def table(rows: list[Row]) -> str:
    """The rows as a table; each latency also as a multiple of the first row's."""
    lines = [
        "| flood | crash to exec, median, ms | times quiet | 99th percentile, ms | memory, MiB"
        " | descriptors | own log, kB/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    quiet = rows[0].median
    for row in rows:
        middle = row.median
        worst = sorted(row.latencies)[int(0.99 * (len(row.latencies) - 1))]
        lines.append(
            f"| {row.name} | {middle * 1e3:.2f} | {middle / quiet:.1f} | {worst * 1e3:.1f}"
            f" | {row.memory / 2**20:.0f} | {row.descriptors} | {row.log / row.seconds / 1e3:.1f} |"
        )
    return "\n".join(lines)


def _measured(name: str, flood: Flood | None, kills: int) -> Row:
    with running(Pdsup(), 1) as run:
        (first,) = run.stamps(1)
        (agent,) = (pid for pid in _agents(run, first.pid))
        token = (run.home / "run" / "token").read_text().strip()
        with _flooded(flood, token):
            time.sleep(SETTLE_S)
            began, size = time.monotonic(), _log(run)
            latencies = [_crash(run, count) for count in range(1, kills + 1)]
            return Row(
                name,
                latencies,
                processes.resident(agent),
                len(os.listdir(f"/proc/{agent}/fd")),  # noqa: PTH208  # only their number
                _log(run) - size,
                time.monotonic() - began,
            )


def _agents(run: Running, unit: int) -> Iterator[int]:
    """The agent itself: its parent, the guardian, is a smaller process of the same program."""
    own = run.overseers([unit])
    yield max(own, key=processes.resident)


def _log(run: Running) -> int:
    return (run.home / "daemon.log").stat().st_size


def _crash(run: Running, runs: int) -> float:
    """Kills the unit; the seconds until its replacement runs."""
    last = run.stamps(runs)[-1]
    time.sleep(0.02)  # the agent has noted that it runs
    began = time.monotonic()
    os.kill(last.pid, signal.SIGKILL)
    return run.stamps(runs + 1)[-1].at - began


@contextmanager
def _flooded(flood: Flood | None, token: str) -> Iterator[None]:
    if flood is None:
        yield
        return
    process = multiprocessing.get_context("fork").Process(
        target=flood, args=(ADDRESSES[0], token), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _again(address: str, request: Callable[[], bytes]) -> None:
    """Sends requests on a few connections as fast as they are answered, for ever."""
    connections: list[socket.socket] = []
    while True:
        while len(connections) < AT_ONCE:
            connections.append(socket.create_connection((address, PORT)))
        for connection in list(connections):
            try:
                connection.sendall(request())
                if connection.recv(1 << 16):
                    continue
            except OSError:
                pass
            connections.remove(connection)
            connection.close()


def _unsigned(address: str, token: str) -> None:
    _again(address, lambda: b"GET /v1/report HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


def _rubbish(address: str, token: str) -> None:
    _again(address, lambda: b"GET / HTTP/1.1\r\nHost: x\r\n" + bytes(100_000))


def _signed(address: str, token: str) -> None:
    def request() -> bytes:
        path, nonce = "/v1/report", secrets.token_hex(8)
        said = signatures.headers(token, "GET", path, "node0", time.time(), nonce)
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        return f"GET {path} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n".encode()

    _again(address, request)


def _slow(address: str, token: str) -> None:
    """Each connection sends a byte of its request now and then, and is replaced if closed."""
    connections: list[socket.socket] = []
    while True:
        for index in range(SLOW):
            if index == len(connections):
                connections.append(socket.create_connection((address, PORT)))
            try:
                connections[index].sendall(b"G")
            except OSError:
                connections[index] = socket.create_connection((address, PORT))
            time.sleep(0.001)


def _idle(address: str, token: str) -> None:
    """Opens connections and says nothing; those that were closed are kept until all are open."""
    connections = []
    for _ in range(IDLE):
        try:
            connections.append(socket.create_connection((address, PORT)))
        except OSError:
            time.sleep(0.01)
    signal.pause()


def _elsewhere(address: str, token: str) -> None:
    """As busy as a flood, with no agent at its other end."""
    while True:
        secrets.token_hex(1 << 12)


FLOODS: dict[str, Flood | None] = {
    "none": None,
    "none, but one processor is busy": _elsewhere,
    f"unsigned requests on {AT_ONCE} connections": _unsigned,
    f"what is no request on {AT_ONCE} connections": _rubbish,
    f"signed requests on {AT_ONCE} connections": _signed,
    f"{SLOW} requests that come byte by byte": _slow,
    f"{IDLE:,} idle connections": _idle,
}

if __name__ == "__main__":
    main()
