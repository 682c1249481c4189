"""What this machine has: the real router tells its flags."""

import sys

import pytest

from pdsup.node import installed
from pdsup.node.installed import Installed
from pdsup.plan.frontends import sglang_router
from pdsup.plan.frontends.router_flags import ROUTER


@pytest.mark.processes
def test_the_installed_router_tells_its_flags_and_they_are_those_that_are_known():
    told = Installed().flags(sglang_router.FRONTEND)
    assert told is not None
    assert (told.program, told.certain) == ("sglang-router 0.3.2", True)
    assert told.names == ROUTER.names
    assert {name: told.choices[name] for name in ROUTER.choices} == ROUTER.choices
    assert told.numbers["retry-max-retries"] is int
    assert told.numbers["cache-threshold"] is float
    assert told.switches is not None
    assert "dp-aware" in told.switches
    assert "policy" not in told.switches


@pytest.mark.processes
def test_it_accepts_what_the_compiler_sets(monkeypatch, tmp_path):
    """A file in the current directory is not run in place of a module of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random.py").write_text("raise SystemExit('not me')")
    installed._flags.cache_clear()
    told = Installed().flags(sglang_router.FRONTEND)
    assert told is not None
    assert {*sglang_router.ROUTER_ARGS} <= told.names


@pytest.mark.processes
@pytest.mark.parametrize(
    "python",
    ["/nowhere/python", "/bin/false", "/bin/true", "/bin/echo"],
)
def test_what_does_not_tell_its_flags_is_not_installed(python):
    assert installed._ask(python, "sglang_router.launch_router") is None


@pytest.mark.processes
def test_a_module_that_is_missing_or_hangs_tells_nothing(monkeypatch, tmp_path):
    assert installed._ask(sys.executable, "no_such_module.at_all") is None
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(installed, "ANSWER_S", 0.2)
    assert installed._ask(str(hangs), "x") is None


def test_a_model_is_looked_for(tmp_path):
    here = Installed()
    assert here.has(str(tmp_path))
    for path in (str(tmp_path / "none"), "x" * 5000, "a\0b"):
        assert not here.has(path)
