"""Real units that are asked over HTTP whether they are ready."""

import dataclasses
import os
import signal
import socket

import psutil
import pytest

from pdsup.plan.model import Check, Probe, Probes, Restart

PORT = 8000
ASK = Probe(checks=(Check(port="http", path="/health"),), period_s=0.02, timeout_s=5.0)
AT_ONCE = Restart(first_delay_s=0.0, delay_s=0.0, jitter=0.0, max_failures=2)


@pytest.fixture
def serve(make, address, tmp_path):
    """Makes a unit that serves HTTP, and a function that says how it answers from then on."""

    def begin(answer, *, startup=ASK, readiness=ASK, liveness=None, **how):
        file = tmp_path / "answer"

        def say(answer):
            aside = file.with_suffix(".new")
            aside.write_text(answer)
            aside.rename(file)

        say(answer)
        unit = make(
            *("serves", str(file), address, str(PORT)),
            address=address,
            ports={"http": PORT},
            probes=Probes(startup=startup, readiness=readiness, liveness=liveness),
            **how,
        )
        return unit.start(), say

    return begin


def test_a_unit_is_starting_until_its_first_yes_and_says_what_it_answers(serve, address):
    unit, say = serve("503")
    said = unit.until("STARTING", lambda news: "HTTP" in news.detail)
    assert said.detail == f"not ready yet: {address}:{PORT}/health: HTTP 503"
    say("200")
    assert unit.until("RUNNING").detail == ""


def test_a_unit_that_is_not_ready_in_time_is_stopped_and_tried_again(serve):
    startup = dataclasses.replace(ASK, deadline_s=0.3)
    unit, _ = serve("503", startup=startup, restart=AT_ONCE, stop_s=0.1)
    news = unit.until("FATAL")
    assert news.reason == "gave up after 2 failures, the last: not ready within 0.3 s"
    tries = ["STARTING", "STOPPING", "BACKOFF", "STARTING", "STOPPING", "FATAL"]
    assert unit.states == tries


def test_lost_readiness_is_unhealthy_and_comes_back_without_a_restart(serve, address):
    unit, say = serve("200")
    pid = unit.until("RUNNING").pid
    say("503")
    assert unit.until("UNHEALTHY").reason == f"{address}:{PORT}/health: HTTP 503"
    say("500")
    unit.until("UNHEALTHY", lambda news: "HTTP 500" in news.reason)
    say("200")
    assert unit.until("RUNNING").pid == pid
    assert unit.states == ["STARTING", "RUNNING", "UNHEALTHY", "RUNNING"]


def test_a_unit_that_hangs_is_unhealthy(serve):
    unit, say = serve("200", readiness=dataclasses.replace(ASK, timeout_s=0.2))
    unit.until("RUNNING")
    say("hang")
    assert unit.until("UNHEALTHY").reason.endswith("no answer within 0.2 s")


def test_a_frozen_unit_is_unhealthy_and_well_again_when_it_goes_on(serve):
    unit, _ = serve("200", readiness=dataclasses.replace(ASK, timeout_s=0.2))
    main = psutil.Process(unit.until("RUNNING").pid)
    main.suspend()
    unit.until("UNHEALTHY")
    main.resume()
    unit.until("RUNNING")


def test_a_unit_that_is_stopping_is_not_asked_any_more(serve, tmp_path):
    """To an engine that ends its last requests, a question is one request more."""
    unit, say = serve("200")
    unit.until("RUNNING")
    say("503")  # nor does losing readiness now change anything
    unit.stop()
    assert unit.until("STOPPED").last == "exited with status 0"
    assert unit.states[-2:] == ["STOPPING", "STOPPED"]
    assert (tmp_path / "answer.asked").read_text() in ("", "asked\n")  # one was on its way


def test_a_unit_that_ended_is_not_asked_any_more(serve, address):
    unit, _ = serve("200")
    os.kill(unit.until("RUNNING").pid, signal.SIGKILL)
    unit.until("EXITED")
    with socket.create_server((address, PORT)) as listener:
        listener.settimeout(10 * ASK.period_s)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_unit_that_died_is_not_ready_whatever_answers_on_its_port(serve):
    # A question that was on its way at the kill may be refused before the end is known.
    unit, _ = serve("200", restart=AT_ONCE, readiness=dataclasses.replace(ASK, failures=5))
    os.kill(unit.until("RUNNING").pid, signal.SIGKILL)
    unit.until("RUNNING", lambda news: news.run == 2)
    assert unit.states[:4] == ["STARTING", "RUNNING", "BACKOFF", "STARTING"]


QUIET = dataclasses.replace(ASK, timeout_s=0.2, failures=2, quiet_s=0.4)


@pytest.fixture
def speak_while_asked(tmp_path, until):
    """Has a unit write lines until it was asked so often, which takes 0.02 s each at least."""

    def speak(unit, words, times):
        asked = tmp_path / "answer.asked"
        enough = len(asked.read_text().splitlines()) + times

        def said():
            with unit.log.open("a") as log:
                log.write(f"{words}\n")
            return len(asked.read_text().splitlines()) >= enough

        until(said, f"{times} questions")

    return speak


def test_a_unit_that_hangs_for_long_and_shows_no_work_is_started_again(serve):
    unit, say = serve("200", liveness=QUIET, restart=AT_ONCE)
    first = unit.until("RUNNING").pid
    say("hang")
    found = unit.ever(lambda news: news.event == "FoundDead")
    assert found.state == "STOPPING"
    assert "no answer within 0.2 s; no progress for" in found.reason
    say("200")
    assert unit.until("RUNNING", lambda news: news.run == 2).pid != first


def test_a_unit_that_fails_for_long_and_shows_work_is_left_alone(serve, speak_while_asked):
    unit, say = serve("200", liveness=QUIET, restart=AT_ONCE)
    pid = unit.until("RUNNING").pid
    say("503")
    unit.until("UNHEALTHY")
    speak_while_asked(unit, "Decode batch", 60)
    say("200")
    assert unit.until("RUNNING").pid == pid
    assert unit.states == ["STARTING", "RUNNING", "UNHEALTHY", "RUNNING"]


def test_a_unit_that_starts_has_as_long_as_its_output_grows(serve, speak_while_asked):
    startup = dataclasses.replace(ASK, deadline_s=0.3, limit_s=60.0, quiet_s=0.3)
    unit, say = serve("503", startup=startup, restart=AT_ONCE)
    unit.until("STARTING", lambda news: "HTTP" in news.detail)
    speak_while_asked(unit, "Loading shards", 40)
    say("200")
    unit.until("RUNNING")
    assert unit.states == ["STARTING", "RUNNING"]


def test_a_unit_that_starts_and_stays_silent_is_given_up_at_its_deadline(serve):
    startup = dataclasses.replace(ASK, deadline_s=0.3, limit_s=60.0, quiet_s=0.3)
    unit, _ = serve("503", startup=startup, restart=AT_ONCE, stop_s=0.1)
    ended = unit.ever(lambda news: news.state == "STOPPING")
    assert ended.reason == "not ready within 0.3 s, and no sign of progress for 0.3 s"


# -- stopped and continued ------------------------------------------------------------------------

SELDOM = dataclasses.replace(ASK, period_s=1000.0)


@pytest.mark.parametrize("readiness", [SELDOM, None], ids=["probed", "not probed"])
def test_a_stopped_unit_is_unhealthy_and_a_continued_one_ready_without_waiting_for_a_probe(
    serve, readiness
):
    unit, _ = serve("200", readiness=readiness)
    pid = unit.until("RUNNING").pid
    for _ in range(2):
        os.kill(pid, signal.SIGSTOP)
        seen = unit.until("UNHEALTHY")
        assert seen.reason == f"its process {pid} (python3) is stopped (state T)"
        os.kill(pid, signal.SIGCONT)
        unit.until("RUNNING", lambda news, seen=seen: news is not seen)
    assert unit.states.count("UNHEALTHY") == 2


def test_a_unit_that_is_stopped_while_it_starts_says_so(serve):
    unit, _ = serve("503", startup=dataclasses.replace(ASK, period_s=1000.0))
    pid = unit.until("STARTING", lambda news: news.detail).pid
    os.kill(pid, signal.SIGSTOP)
    unit.until("STARTING", lambda news: "is stopped (state T)" in news.detail)
