"""A job of the demo recipe on a bed with real Slurm, as a user would submit it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.bed.machines import Machine, until
from tests.bed.slurm import Slurm
from tests.system.cluster import PDSUP, ROOT

CLIENT = str(ROOT / "tests" / "bed" / "client.py")
# What a node has without a job.
DAEMONS = ("slurmd", "munged", "slurmctld")


class Job:
    """One job. ``settings`` go into the recipe; ``edit`` changes the plan that is made of it, and
    ``options`` are those of ``pdsup sbatch``.
    """

    def __init__(
        self,
        slurm: Slurm,
        *,
        edit: Callable[[dict[str, Any]], None] | None = None,
        options: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.slurm = slurm
        self.bed = slurm.bed
        recipe = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text()) | settings
        self.directory = slurm.home / "work"
        self.directory.mkdir(exist_ok=True)
        path = self.directory / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        made = self.bed.head.run(PDSUP, "sbatch", str(path), *options)
        assert made.returncode == 0, made.stderr
        script = self.directory / "job.sh"
        script.write_text(made.stdout)
        if edit is not None:
            plan = self._edited(path, edit)
            script.write_text(made.stdout.replace(str(path), str(plan)))
        self.number = slurm.submit(
            script, f"--chdir={self.directory}", f"--output={self.directory}/slurm-%j.out"
        )
        self.run_dir = self.directory / "runs" / f"demo-{self.number}"

    def _edited(self, recipe: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
        made = self.bed.head.run(PDSUP, "plan", str(recipe), "--nodes", ",".join(self.bed.nodes))
        assert made.returncode == 0, made.stderr
        plan = yaml.safe_load(made.stdout)
        edit(plan)
        path = self.directory / "plan.yaml"
        path.write_text(yaml.safe_dump(plan))
        return path

    @property
    def node(self) -> Machine:
        """Where users look: the first node."""
        return self.bed["node0"]

    @property
    def output(self) -> str:
        """What the job wrote."""
        return (self.directory / f"slurm-{self.number}.out").read_text()

    def pdsup(self, *words: str, node: str = "node0") -> Any:
        """Runs a command on a node to its end."""
        return self.bed[node].run(PDSUP, *words, "--run-dir", str(self.run_dir))

    def ready(self) -> None:
        """Returns when every unit is ready."""
        until(lambda: (self.run_dir / "token").exists() or self._failed(), "an agent runs")
        until(lambda: self.pdsup("status").returncode != 4, "an agent answers")
        done = self.pdsup("wait", "--timeout", "60")
        assert done.returncode == 0, f"{done.stderr}\n{self.output}"

    def _failed(self) -> bool:
        state = self.slurm.job(self.number)["JobState"]
        assert state in ("PENDING", "RUNNING", "CONFIGURING"), f"{state}: {self.output}"
        return False

    def units(self, node: str = "node0") -> dict[str, dict[str, Any]]:
        """All units by name, as a node knows them."""
        done = self.pdsup("status", "--all", "--json", node=node)
        assert done.stdout, f"{done.stderr}\n{self.slurm.job(self.number)}\n{self.output}"
        value = json.loads(done.stdout)
        return {unit["name"]: unit for one in value["nodes"] for unit in one["units"]}

    @contextlib.contextmanager
    def load(self, clients: int = 8) -> Iterator[Path]:
        """Clients on the head ask all the time; gives the file where each request gets a line."""
        log = self.directory / f"load-{self.number}.jsonl"
        asking = self.directory / f"asking-{self.number}"
        asking.touch()
        url = f"http://{self.node.name}:8000"
        self.bed.head.start(sys.executable, CLIENT, url, str(clients), str(asking), log=log)
        try:
            self._until_asked(log)
            yield log
        finally:
            asking.unlink()

    def _until_asked(self, log: Path) -> None:
        until(lambda: log.exists() and bool(requests(log)), "clients ask")

    def killed(self) -> list[dict[str, Any]]:
        """Lines of units that did not end in time and were killed by their agents."""
        return [line for line in self.journal() if "SIGKILL sent" in line["reason"]]

    def journal(self) -> list[dict[str, Any]]:
        """Every step of every unit, by the nodes' journals."""
        files = (self.run_dir / "events").glob("*.jsonl")
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if "to" in line]


def requests(log: Path) -> list[dict[str, Any]]:
    """The requests that were made so far."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]


def newest(log: Path) -> float:
    """When the newest of the requests that have ended began; monotonic seconds."""
    return max(one["began"] for one in requests(log))


def left(nodes: Iterable[Machine]) -> list[str]:
    """What runs on nodes beside Slurm's own daemons."""
    return [
        f"{node.name}: {pid} {words}"
        for node in nodes
        for pid, words in node.processes().items()
        if not words.startswith(DAEMONS)
    ]
