"""Every fault on demand, by variable or while running."""

import asyncio
import http.client
import json
import signal

import psutil
import pytest

from pdsup.mock import faults
from pdsup.mock.faults import Faults
from pdsup.mock.knobs import Knobs

CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "why"}], "max_tokens": 4}


@pytest.fixture
def worker(crew):
    """For faults that end it."""
    return crew.start(SGLANG_HEALTH_CHECK_TIMEOUT="0.1").until_up()


@pytest.fixture(scope="module")
def survivor(shared):
    return shared.start(SGLANG_HEALTH_CHECK_TIMEOUT="0.1").until_up()


@pytest.fixture
def steady(survivor):
    """For faults that it survives; the next test gets it without them."""
    before = json.loads(survivor.get("/mock/faults")[1])
    yield survivor
    survivor.fault(**before)


def is_hung(worker, path=CHAT):
    """Whether a request is accepted and not answered for a while."""
    try:
        worker.ask("POST" if path == CHAT else "GET", path, QUESTION, timeout=0.2)
    except TimeoutError:
        return True
    return False


def test_knobs_are_shown_and_changed_by_name(steady):
    assert steady.fault(token_seconds=0.5, exit_code=3)["token_seconds"] == 0.5
    shown = json.loads(steady.get("/mock/faults")[1])
    assert (shown["exit_code"], shown["exit_after_seconds"]) == (3, "inf")
    assert steady.fault(token_seconds=None)["token_seconds"] == 0


@pytest.mark.parametrize("body", [{"nothing": 1}, {"hang": "maybe"}, 5], ids=str)
def test_a_bad_change_gets_a_400_and_changes_nothing(steady, body):
    before = steady.get("/mock/faults")
    assert steady.post("/mock/faults", body)[0] == 400
    assert steady.ask("POST", "/mock/faults")[0] == 400
    assert steady.get("/mock/faults") == before


def test_so_many_requests_fail_and_then_no_more(steady):
    steady.fault(error_requests=2)
    assert [steady.post(CHAT, QUESTION)[0] for _ in range(3)] == [500, 500, 200]
    steady.fault(error_requests=1, error_status=400)
    assert [steady.post(CHAT, QUESTION)[0] for _ in range(2)] == [400, 200]


def test_an_answer_breaks_off_when_the_worker_dies_in_it(worker):
    worker.fault(die_after_tokens=2)
    seen = []
    with (
        pytest.raises((http.client.IncompleteRead, ConnectionError)),
        worker.stream(CHAT, QUESTION) as events,
    ):
        seen.extend(events)
        raise ConnectionError("the end of a cut stream came without an error")
    assert worker.exit_code() == -signal.SIGKILL
    assert len(seen) == 2


def test_a_hung_engine_fails_its_health_until_it_moves_again(steady):
    steady.fault(hang="engine")
    assert steady.status("/health") == 503
    assert steady.status("/server_info") == 200
    assert is_hung(steady)
    steady.fault(hang=None)
    assert steady.status("/health") == 200


def test_a_hung_server_takes_connections_and_answers_none(steady):
    steady.fault(hang="http")
    assert is_hung(steady, "/health")
    assert is_hung(steady)
    steady.fault(hang="none")
    assert steady.status("/health") == 200


def test_the_watchdog_kills_a_worker_whose_requests_hang(crew):
    worker = crew.start("--watchdog-timeout", "0.2").until_up()
    worker.fault(hang="engine")
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        worker.ask("POST", CHAT, QUESTION)
    assert worker.exit_code() == -signal.SIGKILL


def test_a_health_status_can_be_forced_for_a_while(steady, until):
    steady.fault(health_status=500)
    assert steady.status("/health") == 500
    assert steady.post(CHAT, QUESTION)[0] == 200
    steady.fault(health_status_seconds=0.05)
    until(lambda: steady.status("/health") == 200)


def test_a_plain_health_asks_no_engine(crew):
    worker = crew.start(SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION="0").until_up()
    worker.fault(hang="engine")
    assert worker.status("/health") == 200


def test_health_takes_its_time(steady):
    steady.fault(health_seconds=60)
    assert steady.status("/health") == 503  # its timeout of 0.1 s came first


def test_a_worker_exits_after_a_time_with_a_code(crew, worker):
    assert crew.start(exit_after_seconds=0, exit_code=7).exit_code() == 7
    worker.fault(exit_after_seconds=0.01, exit_code=3)
    assert worker.exit_code() == 3


async def test_the_last_word_about_a_timed_fault_counts(monkeypatch):
    happened, end = [], asyncio.Event()
    monkeypatch.setitem(faults.TIMED, "freeze_after_seconds", lambda _: happened.append("froze"))
    monkeypatch.setitem(faults.TIMED, "exit_after_seconds", lambda _: end.set())
    held = Faults(Knobs(), None)
    held.change({"freeze_after_seconds": 0.01, "exit_after_seconds": 0.02})
    held.change({"freeze_after_seconds": None})
    async with asyncio.timeout(60):
        await end.wait()
    assert happened == []


def test_a_worker_kills_itself_by_a_signal(worker):
    worker.fault(exit_after_seconds=0.01)
    assert worker.exit_code() == -signal.SIGKILL


def test_a_frozen_worker_thaws_by_sigcont(worker, until):
    worker.fault(freeze_after_seconds=0.01)
    until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
    assert is_hung(worker, "/health")
    worker.signal(signal.SIGCONT)
    assert worker.status("/health") == 200


def test_a_worker_whose_scheduler_dies_dies_too(worker):
    worker.fault(scheduler_dies_after_seconds=0.01)
    assert worker.exit_code() == -signal.SIGKILL


def test_a_scheduler_that_dies_while_loading_ends_the_worker_in_code_1(crew):
    assert crew.start(load_seconds="inf", scheduler_dies_after_seconds=0).exit_code() == 1


def test_a_worker_may_hang_without_its_scheduler(crew, until):
    timeout = {"SGLANG_HEALTH_CHECK_TIMEOUT": "0.1"}
    worker = crew.start(scheduler_death="hangs", **timeout).until_up()
    worker.children[0].kill()
    until(lambda: worker.status("/health") == 503)
    assert is_hung(worker)


def test_a_zombie_service_is_healthy_without_its_scheduler(crew, until):
    worker = crew.start(scheduler_death="zombie").until_up()
    worker.children[0].kill()
    until(lambda: is_hung(worker))
    assert worker.status("/health") == 200


def test_a_worker_can_do_without_a_scheduler(crew):
    assert crew.start(scheduler=0).until_up().children == []


def test_faults_may_hold_for_the_first_life_only(crew, tmp_path):
    faults = {"faults_once": tmp_path / "mark", "exit_after_seconds": 0, "exit_code": 5}
    assert crew.start(**faults).exit_code() == 5
    assert (tmp_path / "mark").exists()
    assert crew.start(**faults).until_up().exited() is None
