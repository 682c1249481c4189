"""What is painted on a real terminal: the live view and the bars of a wait."""

import os
import re
import signal

import pytest

GREEN = re.compile(rb"\x1b\[[0-9;]*32m")
ENTERS_SCREEN, LEAVES_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def test_the_live_view_follows_what_happens_and_leaves_the_terminal_as_it_was(
    agents, terminal, wait_for
):
    slow = {"first_delay_s": 1000.0, "delay_s": 1000.0}
    agents.start(agents.plan(agents.unit("a", restart=slow), agents.unit("b")))
    pid = agents.reaches("RUNNING", "a")["pid"]
    view = terminal("status", "--watch")
    wait_for(lambda: view.shows("RUNNING"))
    assert ENTERS_SCREEN in view.seen
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: view.shows("killed by SIGKILL"))
    view.process.send_signal(signal.SIGINT)
    assert view.process.wait(60) == 130
    wait_for(lambda: view.shows(LEAVES_SCREEN.decode()))
    assert b"Traceback" not in view.seen


def test_keys_explain_a_unit_show_its_log_go_back_and_quit(agents, terminal, wait_for):
    agents.start(agents.plan(agents.unit("a", "sh", "-c", "echo words; exec sleep 1000")))
    agents.reaches("RUNNING", "a")
    view = terminal("status", "--watch")
    before = view.modes()
    wait_for(lambda: view.shows("enter explains"))
    assert view.modes() != before
    for keys, text in ((b"\r", "a: explanation"), (b"l", "a: log"), (b"", "words")):
        view.press(keys)
        wait_for(lambda: view.shows(text))  # noqa: B023
    view.seen = b""
    view.press(b"\x1b")
    wait_for(lambda: view.shows("enter explains"))
    view.press(b"q")
    assert view.process.wait(60) == 0
    wait_for(lambda: view.shows(LEAVES_SCREEN.decode()))
    assert view.modes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_whatever_ends_the_live_view(agents, terminal, wait_for, number):
    agents.start(agents.plan(agents.unit("a")))
    view = terminal("status", "--watch")
    before = view.modes()
    wait_for(lambda: view.shows("enter explains"))
    view.process.send_signal(number)
    view.process.wait(60)
    wait_for(lambda: view.shows(LEAVES_SCREEN.decode()))
    assert view.modes() == before


def test_the_live_view_outlives_the_agent_and_says_so(agents, terminal, wait_for):
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    view = terminal("status", "--watch")
    wait_for(lambda: view.shows("RUNNING"))
    agents.signal(signal.SIGTERM)
    agents.ended()
    wait_for(lambda: view.shows("no agent answers"))
    assert view.process.poll() is None


def test_a_wait_on_a_terminal_shows_a_bar_and_clears_it_at_the_end(agents, terminal, wait_for):
    agents.start(agents.plan(agents.listener("worker", delay=1.0)))
    view = terminal("wait")
    wait_for(lambda: view.shows("0/1"))
    assert view.process.wait(60) == 0
    wait_for(lambda: view.shows("\x1b[2K"))


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("words", [["status", "--watch"], ["status"], ["events"], ["doctor"]])
def test_colours_are_shown_unless_they_are_not_wanted(agents, terminal, wait_for, words, wanted):
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    agents.journal()  # has it too
    view = terminal(*words, **({} if wanted else {"NO_COLOR": "1"}))
    wait_for(lambda: view.shows("ok" if words == ["doctor"] else "RUNNING"))
    if "--watch" not in words:
        view.process.wait(60)
        view.shows("")
    assert (GREEN.search(view.seen) is not None) is wanted


@pytest.mark.parametrize("words", [["wait"], ["status", "--watch"]])
def test_a_terminal_that_can_not_be_painted_on_gets_lines(agents, terminal, wait_for, words):
    agents.start(agents.plan(agents.listener("worker", delay=1000.0)))
    agents.reaches("STARTING", "worker")
    view = terminal(*words, TERM="dumb")
    wait_for(lambda: view.shows("STARTING"))
    assert b"\x1b" not in view.seen


def test_a_live_view_that_is_no_terminal_lists_each_change(agents, pdsup_goes_on, wait_for):
    slow = {"first_delay_s": 1000.0, "delay_s": 1000.0}
    agents.start(agents.plan(agents.unit("a", restart=slow)))
    pid = agents.reaches("RUNNING", "a")["pid"]
    text, values = (pdsup_goes_on("status", "--watch", *more) for more in ([], ["--json"]))
    for process in (text, values):
        wait_for(lambda: "RUNNING" in process.said.read_text())  # noqa: B023
    os.kill(pid, signal.SIGKILL)
    for process in (text, values):
        wait_for(lambda: "killed by SIGKILL" in process.said.read_text())  # noqa: B023
    assert "\x1b" not in text.said.read_text()


@pytest.mark.parametrize("words", [[], ["nono"]])
def test_a_live_view_of_nothing_ends_at_once(agents, pdsup, words):
    if words:
        agents.start(agents.plan(agents.unit("a")))
    done = pdsup("status", "--watch", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
