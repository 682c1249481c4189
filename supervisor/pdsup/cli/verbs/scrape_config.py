"""``pdsup scrape-config``: prints the jobs for Prometheus."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pdsup.address import endpoint
from pdsup.cli import client, options

if TYPE_CHECKING:
    from pdsup.plan.model import Plan, PlanUnit

EXAMPLE = "pdsup scrape-config > prometheus.yml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.as_json(parser, "print JSON instead of YAML")
    options.run_dir(parser, "which run, active or ended")


def run(args: argparse.Namespace) -> int:
    """The jobs are for the agents of all nodes, which answer only with the run's view token, for
    the routers, and for workers that serve metrics (SGLang: --enable-metrics). Prometheus must be
    able to read the token's file and to reach the nodes.
    """
    from pdsup.node.run_dir import VIEW_FILE, plan_of  # late: not needed for help

    run_dir = client.run_directory(args.run_dir, "print a scrape configuration").resolve()
    plan = plan_of(run_dir).plan
    jobs = {"scrape_configs": list(_jobs(plan, str(run_dir / VIEW_FILE)))}
    if args.json:
        import json

        print(json.dumps(jobs, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(jobs, sort_keys=False, width=100), end="")
    return 0


def _jobs(plan: Plan, token: str) -> Iterator[dict[str, Any]]:
    agents = [
        {"targets": [endpoint(node.address, plan.control_port)], "labels": {"cluster": plan.name}}
        for node in plan.nodes
    ]
    yield {
        "job_name": "pdsup",
        "authorization": {"credentials_file": token},
        "static_configs": agents,
    }
    for job, served in (("router", _routers(plan)), ("worker", _workers(plan))):
        units = [
            {
                "targets": [endpoint(plan.address[unit.node], unit.ports[port])],
                "labels": {"cluster": plan.name, "node": unit.node, "unit": unit.name},
            }
            for unit, port in served
        ]
        if units:
            yield {"job_name": job, "static_configs": units}


def _routers(plan: Plan) -> Iterator[tuple[PlanUnit, str]]:
    """The routers that serve metrics, each with the name of the port."""
    return ((unit, "prometheus") for unit in plan.units if "prometheus" in unit.ports)


def _workers(plan: Plan) -> Iterator[tuple[PlanUnit, str]]:
    """The workers whose progress is read from their metrics, each with the name of the port."""
    for unit in plan.units:
        progress = unit.probes.progress
        if unit.kind == "worker" and progress.counters and progress.port in unit.ports:
            yield unit, str(progress.port)
