"""Recipes for tests: a good one to change, and short ways to compile or to be refused."""

from pathlib import Path

import pytest
import yaml

from pdsup.errors import InvalidDocument, Problem
from pdsup.plan.compile import load as load_module
from pdsup.plan.compile.load import Loaded, check, node_count
from pdsup.plan.compile.nodes import parse_nodes
from pdsup.plan.model import Plan

GOOD = """\
name: good
model:
  path: /models/small
resources:
  gpus_per_node: 8
  prefill_nodes: 1
  prefill_workers: 1
  decode_nodes: 1
  decode_workers: 1
frontend:
  type: sglang
"""

ONE_EACH = {"prefill_nodes": 1, "prefill_workers": 1, "decode_nodes": 1, "decode_workers": 1}


def recipe(resources: dict[str, int | bool], **tables: object) -> str:
    """A recipe with these resources; other tables as given."""
    tables = {"frontend": {"type": "sglang"}, **tables}
    return yaml.safe_dump(
        {"name": "made", "model": {"path": "/m"}, "resources": resources, **tables},
        sort_keys=False,
    )


def config(**roles: object) -> dict[str, object]:
    """A recipe's backend with the engine flags of each role."""
    return {"sglang_config": roles}


def flags(command: tuple[str, ...]) -> dict[str, list[str]]:
    """Flags of a command with their values."""
    found: dict[str, list[str]] = {}
    for word in command[3:]:
        if word.startswith("--"):
            name = word
            assert name not in found or name in ("--prefill", "--decode"), f"{name} twice"
            found.setdefault(name, [])
        else:
            found[name].append(word)
    return found


class Desk:
    """A directory where recipes are compiled."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "recipe.yaml"

    def write(self, text: str | bytes) -> Path:
        self._file.write_bytes(text.encode() if isinstance(text, str) else text)
        return self._file

    def load(self, text: str | bytes, *overrides: str, **options: object) -> Loaded:
        path = self.write(text)
        if "nodes" not in options:
            count = node_count(path, overrides, options.get("variant"))
            options["nodes"] = parse_nodes(f"n[0-{count - 1}]")
        return load_module.load(path, overrides=overrides, **options)

    def plan(self, text: str | bytes, *overrides: str, **options: object) -> Plan:
        return self.load(text, *overrides, **options).plan

    def problems(self, text: str | bytes, *overrides: str) -> tuple[Problem, ...]:
        path = self.write(text)
        with pytest.raises(InvalidDocument) as caught:
            check(path, nodes=None, overrides=overrides)
        return caught.value.problems

    def problem(self, text: str | bytes, *overrides: str) -> Problem:
        (only,) = self.problems(text, *overrides)
        return only
