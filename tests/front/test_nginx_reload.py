"""The reloader with a fake nginx and the real one: what holds for one holds for the other."""

import asyncio
import os
import shutil
import signal
import stat
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest
import uvloop

from pdsup.errors import SupervisorError
from pdsup.front import nginx_generation as verifying
from pdsup.front import nginx_reload as reloading
from pdsup.front.nginx_conf import Upstream, render
from pdsup.front.nginx_reload import Live

pytestmark = pytest.mark.processes

R0 = Upstream("router-0", "127.0.0.1", 1)
R1 = Upstream("router-1", "127.0.0.1", 2)
NOWHERE = Upstream("router-9", "nowhere.invalid", 30080)


def wanted(*upstreams):
    return frozenset(upstreams)


async def started(bench, *upstreams):
    """nginx runs and is known to balance over these."""
    bench.reloader.want(wanted(*upstreams))
    bench.start()
    return await bench.until_live(*(upstream.name for upstream in upstreams))


@pytest.fixture
def hanging(bench, tmp_path):
    """Makes ``nginx -t`` hang until SIGUSR1; call it to wait for its pid."""
    pipe, program = tmp_path / "pid", tmp_path / "hanging-nginx"
    os.mkfifo(pipe)
    wait = "signal.sigwait({signal.SIGUSR1})"
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})"
    tell = f"open({str(pipe)!r}, 'w').write(str(os.getpid()))"
    version = "sys.argv[1] == '-v' and sys.exit('nginx version: nginx/1.22.1')"
    lines = ("import os, signal, sys", version, block, tell, wait)
    program.write_text("\n".join((f"#!{sys.executable} -IS", *lines)))
    program.chmod(stat.S_IRWXU)
    bench.reloader._binary = str(program)
    return lambda: asyncio.to_thread(lambda: int(pipe.read_text()))


async def test_a_started_nginx_is_live_without_a_reload(bench):
    live = await started(bench, R0)
    assert live == Live(wanted("router-0"), render(bench.settings, [R0]).generation)
    assert bench.reloads == 0


async def test_a_wanted_router_becomes_live_by_one_reload(bench):
    await started(bench)
    bench.reloader.want(wanted(R0, R1))
    live = await bench.until_live("router-0", "router-1")
    assert live.generation == render(bench.settings, [R0, R1]).generation
    assert bench.conf.read_text() == render(bench.settings, [R0, R1]).text
    assert bench.reloads == 1


async def test_a_burst_of_twenty_changes_makes_at_most_two_reloads(bench):
    await started(bench)
    for port in range(1, 21):
        bench.reloader.want(wanted(Upstream(f"router-{port}", "127.0.0.1", port)))
        await bench.turn()  # the reloader may begin with any of them
    await bench.until_live("router-20")
    assert 1 <= bench.reloads <= 2


async def test_a_set_that_is_live_already_is_not_reloaded(bench):
    await started(bench, R0)
    for upstreams in (wanted(R0), wanted(R0, R1), wanted(R0)):
        bench.reloader.want(upstreams)
    bench.reloader.want(wanted(R1))
    await bench.until_live("router-1")
    assert bench.reloads == 1


async def test_a_refused_configuration_leaves_the_old_one_live_and_tells_why(bench):
    before = await started(bench, R0)
    bench.reloader.want(wanted(R0, NOWHERE))
    live = await bench.hear(lambda live: live.error)
    assert (live.upstreams, live.generation) == (before.upstreams, before.generation)
    rejected = bench.conf.with_name("nginx.conf.rejected")
    assert live.error.startswith('cannot reload nginx: host not found in upstream "nowhere.invalid')
    assert f"{rejected}:" in live.error
    assert rejected.read_text() == render(bench.settings, [R0, NOWHERE]).text
    assert bench.conf.read_text() == render(bench.settings, [R0]).text
    assert bench.reloads == 0


async def test_a_good_configuration_after_a_refused_one_clears_the_error(bench):
    await started(bench, R0)
    bench.reloader.want(wanted(NOWHERE))
    await bench.hear(lambda live: live.error)
    bench.reloader.want(wanted(R1))
    assert (await bench.until_live("router-1")).error is None
    assert sorted(path.name for path in bench.conf.parent.iterdir()) == ["nginx.conf"]


async def test_going_back_after_a_refused_configuration_needs_no_reload(bench):
    before = await started(bench, R0)
    bench.reloader.want(wanted(NOWHERE))
    await bench.hear(lambda live: live.error)
    bench.reloader.want(wanted(R0))
    assert await bench.until_live("router-0") == before
    assert bench.reloads == 0


async def test_a_refused_configuration_is_tried_again(bench, monkeypatch):
    monkeypatch.setattr(reloading, "RETRY_S", 0.05)
    await started(bench, R0)
    bench.reloader.want(wanted(NOWHERE))
    await bench.hear(lambda live: live.error)
    rejected = bench.conf.with_name("nginx.conf.rejected")
    rejected.unlink()
    await bench.until(rejected.exists)


async def test_nginx_restarts_with_the_configuration_before_the_refused_one(bench):
    await started(bench, R0)
    bench.reloader.want(wanted(NOWHERE))
    await bench.hear(lambda live: live.error)
    bench.kill()
    bench.reloader.prepare()
    assert bench.conf.read_text() == render(bench.settings, [R0]).text


async def test_while_nginx_does_not_run_nothing_is_done_and_its_start_takes_the_latest(bench):
    bench.reloader.prepare()
    for upstreams in (wanted(R0), wanted(R0, R1)):
        bench.reloader.want(upstreams)
        await bench.turn()
    bench.start()
    await bench.until_live("router-0", "router-1")
    assert bench.reloads == 0
    assert bench.said.empty()


async def test_the_end_of_nginx_voids_what_was_known(bench):
    await started(bench, R0)
    bench.kill()
    assert await bench.hear(lambda live: not live.generation) == Live()


async def test_a_restarted_nginx_is_live_at_once_with_what_is_wanted_now(bench):
    await started(bench, R0)
    bench.kill()
    bench.reloader.want(wanted(R1))
    bench.start()
    await bench.until_live("router-1")
    assert bench.reloads == 0


async def test_a_change_while_nginx_starts_is_live_in_the_end(bench):
    bench.reloader.want(wanted(R0))
    bench.start()
    bench.reloader.want(wanted(R1))
    await bench.until_live("router-1")
    assert bench.reloads == 1


async def test_an_nginx_that_runs_already_is_recognised_without_a_reload(bench):
    bench.reloader.want(wanted(R0))
    bench.reloader.prepare()
    bench.master.start()
    bench.reloader.master_changed()  # as an agent does that came back to a running nginx
    await bench.until_live("router-0")
    bench.reloader.master_changed()
    assert await bench.hear(lambda live: True) == Live()
    await bench.until_live("router-0")
    assert bench.reloads == 0


async def test_a_restart_in_the_middle_of_a_verification_voids_it(bench):
    await started(bench)
    bench.reloader.want(wanted(R0))
    await bench.until(lambda: bench.reloads == 1)
    bench.kill()
    bench.start()
    assert await bench.hear(lambda live: True) == Live()
    await bench.until_live("router-0")


async def test_a_restart_in_the_middle_of_a_test_run_gets_no_reload_it_is_not_ready_for(
    bench, hanging
):
    await started(bench)
    bench.reloader.want(wanted(R0))
    pid = await hanging()
    bench.kill()
    bench.start()
    os.kill(pid, signal.SIGUSR1)
    await bench.until_live("router-0")
    assert bench.reloads == 0


async def test_nothing_of_the_test_run_by_nginx_is_left(bench):
    before = {child.pid for child in psutil.Process().children()}
    await started(bench)
    bench.reloader.want(wanted(R0))
    await bench.until_live("router-0")
    now = psutil.Process().children()
    children = [child.name() for child in now if child.pid not in before]
    assert children in ([], ["nginx"])  # the master itself is a child of the test


@pytest.fixture
def deaf(bench, monkeypatch):
    """An nginx that does not reload, for whatever reason."""
    monkeypatch.setattr(verifying, "VERIFY_S", 0.4)
    monkeypatch.setattr(reloading, "RETRY_S", 0.05)
    honest = bench.master.signal
    bench.reloader._signal_master = lambda number: honest(0)
    return honest


async def test_a_reload_that_does_not_happen_is_told_and_tried_again(bench, deaf):
    before = await started(bench, R0)
    bench.reloader.want(wanted(R1))
    live = await bench.hear(lambda live: live.error)
    assert f"says {before.generation}, not " in live.error
    assert live.generation is None
    bench.reloader._signal_master = deaf
    await bench.until_live("router-1")
    assert bench.reloads == 1


async def test_going_back_after_a_reload_that_did_not_happen_leaves_nothing_to_chance(bench, deaf):
    await started(bench, R0)
    bench.reloader.want(wanted(R1))
    await bench.hear(lambda live: live.error)
    bench.reloader._signal_master = deaf
    bench.reloader.want(wanted(R0))
    await bench.until_live("router-0")
    assert bench.conf.read_text() == render(bench.settings, [R0]).text


async def test_a_missing_nginx_is_told_with_what_to_do(bench):
    bench.reloader._binary = "no-such-nginx"
    with pytest.raises(SupervisorError, match="no program no-such-nginx on the PATH"):
        bench.reloader.prepare()


async def test_an_nginx_that_vanishes_while_it_runs_is_told(bench):
    before = await started(bench, R0)
    bench.reloader._binary = "no-such-nginx"
    bench.reloader.want(wanted(R1))
    live = await bench.hear(lambda live: live.error)
    assert "no program no-such-nginx on the PATH" in live.error
    assert live.upstreams == before.upstreams


async def test_a_directory_that_can_not_be_made_is_told_with_what_to_do(bench):
    bench.conf.parent.write_text("a file is in the way")
    with pytest.raises(SupervisorError, match=f"cannot write {bench.conf.parent}: .*; nginx needs"):
        bench.reloader.prepare()


async def test_a_directory_that_can_not_be_made_again_is_told_and_nginx_keeps_running(bench):
    before = await started(bench, R0)
    bench.conf.parent.rename(bench.conf.parent.with_name("elsewhere"))
    bench.conf.parent.touch()
    bench.reloader.want(wanted(R1))
    live = await bench.hear(lambda live: live.error)
    assert live.error.startswith(f"cannot write {bench.conf.parent}: File exists")
    assert live.upstreams == before.upstreams
    assert bench.reloads == 0


async def test_a_test_run_that_hangs_is_ended_and_told(bench, hanging, monkeypatch):
    monkeypatch.setattr(reloading, "TEST_S", 0.1)
    await started(bench)
    bench.reloader.want(wanted(R0))
    pid = await hanging()
    assert "nginx -t took over 0.1 s" in (await bench.hear(lambda live: live.error)).error
    assert not psutil.pid_exists(pid)


async def test_cancelling_the_reloader_ends_its_test_run(bench, hanging):
    await started(bench)
    bench.reloader.want(wanted(R0))
    pid = await hanging()
    bench.task.cancel()
    await asyncio.wait([bench.task], timeout=60)
    assert not psutil.pid_exists(pid)


def test_it_works_on_uvloop(tmp_path, run_bench):
    async def main():
        async with aiohttp.ClientSession() as http, run_bench(tmp_path, http) as bench:
            await started(bench)
            bench.reloader.want(wanted(R0))
            await bench.until_live("router-0")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_people_find_a_copy_of_what_nginx_runs_and_of_what_it_refused(bench):
    copy = bench.copy
    await started(bench, R0)
    await bench.until(lambda: copy.is_file() and copy.read_text() == bench.conf.read_text())
    bench.reloader.want(wanted(NOWHERE))
    await bench.hear(lambda live: live.error)
    refused = copy.with_name("nginx.conf.rejected")
    await bench.until(lambda: refused.is_file() and refused.read_text())
    bench.reloader.want(wanted(R1))
    await bench.until_live("router-1")
    await bench.until(lambda: copy.read_text() == bench.conf.read_text())
    await bench.until(lambda: not refused.exists())


@pytest.mark.parametrize("hindrance", ["a file", "a named pipe"])
async def test_nginx_follows_its_routers_where_no_copy_can_be_written(bench, hindrance):
    if hindrance == "a file":
        bench.copy.parent.touch()
    else:
        bench.copy.parent.mkdir()
        os.mkfifo(bench.copy)
    await started(bench, R0)
    bench.reloader.want(wanted(R1))
    assert (await bench.until_live("router-1")).error is None


@pytest.mark.parametrize("what", ["conf", "temporary"])
async def test_what_was_removed_of_its_files_is_made_again(bench, what):
    await started(bench, R0)
    prefix = Path(bench.settings.prefix)
    gone = [bench.conf.parent] if what == "conf" else [prefix / d for d in reloading.TEMPORARY]
    for path in gone:
        shutil.rmtree(path)
    bench.reloader.look_again()
    await bench.until(lambda: bench.conf.is_file() and all(path.is_dir() for path in gone))
    bench.reloader.want(wanted(R1))
    await bench.until_live("router-1")
