"""What there is to say, a line for each verb.

In one place, so that the list of all verbs is printed without importing them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

# In the order of the help text: before a run, a run, looking at it, changing it, ending it.
VERBS: Mapping[str, str] = {
    "plan": "compile a recipe to a cluster plan",
    "check": "find every problem of a recipe or plan",
    "sbatch": "print the Slurm job script of a recipe",
    "doctor": "look before a run whether this node can do its part",
    "up": "bring up the whole cluster on this machine",
    "agent": "run this node's part of a plan or recipe until told to stop",
    "status": "show what the units do",
    "wait": "wait until the units are ready, or stopped",
    "explain": "tell why a unit is in its state, and what happens next",
    "events": "show what happened to the units, of all nodes",
    "run": "wait until all is ready, run a benchmark, and judge whether anything disturbed it",
    "report": "write a page about a run: what each unit did when, incidents, benchmarks, restarts",
    "web": "print a link to a live page about the cluster, good for one browser",
    "logs": "show what a unit writes (tail is the same)",
    "start": "start units that are stopped, or that gave up, and wait until they are ready",
    "stop": "stop units and wait until nothing of them is left; routers leave nginx first",
    "restart": "stop units and start them again, routers one at a time so that the others serve",
    "signal": "send a signal to the main processes of units",
    "reload": "read the recipe or plan again and apply only what differs; all else runs on",
    "shutdown": "stop this node's agent and its units, or the whole cluster's",
    "completion": "print a script with which a shell completes verbs, options and names of units",
    "version": "print the version",
    "help": "show what pdsup can do",
}
