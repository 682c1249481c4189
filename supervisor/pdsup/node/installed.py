"""What is installed on this machine: asks a router for its flags, and looks for models."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdsup.plan.flags import KnownFlags
from pdsup.plan.frontends.frontend import Frontend

# It takes half a second, but the first time on a cold file system much longer.
ANSWER_S = 20.0
# Runs a module until it parses its arguments, and prints what its parser knows.
SCRIPT = """
import argparse, importlib.metadata, json, runpy, sys
def tell(parser, *_, **__):
    known = [
        (word, list(map(str, one.choices or ())), getattr(one.type, "__name__", ""), one.nargs == 0)
        for one in parser._actions for word in one.option_strings
    ]
    package = sys.argv[1].partition(".")[0].replace("_", "-")
    print(json.dumps([importlib.metadata.version(package), known]))
    sys.exit()
argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = tell
runpy.run_module(sys.argv[1], run_name="__main__")
"""


class Installed:
    """The machine at hand."""

    def flags(self, frontend: Frontend) -> KnownFlags | None:
        """The flags of the installed frontend; None if it is not installed, or does not tell."""
        return _flags(frontend.module)

    def has(self, path: str) -> bool:
        """Whether a file or directory is here."""
        try:
            return Path(path).exists()
        except (OSError, ValueError):
            return False


@functools.cache
def _flags(module: str) -> KnownFlags | None:
    for python in _pythons(module.partition(".")[0]):
        if (told := _ask(python, module)) is not None:
            return told
    return None


def _pythons(program: str) -> Iterator[str]:
    """The interpreters that may have a module: that of the agent, the usual one, its program's."""
    yield sys.executable
    if (usual := shutil.which("python3")) is not None:
        yield usual
    path = shutil.which(program)
    if path is not None:
        with open(path, "rb") as file:  # noqa: PTH123
            line = os.fsdecode(file.readline(256))
        if line.startswith("#!") and "python" in line:
            yield line[2:].split()[0]


def _ask(python: str, module: str) -> KnownFlags | None:
    try:
        done = subprocess.run(
            [python, "-c", SCRIPT, module],
            # Else a file such as random.py in the current directory would be run.
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=True,
        )
        version, known = json.loads(done.stdout.splitlines()[-1])
        return _read(f"{module.partition('.')[0].replace('_', '-')} {version}", known)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, IndexError):
        return None


def _read(program: str, known: list[tuple[str, list[str], str, bool]]) -> KnownFlags:
    flags: dict[str, Any] = {
        word[2:]: (tuple(choices), kind, alone)
        for word, choices, kind, alone in known
        if word.startswith("--")
    }
    kinds = {"int": int, "float": float}
    return KnownFlags(
        program=program,
        names=frozenset(flags),
        choices={name: choices for name, (choices, _, _) in flags.items() if choices},
        numbers={name: kinds[kind] for name, (_, kind, _) in flags.items() if kind in kinds},
        switches=frozenset(name for name, (_, _, alone) in flags.items() if alone),
        certain=True,
    )
