"""``python -m bench``: measures, prints the table, and with ``--write`` updates its page."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence

from bench import page
from bench.measurer import Measurer
from bench.peers.circus import Circus
from bench.peers.pdsup import Pdsup
from bench.peers.peer import ROOT, STORE, Peer
from bench.peers.runit import Runit
from bench.peers.s6 import S6
from bench.peers.supervisord import Supervisord
from bench.runner import compile_child

PEERS: Sequence[Peer] = (Pdsup(), Runit(), S6(), Supervisord(), Circus())
PARTS = ("life", "probes", "crowd", "commands", "log")
NUMBERS = ROOT / "docs" / "explanation" / "numbers.md"
BEGIN, END = "<!-- measured: made by python -m bench --write -->\n", "<!-- end of measured -->\n"


def main() -> None:
    """Measures each supervisor once in every round."""
    args = _parser().parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that running supervisors are cleaned up
    chosen = [peer for peer in PEERS if peer.name in args.peers and not peer.absent()]
    units = {"few": args.few, "many": args.many}
    measurers = {peer.name: Measurer(peer, **units, rest_s=args.rest) for peer in chosen}
    compile_child()
    for number in range(1, args.rounds + 1):
        for peer in chosen:
            print(f"round {number} of {args.rounds}: {peer.name}", file=sys.stderr)
            try:
                _round(peer, measurers[peer.name], args.parts, args.log_mib << 20)
            except (RuntimeError, TimeoutError) as error:
                if isinstance(peer, Pdsup):
                    raise
                print(f"skipping the rest of {peer.name}: {error}", file=sys.stderr)
    samples = {name: measurer.samples for name, measurer in measurers.items()}
    goals = _verdict(page.missed(samples.get("pdsup", {}), **units))
    found = f"{_where(args.rounds)}\n\n{page.table(samples, **units)}\n\n{goals}\n"
    print(found)
    if args.write:
        before, _, rest = NUMBERS.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        NUMBERS.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}", "utf-8")


def _round(peer: Peer, measurer: Measurer, parts: Sequence[str], log_size: int) -> None:
    def logs() -> None:
        for piped in sorted(peer.pipes()):
            measurer.log(log_size, piped=piped)

    steps = (measurer.life, measurer.probes, measurer.crowd, measurer.commands, logs)
    for part, step in zip(PARTS, steps, strict=True):
        if part in parts:
            step()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--few", type=int, default=100, help="number of units for most figures")
    parser.add_argument("--many", type=int, default=500, help="number of units for the large start")
    parser.add_argument("--rest", type=float, default=5.0, help="seconds to measure idle units")
    parser.add_argument("--log-mib", type=int, default=256, help="MiB of output that a unit writes")
    parser.add_argument("--write", action="store_true", help=f"also update {NUMBERS.name}")
    return parser


def _where(rounds: int) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    versions = STORE / "versions"
    peers = versions.read_text().splitlines() if versions.exists() else ["no peers"]
    return (
        f"{time.strftime('%-d %B %Y')}; {os.cpu_count()} cores, {memory} GiB,"
        f" Linux {platform.release().split('-')[0]}, Python {platform.python_version()};"
        f" load before it {LOAD:.1f}; {', '.join(peers)}; rounds: {rounds}."
    )


def _verdict(missed: Sequence[str]) -> str:
    if not missed:
        return "Every goal is reached."
    return "Goals that are missed:\n\n" + "\n".join(f"- {one}" for one in missed)


LOAD = os.getloadavg()[0]

if __name__ == "__main__":
    main()
