"""A place where a reader of the documentation types its commands, and which is left clean."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

BIN = Path(sys.prefix, "bin")
# The tutorial takes 25 s on two idle cores.
LONGEST_S = 150.0
ENDED_S = 20.0
LOOK_S = 0.05
# Compiled files stay: each of many commands at once would compile everything.
UNWANTED = shutil.ignore_patterns(
    *(".git", ".venv", ".*cache", ".hypothesis", "*.egg-info", "runs", "tests")
)
# Says what is typed, and stops at the first command that fails.
STEP = """\
printf '$ %s\\n' {quoted} >&2
{command}
status=$?
[ $status -eq 0 ] || {{ echo "exit status $status" >&2; exit 1; }}
"""


class Desk:
    """A directory of its own with a shell in it; agents and sockets of others are not seen."""

    def __init__(self) -> None:
        # Short, because the path of a unix socket may have 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="pd"))
        self.work = self.home / "work"
        self.work.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PDSUP_", "SLURM"))}
        # Agents are looked for in both.
        self.env |= {"XDG_RUNTIME_DIR": str(self.home), "TMPDIR": str(self.home)}

    def check_out(self) -> None:
        """Puts a copy of the repository here, with everything ``make setup`` installs in place.

        It has no pip: should ``make setup`` find something to do, it fails instead of
        installing this copy into the virtual environment that the tests run in.
        """
        shutil.copytree(ROOT, self.work, ignore=UNWANTED, dirs_exist_ok=True)
        bin_dir = self.work / ".venv" / "bin"
        bin_dir.mkdir(parents=True)
        for program in ("activate", "python"):
            (bin_dir / program).symlink_to(BIN / program)
        words = ("cksum", "pyproject.toml")
        sum_ = subprocess.run(words, cwd=self.work, capture_output=True, text=True, check=True)
        (bin_dir.parent / "installed").write_text(f"router,dev {sum_.stdout}")

    def bring(self, folder: str) -> None:
        """Puts a copy of a folder of the repository here."""
        shutil.copytree(ROOT / folder, self.work / folder)

    def install(self) -> None:
        """Puts ``pdsup`` on the PATH."""
        self.env["PATH"] = f"{BIN}:{self.env['PATH']}"

    def type(self, commands: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs commands in one shell, up to the first that fails."""
        steps = [STEP.format(command=line, quoted=_quoted(line)) for line in commands]
        with subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", "".join(steps)],
            env=self.env,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            try:
                output, _ = shell.communicate(timeout=LONGEST_S)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                output = f"{shell.communicate()[0]}\nnot ended after {LONGEST_S:g} s"
        return subprocess.CompletedProcess(commands, shell.returncode, output)

    def close(self) -> None:
        """Ends and removes whatever is still here; fails when that was something."""
        left = list(self._processes())
        if left:
            words = [str(BIN / "pdsup"), "shutdown", "--all", "--timeout", f"{ENDED_S:g}"]
            subprocess.run(words, env=self.env, capture_output=True, check=False)
        until = time.monotonic() + ENDED_S
        while pids := [pid for pid, _ in self._processes()]:
            assert time.monotonic() < until, f"can't be killed: {pids}"
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_S)
        shutil.rmtree(self.home)
        assert left == [], "the commands left processes behind"

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Everything that has this directory in its environment, as its output or as its place.

        The router overwrites its environment.
        """
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                signs = [
                    (directory / "environ").read_bytes().decode(errors="replace"),
                    *(str((directory / link).readlink()) for link in ("cwd", "fd/1")),
                ]
                command = (
                    (directory / "cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode(errors="replace")
                )
            except OSError:  # gone, or not ours
                continue
            if any(str(self.home) in sign for sign in signs) and command:
                yield int(directory.name), command


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
