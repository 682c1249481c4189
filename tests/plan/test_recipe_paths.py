"""Where in a file the parts of its plan come from."""

from pdsup.errors import Problem
from pdsup.plan.recipe_paths import Causes


def located(causes, path):
    (found,) = causes.locate((Problem(path, "is wrong"),))
    assert found.message == "is wrong"
    return found.path


def test_a_part_has_its_own_cause_and_else_that_of_the_part_around_it():
    causes = Causes({"units.1": "flags", "units.1.ports.http": "flags.port", "units.12": "others"})
    assert located(causes, "units.1.ports.http") == "flags.port"
    assert located(causes, "units.1.ports.nccl") == "flags"
    assert located(causes, "units.1") == "flags"
    assert located(causes, "units.12.command") == "others"


def test_a_part_without_a_cause_stands_at_the_same_place_in_the_file():
    causes = Causes({"units.1": "flags"})
    assert located(causes, "hooks.0.url") == "hooks.0.url"
    assert located(causes, "") == ""


def test_a_part_of_a_plan_that_has_moved_is_found_with_all_inside_it():
    causes = Causes({"units.1": "units.3"}, inside=True)
    assert located(causes, "units.1.ports.http") == "units.3.ports.http"
