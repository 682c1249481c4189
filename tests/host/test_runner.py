"""Real units with real nasty children: each ends in the right state, and leaves nothing behind.

The fixture looks, after every test and from outside, that no process is left.
"""

import json
import os
import signal

import psutil
import pytest

from pdsup.plan.model import Restart, Stop

AT_ONCE = Restart(first_delay_s=0.0, delay_s=0.0, jitter=0.0, max_failures=4)


def hidden_and_main(unit):
    """The pids of the process that a child left behind, and of the main process."""
    main = unit.until("RUNNING").pid
    (hidden,) = set(unit.pids(2)) - {main}
    return hidden, main


# -- the plain life ----------------------------------------------------------------------------


def test_a_unit_without_probes_is_running_as_soon_as_its_process_lives(make, until):
    unit = make("sleep").start()
    process = psutil.Process(unit.until("RUNNING").pid)
    until(process.cmdline)  # the kernel lets the parent go on a moment before it shows the command
    assert process.cmdline()[-1] == "sleep"
    assert unit.states == ["STARTING", "RUNNING"]


def test_a_stop_ends_it_by_its_stop_signal(make, gone):
    unit = make("sleep").start()
    pid = unit.until("RUNNING").pid
    news = unit.stop().until("STOPPED")
    assert (news.last, news.pid) == ("killed by SIGTERM", None)
    assert gone(pid)


def test_a_stopped_unit_runs_again_when_it_is_started_again(make):
    unit = make("sleep").start()
    unit.until("RUNNING")
    unit.stop().start()
    news = unit.until("RUNNING", lambda news: news.run == 2)
    assert news.last == "killed by SIGTERM"


def test_a_unit_whose_process_ends_at_once_is_restarted_until_it_is_fatal(make):
    news = make("exits", "0", restart=AT_ONCE).start().until("FATAL")
    assert news.reason == "gave up after 4 failures, the last: exited with status 0"
    assert (news.run, news.pid, news.last) == (4, None, "exited with status 0")


def test_a_unit_that_may_end_is_exited_and_tells_how(make):
    news = make("exits", "7").start().until("EXITED")
    assert (news.reason, news.last) == ("exited with status 7", "exited with status 7")


def test_a_killed_unit_is_back_with_another_process(make, until, gone):
    unit = make("sleep", restart=AT_ONCE).start()
    first = unit.until("RUNNING").pid
    os.kill(first, signal.SIGKILL)
    news = unit.until("RUNNING", lambda news: news.run == 2)
    assert news.pid != first
    assert gone(first)
    assert unit.ever(lambda news: news.state == "BACKOFF").reason == "killed by SIGKILL"


def test_late_events_of_an_earlier_run_change_nothing(make):
    unit = make("sleep", restart=AT_ONCE).start()
    os.kill(unit.until("RUNNING").pid, signal.SIGKILL)
    pid = unit.until("RUNNING", lambda news: news.run == 2).pid
    unit.do("late", 1).do("late", 0).do("late", 3).stop()
    unit.until("STOPPED")
    assert not [news for news in unit.news if "late" in news.reason]
    assert unit.states[-3:] == ["RUNNING", "STOPPING", "STOPPED"]
    assert unit.news[-1].run == 2
    assert unit.ever(lambda news: news.run == 2).pid == pid


def test_many_units_that_are_killed_at_once_are_all_back(make, supervising):
    units = [make("/bin/sleep", "1000", restart=AT_ONCE).start() for _ in range(30)]
    first = {unit.until("RUNNING").pid for unit in units}
    supervising.do("crowd", [unit.name for unit in units])
    second = {unit.until("RUNNING", lambda news: news.run == 2).pid for unit in units}
    assert len(first | second) == 60


def test_a_planned_end_runs_the_drain_command_before_the_stop_signal(make, tmp_path):
    seen, log = tmp_path / "seen", tmp_path / "log"
    drain = ("/bin/sh", "-c", f"echo drains $WHO; kill -0 $(cat {seen}.pid) && touch {seen}")
    unit = make("sleep", log=log, stop=Stop(drain=drain), env={"WHO": "me"}).start()
    (tmp_path / "seen.pid").write_text(str(unit.until("RUNNING").pid))
    assert unit.stop().until("STOPPED").last == "killed by SIGTERM"
    assert seen.exists()
    assert "drains me" in log.read_text().splitlines()
    assert unit.ever(lambda news: "draining" in news.reason).state == "STOPPING"


@pytest.mark.parametrize("drain", [("sleep", "1000"), ("/no/such/program",)], ids=str)
def test_a_drain_that_fails_or_hangs_holds_up_no_end(make, drain, supervising, until):
    unit = make("sleep", stop=Stop(drain=drain, drain_timeout_s=0.2)).start()
    unit.until("RUNNING")
    assert unit.stop().until("STOPPED").last == "killed by SIGTERM"
    until(lambda: not supervising.children())  # it is killed, and nobody waits for its end


def test_a_drain_command_is_ended_when_its_unit_has_ended(make, until, gone, tmp_path):
    file = tmp_path / "drain.pid"
    drain = ("/bin/sh", "-c", f"echo $$ >{file}.new; mv {file}.new {file}; exec sleep 1000")
    unit = make("sleep", stop=Stop(drain=drain, drain_timeout_s=1000.0)).start()
    main = unit.until("RUNNING").pid
    unit.stop()
    until(file.exists)
    os.kill(main, signal.SIGKILL)
    unit.until("STOPPED")
    until(lambda: gone(int(file.read_text())))


# -- children that do not want to end ----------------------------------------------------------


def test_a_child_that_ignores_the_stop_signal_is_killed_at_the_deadline(make, gone):
    unit = make("ignores_term", "{file}", stop_s=0.2).start()
    (pid,) = unit.pids()
    news = unit.stop().until("STOPPED")
    assert news.last == "killed by SIGKILL"
    assert gone(pid)
    assert unit.ever(lambda news: news.state == "STOPPING" and "SIGKILL" in news.reason)


def test_a_child_that_takes_its_time_to_end_is_left_to_end(make):
    unit = make("drains", "{file}", "0.3").start()
    unit.pids()
    assert unit.stop().until("STOPPED").last == "exited with status 0"


def test_a_second_stop_in_a_hurry_kills_soon_what_had_more_time(make):
    unit = make("ignores_term", "{file}", stop_s=1000.0).start()
    unit.pids()
    unit.stop().until("STOPPING")
    assert unit.do("hurry", 0.1).until("STOPPED").last == "killed by SIGKILL"


def test_a_frozen_child_is_killed_at_the_deadline(make, until):
    unit = make("frozen", "{file}", stop_s=0.2).start()
    (pid,) = unit.pids()
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    assert unit.stop().until("STOPPED").last == "killed by SIGKILL"


@pytest.mark.parametrize("left", ["main process", "child"])
def test_a_unit_of_which_something_survives_sigkill_is_never_said_to_be_stopped(
    make, stranger, tmp_path, until, left
):
    go = tmp_path / "go"
    words = ["unkillable", "{file}", *([str(go)] if left == "child" else [])]
    unit = make(*words, stop_s=0.1, restart=AT_ONCE).start()
    (pid,) = unit.pids()
    tracer = stranger("holds", str(pid))
    if left == "child":
        go.touch()
        said = unit.until("UNHEALTHY", lambda news: news.reason)
        assert said.reason.startswith("main process exited with status 3; these survive SIGKILL")
        assert said.reason.endswith(f": pid {pid}")
    unit.stop()
    said = unit.until("STOPPING", lambda news: "SIGKILL" in news.reason)
    assert said.reason.startswith("stop requested; ")
    assert psutil.pid_exists(pid)
    tracer.kill()
    unit.until("STOPPED")
    assert "STOPPED" not in unit.states[:-1]
    assert unit.news[-1].run == 1


# -- children that leave others behind ---------------------------------------------------------

HIDING = [
    [],
    ["closed"],
    ["closed", "deaf"],
    ["cleared"],
    ["closed", "cleared"],
    ["renamed"],
    ["closed", "renamed", "deaf"],
]


@pytest.mark.parametrize("how", HIDING, ids="-".join)
def test_a_daemon_that_left_the_session_ends_with_its_unit(make, gone, how):
    unit = make("daemon", "{file}", *how).start()
    daemon, main = hidden_and_main(unit)
    assert os.getsid(daemon) != main
    unit.stop().until("STOPPED")
    assert gone(daemon, main)


@pytest.mark.parametrize("how", HIDING, ids="-".join)
def test_a_daemon_of_a_crashed_run_is_gone_before_the_next_begins(make, gone, until, how):
    unit = make("daemon", "{file}", *how, restart=AT_ONCE).start()
    daemon, main = hidden_and_main(unit)
    os.kill(main, signal.SIGKILL)
    unit.until("RUNNING", lambda news: news.run == 2)
    assert gone(daemon)
    until(lambda: len(unit.pids()) == 4)


def test_a_daemon_of_another_unit_is_left_alone(make, gone):
    one, other = (make("daemon", "{file}", "closed", "cleared").start() for _ in range(2))
    (daemon, _), (others, main) = hidden_and_main(one), hidden_and_main(other)
    one.stop().until("STOPPED")
    assert gone(daemon)
    assert psutil.pid_exists(others)
    assert psutil.pid_exists(main)
    assert other.states == ["STARTING", "RUNNING"]


def test_a_leader_that_ends_before_its_child_ends_the_unit_and_the_child(make, gone):
    unit = make("leader_first", "{file}").start()
    news = unit.until("EXITED")
    assert news.last == "exited with status 3"
    assert gone(*unit.pids())


def test_a_child_that_holds_stdout_open_does_not_hold_a_restart_up(make, gone):
    unit = make("leader_first", "{file}", "0", restart=AT_ONCE).start()
    assert unit.until("FATAL").run == 4
    assert gone(*unit.pids())


@pytest.mark.parametrize("kind", ["forks", "breeds"])
def test_children_that_fork_while_they_are_killed_are_all_ended(make, kind):
    unit = make(kind, "{file}", stop_s=0.1).start()
    unit.pids()
    assert unit.stop().until("STOPPED").last == "killed by SIGKILL"


def test_children_that_fork_are_all_ended_when_their_leader_crashes(make):
    unit = make("forks", "{file}", restart=AT_ONCE).start()
    _, main = hidden_and_main(unit)
    os.kill(main, signal.SIGKILL)
    unit.until("RUNNING", lambda news: news.run == 2)


def test_an_orphan_that_ends_while_its_unit_runs_is_no_zombie(make, until, gone):
    unit = make("daemon", "{file}", "closed").start()
    daemon, _ = hidden_and_main(unit)
    os.kill(daemon, signal.SIGKILL)
    until(lambda: gone(daemon))
    assert unit.states == ["STARTING", "RUNNING"]


# -- children that change ----------------------------------------------------------------------


def test_a_child_that_becomes_another_program_is_still_its_unit(make, until, gone):
    unit = make("executes", "{file}").start()
    (pid,) = unit.pids()
    until(lambda: psutil.Process(pid).name() == "sleep")
    assert unit.news[-1].state == "RUNNING"
    unit.stop().until("STOPPED")
    assert gone(pid)


def test_a_child_that_changes_its_name_and_title_is_still_its_unit(make, gone):
    unit = make("renamed", "{file}", stop_s=0.1).start()
    (pid,) = unit.pids()
    unit.stop().until("STOPPED")
    assert gone(pid)


def test_a_child_that_floods_its_output_is_not_held_up_and_ends(make, until):
    unit = make("floods", "{file}").start()
    until(lambda: unit.log.exists() and unit.log.stat().st_size > 5_000_000)
    assert unit.stop().until("STOPPED").last == "killed by SIGTERM"


# -- what a child is given ---------------------------------------------------------------------


def test_a_child_gets_a_session_of_its_own_nothing_inherited_and_a_mark(make, until):
    unit = make("tells", "{file}", env={"ENGINE": "yes"}).start()
    facts = json.loads(until(lambda: unit.file.exists() and unit.file.read_text()))
    assert facts["session"] == facts["pid"] == unit.news[-1].pid
    assert facts["stdin"] == "/dev/null"
    assert [
        number for number in facts["descriptors"] if number > 3
    ] == []  # 3 is the one that looks
    assert facts["environ"]["ENGINE"] == "yes"
    assert facts["environ"]["PDSUP_RUN"] == f"test/{unit.name}/1"


# -- children that can't be started ------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("/no/such/engine", "No such file or directory"),
        ("/etc/passwd", "Permission denied: it is not executable (chmod +x)"),
    ],
)
def test_a_program_that_can_not_be_started_is_fatal_at_once_and_named(make, program, why):
    unit = make(program).start()
    news = unit.until("FATAL")
    told = f"cannot start: {program}: {why}; not restarted: it would fail the same way again"
    assert news.reason == told
    assert (news.run, news.pid, news.last) == (0, None, None)
    assert "BACKOFF" not in {one.state for one in unit.news}


def test_a_program_that_has_worked_before_is_tried_again(make, tmp_path):
    program = tmp_path / "engine"
    program.symlink_to("/bin/sleep")
    unit = make(str(program), "1000", restart=Restart(first_delay_s=0.0, delay_s=0.05, jitter=0.0))
    unit.start().until("RUNNING")
    program.unlink()
    unit.supervising.do("crowd", [unit.name])
    said = unit.ever(lambda news: news.state == "BACKOFF" and "cannot start" in news.reason)
    assert said.reason == f"cannot start: {program}: No such file or directory"
    program.symlink_to("/bin/sleep")
    unit.until("RUNNING", lambda news: news.run > 1)


def test_preparations_that_will_never_succeed_are_fatal(make):
    unit = make("sleep", restart=Restart(first_delay_s=0.0, delay_s=0.05, jitter=0.0))
    unit.do("refuse", "no nginx", True).start()
    said = unit.until("FATAL")
    assert said.reason == "cannot start: no nginx; not restarted: it would fail the same way again"


def test_preparations_that_fail_are_a_reason_not_to_start(make, until):
    unit = make("sleep", restart=Restart(first_delay_s=0.0, delay_s=0.05, jitter=0.0))
    unit.do("refuse", "cannot run nginx: no program nginx").start()
    said = unit.ever(lambda news: news.state == "BACKOFF")
    assert said.reason == "cannot start: cannot run nginx: no program nginx"
    unit.do("refuse", None).until("RUNNING", lambda news: news.run == 1)
