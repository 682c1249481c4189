"""The plan that is kept beside the ledger of what was started by it."""

from pathlib import Path

import pytest

from pdsup.node.kept_plans import PLANS, keep, kept
from pdsup.plan import yaml
from pdsup.plan.compile.load import Loaded


@pytest.fixture
def loaded(make_plan, make_unit) -> Loaded:
    plan = make_plan("node0", units=(make_unit("a", "node0"),))
    text = yaml.write(plan)
    return Loaded(plan, text, yaml.digest(text))


def test_a_plan_is_found_again_by_its_digest(tmp_path: Path, loaded: Loaded) -> None:
    keep(tmp_path, loaded)
    keep(tmp_path, loaded)
    assert kept(tmp_path, loaded.digest) == loaded


def test_a_plan_that_was_not_kept_is_not_found(tmp_path: Path, loaded: Loaded) -> None:
    keep(tmp_path, loaded)
    assert kept(tmp_path, "f" * 64) is None
    assert kept(tmp_path, "") is None
    assert kept(tmp_path / "missing", loaded.digest) is None


@pytest.mark.parametrize("edit", ["", "plan: [", "# another one\n"])
def test_what_is_not_what_was_kept_is_no_plan(tmp_path: Path, loaded: Loaded, edit: str) -> None:
    keep(tmp_path, loaded)
    (file,) = (tmp_path / PLANS).iterdir()
    file.write_bytes(edit.encode() and loaded.text + edit.encode())
    assert kept(tmp_path, loaded.digest) is None


def test_where_nothing_can_be_kept_the_agent_goes_on(tmp_path: Path, loaded: Loaded) -> None:
    (tmp_path / PLANS).write_text("in the way")
    keep(tmp_path, loaded)
    keep(tmp_path / "missing", loaded)
    assert kept(tmp_path, loaded.digest) is None
