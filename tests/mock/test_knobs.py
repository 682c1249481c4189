"""The table of delays, behaviours and faults."""

import json
import math

import pytest

from pdsup.mock import knobs
from pdsup.mock.knobs import BadKnob, Knobs


@pytest.mark.parametrize(("text", "value"), [("2.5", 2.5), ("0", 0.0), ("inf", math.inf)], ids=str)
def test_a_time_is_read_in_seconds(text, value):
    assert knobs.from_environment({"MOCK_LOAD_SECONDS": text}).load_seconds == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MOCK_LOAD_SECONDS", "soon"),
        ("MOCK_LOAD_SECONDS", "-1"),
        ("MOCK_LOAD_SECONDS", "nan"),
        ("MOCK_EXIT_CODE", "1.5"),
        ("MOCK_EXIT_CODE", "-99"),
        ("MOCK_HEALTH_STATUS", "42"),
        ("MOCK_SCHEDULER", "perhaps"),
        ("MOCK_HANG", "a bit"),
        ("MOCK_LOAD_SECOND", "1"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable, text):
    with pytest.raises(BadKnob, match=f"^{variable}: "):
        knobs.from_environment({variable: text, "PATH": "/bin"})


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"nothing": 1},
        {"load_seconds": True},
        {"exit_code": True},
        {"hang": 1},
        {"faults_once": 3},
        {"scheduler": 2.5},
        {"load_seconds": []},
    ],
    ids=str,
)
def test_a_bad_change_is_refused(wanted):
    with pytest.raises(BadKnob):
        knobs.change(Knobs(), wanted)


def test_a_change_of_null_gives_the_default_back():
    changed = knobs.change(Knobs(), {"hang": "engine", "access_log": False})
    assert (changed.hang, changed.access_log) == ("engine", False)
    assert knobs.change(changed, {"hang": None, "access_log": None}) == Knobs()


def test_what_is_shown_can_be_sent_back():
    changed = knobs.change(Knobs(), {"exit_code": 3, "load_seconds": "inf", "scheduler": 0})
    shown = json.loads(json.dumps(knobs.as_json(changed), allow_nan=False))
    assert knobs.change(Knobs(), shown) == changed


def test_without_faults_delays_and_behaviours_stay():
    sick = knobs.change(Knobs(), {"hang": "http", "token_seconds": 1, "clean_exit": "sigkill"})
    assert knobs.without_faults(sick) == knobs.change(sick, {"hang": None})


def test_every_knob_is_in_the_table_of_the_help():
    for name in knobs.FIELDS:
        assert f"{knobs.variable(name)}=" in knobs.table()
