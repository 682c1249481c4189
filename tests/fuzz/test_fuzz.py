"""Whatever others write, what reads it says so: a few inputs of many kinds, the same every time.
``make fuzz`` feeds a million.
"""

import tempfile
from pathlib import Path

import pytest

from tests.fuzz.api import fuzz_api
from tests.fuzz.run import fuzz
from tests.fuzz.targets import targets

COUNT, OF_API = 6_000, 800
with tempfile.TemporaryDirectory() as _aside:
    NAMES = list(targets(Path(_aside)))


@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_what_reads_it(name, tmp_path):
    target = targets(tmp_path)[name]
    count = max(len(target.seeds), round(COUNT * target.share))
    assert [(one.what, one.given[:200]) for one in fuzz(name, target, count)] == []


@pytest.mark.processes
def test_no_request_breaks_an_agent_and_an_unsigned_one_changes_nothing(tmp_path):
    counts, found = fuzz_api(tmp_path, OF_API)
    assert found == []
    assert sum(counts.values()) > OF_API * 0.8


def test_an_input_that_takes_too_much_work_or_raises_is_found():
    from tests.fuzz.run import MOST_CALLS
    from tests.fuzz.targets import Target

    def endless(_):
        while True:
            str.upper("a")

    def broken(given):
        raise KeyError(given)

    (finding,) = fuzz("endless", Target(endless, [b"a"], 1.0), 1)
    assert str(MOST_CALLS) in finding.what
    (finding,) = fuzz("broken", Target(broken, [b"a"], 1.0), 30)
    assert finding.what.startswith("KeyError")
