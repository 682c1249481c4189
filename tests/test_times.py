"""Durations and times as people read them."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pdsup.times import age, duration, moment, parsed, stamp
from tests.bed.files import for_each
from tests.test_architecture import MODULES, ROOT, name

NOON = 1795435200.0  # 2026-11-23 12:00:00 UTC
AGES = {
    0: "0 s", 0.999: "0 s", 8: "8 s", 59.9: "59 s", 60: "1 min", 90.9: "1 min 30 s",
    3599: "59 min 59 s", 3600: "1 h", 3661: "1 h 1 min", 3605: "1 h", 43200: "12 h",
    86399: "23 h 59 min", 86400: "1 d", 273845: "3 d 4 h", 8640000: "100 d", -7192.6: "0 s",
}  # fmt: skip
OWN_WORDS = re.compile(r"(?:_s|_S|:g|f)\} ?(?:s|min|h|seconds|minutes|hours)\b|timedelta")
# The numbers of a setting or an option, in the unit in which they are given.
GIVEN = {
    "must be 0 to {defaults.MOST_BACKOFF_S:g} seconds, not {delay}",
    "wait must be 0 to {LONGEST_WAIT_S:g} seconds",
    "has not moved for {MOST_MISSED * CHECK_S:g} s",  # the guardian imports as little as it can
    "{_stamp(each.at)} {each.kind}, in {each.seconds:.3f} s: {each.answer}",
}


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("seconds", "text"), AGES.items())
def test_an_age_has_at_most_two_units(seconds, text):
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"), (0.25, "0.25 s"), (0.7, "0.7 s"), (2.44, "2.4 s"), (59.94, "59.9 s"),
        (59.96, "1 min"), (90, "1 min 30 s"), (43200, "12 h"), (3599.7, "1 h"), (-3.0, "0 s"),
        (float("nan"), "0 s"), (float("inf"), "10000 d"), (1e300, "10000 d"),
    ],
)  # fmt: skip
def test_a_duration_below_a_minute_has_a_decimal_where_it_needs_one(seconds, text):
    assert duration(seconds) == text


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript runtime is here")
def test_the_live_page_writes_ages_as_every_other_screen_does(utc):
    page = (ROOT / "api" / "page.html").read_text()
    functions = re.findall(r"^function (?:age|moment)\(.*?^}$", page, re.MULTILINE | re.DOTALL)
    times = [NOON - 90, NOON - 86400]
    ask = f"[{list(AGES)}.map(age), {times}.map(at => moment(at, {NOON}))]"
    script = "\n".join([*functions, f"console.log(JSON.stringify({ask}))"])
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    assert json.loads(done.stdout) == [list(AGES.values()), [moment(at, NOON) for at in times]]


def test_a_time_of_day_has_its_date_unless_that_is_today_s(utc):
    assert moment(NOON - 90, NOON) == "11:58:30"
    assert moment(NOON - 86400, NOON) == "2026-11-22 12:00:00"
    assert stamp(NOON + 0.25) == "2026-11-23 12:00:00.250"


@pytest.mark.parametrize("at", [1e300, -1e300, 1e15, float("nan"), float("inf")])
def test_a_time_that_no_calendar_has_is_unknown(at, utc):
    assert moment(at, NOON) == "unknown"
    assert stamp(at) == "unknown"


@for_each(MODULES)
def test_no_other_module_writes_a_duration_itself(path: Path):
    if name(path) == "times.py" or name(path).startswith("mock/"):
        return
    lines = path.read_text().splitlines()
    found = [line.strip() for line in lines if OWN_WORDS.search(line)]
    assert [line for line in found if not any(one in line for one in GIVEN)] == []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("5m", NOON - 300),
        ("90s", NOON - 90),
        ("1 h 30 min", NOON - 5400),
        ("1d2h", NOON - 93600),
        ("0.5h", NOON - 1800),
        ("11:30", NOON - 1800),
        ("9:05:03", NOON - 3 * 3600 + 303),
        ("14:30", NOON + 2.5 * 3600 - 86400),
        ("2026-11-23T11:59", NOON - 60),
        ("2026-11-23 12:00:00.250", NOON + 0.25),
        ("2026-11-23T13:00:00+01:00", NOON),
        ("2026-11-22", NOON - 36 * 3600),
        ("", None),
        ("5", None),
        ("5 parsecs", None),
        ("25:00", None),
        ("yesterday", None),
        ("-5m", None),
        ("9" * 400 + "d", float("-inf")),
    ],
)
def test_a_time_is_read_as_people_write_it(text, at, utc):
    assert parsed(text, NOON) == at


def test_what_a_screen_shows_can_be_given_back(utc):
    assert parsed(stamp(NOON + 0.25), NOON) == NOON + 0.25
    assert parsed(moment(NOON - 60, NOON), NOON) == NOON - 60
    assert parsed(duration(90), NOON) == NOON - 90
