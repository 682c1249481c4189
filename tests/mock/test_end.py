"""How workers end: drains, signals, and what is left behind."""

import os
import signal

CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "why"}], "max_tokens": 100}


def test_an_idle_worker_ends_by_sigterm_in_code_0_and_leaves_nothing(crew, until):
    worker = crew.prefill().until_up()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    until(lambda: not worker.has_children_left())


def test_sigterm_lets_running_requests_finish_and_refuses_others(crew, until):
    worker = crew.start(token_seconds=0.05, drain_poll_seconds=0.001).until_up()
    with worker.stream(CHAT, QUESTION) as events:
        next(events)
        worker.fault(hang="engine")  # holds the request as long as the test needs
        worker.signal(signal.SIGTERM)
        until(lambda: worker.status("/health") == 503)
        assert worker.post(CHAT, QUESTION)[0] == 503
        worker.fault(hang="none", token_seconds=0)
        *_, last = events
    assert last == "[DONE]"
    assert worker.exit_code() == 0


def test_an_old_worker_ends_its_drain_by_sigkill(crew):
    worker = crew.start(clean_exit="sigkill").until_up()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == -signal.SIGKILL


def test_an_unhealthy_worker_does_not_drain(crew):
    worker = crew.start(SGLANG_HEALTH_CHECK_TIMEOUT="0.1").until_up()
    worker.fault(hang="engine", drain_poll_seconds=60)
    assert worker.status("/health") == 503
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


def test_a_forced_shutdown_does_not_drain(crew):
    worker = crew.start(SGL_FORCE_SHUTDOWN="1", drain_poll_seconds=60).until_up()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


def test_a_worker_that_loads_dies_by_sigterm(crew, until):
    worker = crew.prefill(load_seconds="inf")
    until(lambda: worker.status("/health", 30001))
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == -signal.SIGTERM


def test_a_worker_can_ignore_sigterm(crew):
    worker = crew.start(ignore_term=1).until_up()
    worker.signal(signal.SIGTERM)
    assert worker.status("/health") == 200


def test_ctrl_c_needs_no_traceback(crew):
    worker = crew.start().until_up()
    worker.signal(signal.SIGINT)
    assert worker.exit_code() == -signal.SIGINT


def test_another_rank_dies_by_sigterm(crew, until):
    _, member = crew.gang({}, {})
    until(lambda: member.status("/health") == 200)
    member.signal(signal.SIGTERM)
    assert member.exit_code() == -signal.SIGTERM


def test_another_rank_stays_when_rank_0_has_drained(crew, until):
    leader, member = crew.gang({}, {})
    until(lambda: member.status("/health") == 200)
    leader.until_up().signal(signal.SIGTERM)
    assert leader.exit_code() == 0
    assert member.status("/health") == 200


def test_a_newer_rank_ignores_sigterm_until_rank_0_has_drained(crew, until):
    leader, member = crew.gang({}, {"rank_term": "waits"})
    leader.until_up()
    until(lambda: member.status("/health") == 200)
    member.signal(signal.SIGTERM)
    assert member.status("/health") == 200
    leader.signal(signal.SIGTERM)
    assert [worker.exit_code() for worker in (leader, member)] == [0, 0]


def test_a_killed_worker_takes_its_child_along(crew, until):
    worker = crew.start().until_up()
    assert len(worker.children) == 1
    worker.signal(signal.SIGKILL)
    until(lambda: not worker.has_children_left())


def test_a_sigterm_to_the_whole_tree_breaks_the_drain(crew):
    worker = crew.start(drain_poll_seconds=60).until_up()
    worker.signal(signal.SIGTERM)
    worker.children[0].terminate()
    assert worker.exit_code() == -signal.SIGKILL


def test_a_worker_outlives_the_reader_of_its_output(crew):
    reading, writing = os.pipe()
    worker = crew.start(out=writing)
    os.close(writing)
    os.close(reading)
    worker.until_up().signal(signal.SIGTERM)
    assert worker.exit_code() == 0
