"""Real Slurm on a bed: munged and slurmctld on the head, slurmd on every node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.bed import machines
from tests.bed.machines import Bed, Machine, until

DAEMONS = ("munged", "slurmctld", "slurmd", "srun")
CONF = """\
ClusterName=bed
SlurmctldHost=head({head})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge.socket
MpiDefault=none
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation={home}/ctld
SlurmctldPidFile=/run/slurmctld.pid
SlurmctldLogFile={home}/log/slurmctld.log
SlurmdSpoolDir={home}/spool/%n
SlurmdPidFile=/run/slurmd.pid
SlurmdLogFile={home}/log/%n.log
KillWait={kill_wait}
SlurmdTimeout={slurmd_timeout}
SlurmctldTimeout=10
InactiveLimit=0
MessageTimeout=10
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
CGROUP_CONF = "CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace=no\n"


def lacking() -> str | None:
    """Why Slurm can't run here, or None."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    tools = (
        f"Slurm's test bed takes {', '.join(missing)} (Debian: munge slurmctld slurmd slurm-client)"
    )
    return machines.lacking() or (tools if missing else None)


class Slurm:
    """A cluster with an idle node for every one of the bed, inside the ``with`` block.

    ``proctrack``: how Slurm knows the processes of a job. linuxproc: by parentage; cgroup: as in
    production.
    """

    def __init__(
        self,
        count: int,
        *,
        proctrack: str = "linuxproc",
        kill_wait: int = 30,
        slurmd_timeout: int = 20,
    ) -> None:
        self.bed = Bed(count, freezer=proctrack == "cgroup")
        self.home = self.bed.home
        self._settings = {
            "proctrack": proctrack,
            "kill_wait": str(kill_wait),
            "slurmd_timeout": str(slurmd_timeout),
        }

    def __enter__(self) -> Slurm:
        self.bed.__enter__()
        try:
            self._up()
        except BaseException:
            self.bed.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bed.close()

    def _up(self) -> None:
        for name in ("log", "ctld", "spool"):
            (self.home / name).mkdir()
        nodes = "\n".join(
            f"NodeName={node.name} NodeAddr={node.address} CPUs=64 RealMemory=20000 State=UNKNOWN"
            for node in self.bed
        )
        conf = CONF.format(
            home=self.home, head=self.bed.head.address, nodes=nodes, **self._settings
        )
        (self.home / "slurm.conf").write_text(conf)
        (self.home / "cgroup.conf").write_text(CGROUP_CONF)
        key = self.home / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(128))
        own = {
            "SLURM_CONF": str(self.home / "slurm.conf"),
            "PATH": machines.search_path(os.environ),
        }
        for machine in (self.bed.head, *self.bed):
            machine.environ |= own
        self._munge(self.bed.head)
        self._daemon(self.bed.head, "slurmctld", "-D", "-i")
        for machine in self.bed:
            self.slurmd(machine.name)
        idle = ["idle"] * len(self.bed.nodes)
        until(lambda: self.states() == idle, "all nodes are idle", within=60)

    def _munge(self, head: Machine) -> None:
        socket = self.home / "munge.socket"
        self._daemon(
            head, "munged", "--foreground", "--force", "--num-threads=2", f"--socket={socket}",
            f"--key-file={self.home}/munge.key", "--pid-file=/run/munged.pid",
            f"--log-file={self.home}/log/munged.log", "--seed-file=/run/munged.seed",
        )  # fmt: skip
        until(socket.exists, "munged listens")

    def _daemon(self, machine: Machine, *command: str) -> None:
        machine.start(*command, log=self.home / "log" / f"{machine.name}-{command[0]}.out")

    def slurmd(self, node: str) -> None:
        """Starts a node's own daemon."""
        (self.home / "spool" / node).mkdir(exist_ok=True)
        self._daemon(self.bed[node], "slurmd", "-D")

    def states(self) -> list[str]:
        """The state of every node, by Slurm's word."""
        return self.do("sinfo", "-h", "-N", "-o", "%T").stdout.split()

    def do(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a command of Slurm's on the head."""
        return self.bed.head.run(*command, timeout=timeout)

    def submit(self, script: Path, *options: str) -> int:
        """Submits a job script; the job's number."""
        done = self.do("sbatch", "--parsable", *options, str(script))
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def job(self, number: int) -> dict[str, str]:
        """What Slurm tells of a job."""
        text = self.do("scontrol", "show", "job", str(number)).stdout
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def ended(self, number: int, within: float = 120.0) -> dict[str, str]:
        """What Slurm tells of a job that has ended, with nothing of it under way any more."""
        done = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        until(lambda: self.job(number).get("JobState") in done, f"job {number} ends", within)
        return self.job(number)
