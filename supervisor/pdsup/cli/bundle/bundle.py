"""Packs what a colleague needs to look into a run, without its secrets, into one file."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pdsup
from pdsup import clock, typed
from pdsup.cli import client, report
from pdsup.cli.benchmark import RECORD
from pdsup.errors import SupervisorError
from pdsup.files import write_atomically
from pdsup.node.paths import JOURNALS
from pdsup.node.run_dir import MOST_TOKEN_BYTES, VIEW_FILE, plan_of
from pdsup.plan import masks
from pdsup.plan.model import Plan

TOKENS = ("token", VIEW_FILE)
# Of longer files only the end is packed: of logs so much, and of all of them together at most this.
LOG_BYTES, ALL_LOGS_BYTES = 2 << 20, 512 << 20
FILE_BYTES = 16 << 20
PATTERNS = (
    "plan*.yaml", "origin*.json", RECORD, f"{JOURNALS}/*.jsonl", "nginx/nginx.conf*",
    "evidence/*/*",
)  # fmt: skip
PACKAGES = (
    "sglang", "sglang-router", "smg", "torch", "aiohttp", "jinja2", "psutil", "pyyaml", "structlog",
    "uvloop", "nvidia-ml-py", "py-spy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of a bundle: its name, how many bytes, and whether only its end was packed."""

    name: str
    bytes: int
    cut: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A file to pack; ``most``: bytes of its end."""

    name: str
    path: Path
    most: int = FILE_BYTES


def pack(run_dir: Path, out: Path) -> list[Packed]:
    """Writes the bundle of a run to ``out``, readable by its owner only; returns what is in it.

    Raises SupervisorError if it is not a run directory, or if the bundle can't be written.
    """
    run_dir = run_dir.resolve()
    page = report.render(report.gather(run_dir, run_dir))
    plan = _plan(run_dir)
    tokens = [
        text.strip() for name in TOKENS for text, _ in _read(run_dir / name, MOST_TOKEN_BYTES)
    ]
    mask = masks.of_plan(plan, os.environ, tokens)
    texts = {"versions.txt": _versions(), "status.json": _status(run_dir), "report.html": page}
    packed: list[Packed] = []
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=6) as archive:
        for name, text in texts.items():
            if text:
                packed.append(_add(archive, run_dir, name, mask(text), cut=False))
        for part in _parts(run_dir):
            for text, cut in _read(part.path, part.most):
                packed.append(_add(archive, run_dir, part.name, mask(text), cut=cut))
    try:
        write_atomically(out, data.getvalue(), 0o600)
    except OSError as error:
        raise SupervisorError(f"cannot write {out}: {error.strerror}") from None
    return packed


def _parts(run_dir: Path) -> Iterator[_Part]:
    for pattern in PATTERNS:
        yield from (_Part(_name(path, run_dir), path) for path in sorted(run_dir.glob(pattern)))
    logs = [path for path in sorted(run_dir.glob("logs/*")) if path.suffix != ".times"]
    most = min(LOG_BYTES, ALL_LOGS_BYTES // max(1, len(logs)))
    yield from (_Part(_name(path, run_dir), path, most) for path in logs)


def _name(path: Path, run_dir: Path) -> str:
    return str(path.relative_to(run_dir))


def _read(path: Path, most: int) -> Iterator[tuple[str, bool]]:
    """The end of a file, and whether more of it was left out; nothing if it can't be read.

    Others may write to the directory: a link could lead to a file of ours that is none of the run.
    """
    if path.parent.resolve() != path.parent:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            if stat.S_ISREG(state.st_mode):
                file.seek(max(0, state.st_size - most))
                data = file.read(most)
                yield data.decode(errors="surrogateescape"), state.st_size > most


def _add(archive: tarfile.TarFile, run_dir: Path, name: str, text: str, *, cut: bool) -> Packed:
    data = text.encode(errors="surrogateescape")
    archive.addfile(_Member(f"{run_dir.name}/{name}", len(data)), io.BytesIO(data))
    return Packed(name, len(data), cut)


class _Member(tarfile.TarInfo):
    """A file of the bundle, which only its owner can read once it is unpacked."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.size, self.mtime, self.mode = size, int(clock.wall()), 0o600


def _plan(run_dir: Path) -> Plan | None:
    """The plan; None if this version can't read it."""
    with contextlib.suppress(SupervisorError):
        return plan_of(run_dir).plan
    return None


def _status(run_dir: Path) -> str:
    """The status JSON of a run that is active; else nothing."""
    with contextlib.suppress(SupervisorError):
        found = client.cluster(str(run_dir), returns_in=0.0)
        return typed.dumps(client.status(found, every=True), indent=2)
    return ""


def _versions() -> str:
    lines = [
        f"pd-supervisor {pdsup.__version__}",
        f"Python {platform.python_version()}",
        " ".join(os.uname()),
    ]
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f"{name} {importlib.metadata.version(name)}")
    return "\n".join([*lines, ""])
