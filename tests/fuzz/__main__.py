"""`python -m tests.fuzz [COUNT] [NUMBER]`: feeds COUNT inputs (a million) to everything that reads
what others wrote, prints how many each part got, and keeps what broke one in `.fuzz/`. The same
NUMBER makes the same inputs.
"""

import multiprocessing
import secrets
import signal
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz.api import fuzz_api
from tests.fuzz.run import Finding, fuzz
from tests.fuzz.targets import targets

MILLION = 1_000_000
# Of all inputs so many go to the API of an agent.
API_SHARE = 0.1
CHUNK = 10_000
KEPT = Path(".fuzz")
Part = tuple[str, int, int]


def main(words: list[str]) -> int:
    end_on_term()  # inherited by the workers: an agent must not outlive its own
    count = int(words[0]) if words else MILLION
    number = int(words[1]) if words[1:] else secrets.randbelow(MILLION)
    print(f"inputs made from number {number}", flush=True)
    counts: Counter[str] = Counter()
    found: list[Finding] = []
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        for done in as_completed([pool.submit(work, part) for part in _parts(count, number)]):
            fed, broken = done.result()
            counts.update(fed)
            found += broken
            print(f"\r{sum(counts.values()):,} of {count:,}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for name, fed in counts.items():
        print(f"{fed:>9,}  {name}")
    print(f"{sum(counts.values()):>9,}  in all, {len(found)} findings")
    KEPT.mkdir(exist_ok=True)
    for index, one in enumerate(found):
        path = KEPT / f"{one.target.replace(' ', '-')}-{index}"
        path.write_bytes(one.given)
        print(f"{path}: {one.what}")
    return 1 if found else 0


def end_on_term() -> None:
    """Ends this process in order on SIGTERM: what it started is ended first."""

    def end(*_: object) -> None:
        for child in multiprocessing.active_children():
            child.terminate()
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)


def _parts(count: int, number: int) -> list[Part]:
    """The targets, in parts of ``CHUNK`` inputs, each with a number of its own."""
    with tempfile.TemporaryDirectory() as directory:
        shares = {name: one.share for name, one in targets(Path(directory)).items()}
    of_api = round(count * API_SHARE)
    whole = {
        name: share * (count - of_api) / sum(shares.values()) for name, share in shares.items()
    }
    parts = [("api", of_api, number)]
    for name, fed in whole.items():
        for index, begin in enumerate(range(0, -(-int(fed + 1) // 1), CHUNK)):
            parts.append((name, min(CHUNK, int(fed + 1) - begin), number + index))
    return parts


def work(part: Part) -> tuple[dict[str, int], list[Finding]]:
    name, count, number = part
    # In memory: it writes a file for most inputs.
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        if name == "api":
            return fuzz_api(Path(directory), count, number)
        return {name: count}, fuzz(name, targets(Path(directory))[name], count, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
