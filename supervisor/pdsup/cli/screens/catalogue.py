"""One line of help for each verb.

They are in one place so that listing the verbs imports none of them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

# In the order of the help text: prepare, run, look, change, stop.
VERBS: Mapping[str, str] = {
    "plan": "compile a recipe into a cluster plan",
    "check": "list every problem in a recipe or plan",
    "sbatch": "print a Slurm job script for a recipe",
    "doctor": "check before a run that this node is ready for it",
    "up": "bring up the whole cluster on this machine",
    "agent": "run this node's part of a plan or recipe until told to stop",
    "list": "list your runs: active ones on this machine, and those that have ended",
    "status": "show the state of the units",
    "url": "print the URL that clients talk to",
    "wait": "wait until units are ready, or stopped",
    "explain": "explain why a unit is in its state, and what happens next",
    "events": "show what happened to the units, on all nodes",
    "run": "wait until everything is ready, run a benchmark, and say whether anything disturbed it",
    "results": "show the points of a sweep: verdicts, throughput and latencies",
    "report": "write an HTML report of a run: timeline, incidents, benchmarks, restarts",
    "scrape-config": "print the jobs for Prometheus: agents, routers and workers of a run",
    "bundle": "pack a run for a colleague into one file, secrets masked",
    "web": "print a link to a live page of the cluster, for one browser",
    "logs": "show the output of units (also: tail)",
    "start": "start units that are stopped or gave up, and wait until they are ready",
    "stop": "stop units and wait until all their processes are gone; routers leave nginx first",
    "restart": "restart units, routers one at a time so that the others keep serving",
    "signal": "send a signal to the main processes of units",
    "evidence": "collect evidence of units now: stacks, processes, sockets, GPUs, end of the log",
    "reload": "read the recipe or plan again and apply what changed; everything else keeps running",
    "shutdown": "stop this node's agent and its units, or the whole cluster",
    "completion": "print a shell completion script for verbs, options and unit names",
    "version": "print the version",
    "help": "list the commands, or explain one",
}
