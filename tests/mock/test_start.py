"""What opens when, until a worker is up; and the ways not to get there."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack

import pytest

from pdsup.mock import peers
from pdsup.mock.options import Address

BOOTSTRAP, RENDEZVOUS = 30001, 29500
ROUTE = "/route?prefill_dp_rank=-1&prefill_cp_rank=-1&target_tp_rank=-1&target_pp_rank=-1"


def test_the_bootstrap_port_opens_while_the_weights_still_load(crew, until):
    prefill = crew.prefill(load_seconds="inf")
    assert until(lambda: prefill.status("/health", BOOTSTRAP)) == 200
    assert prefill.get("/health", port=BOOTSTRAP)[1] == "OK"
    assert prefill.get(ROUTE, port=BOOTSTRAP) == (503, "not fully registered yet (0)")
    assert prefill.status("/health") is None


def test_the_port_opens_before_the_health_is_good(crew, until):
    prefill = crew.prefill(warmup_seconds="inf")
    assert until(lambda: prefill.status("/health")) == 503
    assert prefill.status("/health_generate") == prefill.status("/ready") == 503
    assert prefill.status("/model_info") == prefill.status("/ping") == 200
    assert prefill.status(ROUTE, BOOTSTRAP) == 200


def test_after_the_warm_up_everything_is_good(pair):
    prefill, decode = pair
    for worker in pair:
        for path in ("/health", "/health_generate", "/ready", "/ping"):
            assert worker.status(path) == 200
    layout = json.loads(prefill.get(ROUTE, port=BOOTSTRAP)[1])
    assert layout.items() >= {"page_size": 1, "kv_cache_dtype": "auto"}.items()
    assert decode.status("/health", BOOTSTRAP) is None


def test_a_bootstrap_port_that_is_taken_does_not_stop_a_prefill(crew, address, listener):
    host = address()
    listener(host, BOOTSTRAP)
    assert crew.prefill(host=host).until_up().status("/health") == 200
    assert crew.prefill(busy_port="bootstrap").until_up().status("/health", BOOTSTRAP) is None


def test_a_port_that_is_taken_ends_the_worker_in_code_1(crew, address, listener):
    host = address()
    listener(host, 30000)
    for worker in (crew.start(host=host), crew.start(busy_port="http")):
        assert worker.exit_code() == 1


def test_a_load_that_runs_out_of_gpu_memory_ends_in_code_1(crew):
    assert crew.start(load_fault="cuda-oom").exit_code() == 1


def test_a_bad_variable_ends_in_code_2_and_is_named(crew):
    workers = [crew.start(load_seconds="soon"), crew.start(SGLANG_HEALTH_CHECK_TIMEOUT="soon")]
    assert [worker.exit_code() for worker in workers] == [2, 2]
    for worker, name in zip(workers, ("MOCK_LOAD_SECONDS", "SGLANG_HEALTH"), strict=True):
        assert name in worker.log.read_text()


def test_a_load_prints_progress_unless_it_is_silent(crew):
    talking, silent = crew.start(load_seconds=0.2), crew.start(load_seconds=0.2, silent_load=1)
    sizes = [len(worker.until_up().log.read_text().splitlines()) for worker in (talking, silent)]
    assert sizes[0] > sizes[1] + 5


def test_a_gang_opens_no_port_until_all_ranks_are_there(crew, until):
    waiting = crew.gang({"gang_seconds": 0.3}, {"exit_after_seconds": 0, "exit_code": 0})[0]
    assert waiting.exit_code() == 1
    leader, member = crew.gang({}, {})
    assert until(lambda: member.status("/health")) == 200
    assert leader.until_up().status(ROUTE, BOOTSTRAP) == 200


def test_a_prefill_is_registered_when_its_last_rank_has_loaded(crew, until):
    leader, _ = crew.gang({}, {"load_seconds": "inf"})
    assert until(lambda: leader.status("/health")) == 503
    assert leader.get(ROUTE, port=BOOTSTRAP) == (503, "not fully registered yet (1)")


def test_other_ranks_serve_three_endpoints_and_no_bootstrap_port(crew, until):
    _, member = crew.gang({}, {})
    until(lambda: member.status("/health") == 200)
    answers = {path: member.status(path) for path in ("/ping", "/health_generate", "/server_info")}
    assert answers == {"/ping": 200, "/health_generate": 200, "/server_info": 404}
    assert member.status("/health", BOOTSTRAP) is None


def test_a_lost_rank_stops_nothing_but_the_tokens(crew, until):
    leader, member = crew.gang({"SGLANG_HEALTH_CHECK_TIMEOUT": "0.2"}, {})
    leader.until_up()
    member.end()
    until(lambda: leader.status("/health") == 503)
    assert leader.exited() is None
    assert leader.status("/health", BOOTSTRAP) == 200


def test_a_lost_first_rank_leaves_the_others_with_good_health(crew, until):
    leader, member = crew.gang({}, {})
    leader.until_up()
    until(lambda: member.status("/health"))
    leader.end()
    assert member.status("/health") == 200


def test_a_rank_that_comes_back_alone_never_starts(crew):
    leader, member = crew.gang({}, {})
    leader.until_up()
    member.end()
    flags = ("--nnodes", "2", "--tp", "2", "--node-rank", "1")
    where = ("--dist-init-addr", f"{leader.host}:{RENDEZVOUS}")
    again = crew.prefill(*flags, *where, gang_seconds=0.3)
    assert again.exit_code() == 1


async def test_a_rank_that_joins_twice_counts_by_its_newer_connection(address):
    where = Address(address(), RENDEZVOUS)

    async def join(word):
        reader, writer = await asyncio.open_connection(*where)
        writer.write(word)
        return reader, writer

    async def everything_before_is_heard():
        reader, writer = await join(b"nobody\n")
        assert await reader.read() == b""
        writer.close()

    leader = peers.Leader(3, on_loss=lambda _: None)
    async with asyncio.timeout(60):
        await leader.open(where)
        _, old = await join(b"join 1\n")
        newer, new = await join(b"join 1\n")
        await everything_before_is_heard()
        old.close()
        await everything_before_is_heard()
        _, other = await join(b"join 2\n")
        await leader.gather(5)
        assert await newer.readline() == b"go\n"
    new.close()
    other.close()
    leader.close()


def test_a_worker_told_to_skip_its_warm_up_is_up_at_once(crew):
    crew.start("--skip-server-warmup", warmup_seconds="inf").until_up()


@pytest.mark.parametrize("words", [b"join 1\n", b"GET / HTTP/1.1\r\n\r\n"], ids=["rank", "scan"])
def test_a_stranger_at_the_meeting_of_ranks_disturbs_nobody(crew, words):
    leader, _ = crew.gang({"SGLANG_HEALTH_CHECK_TIMEOUT": "0.2"}, {})
    leader.until_up()
    with socket.create_connection((leader.host, RENDEZVOUS), timeout=60) as stranger:
        stranger.sendall(words)
    assert leader.status("/health") == 200


def test_ports_that_follow_from_flags_are_taken(crew):
    worker = crew.start("--enable-dp-attention", "--nccl-port", "28000").until_up()
    for port in (28000, 30233, 30238):
        with socket.create_connection((worker.host, port), timeout=60):
            pass


async def test_a_port_between_ranks_that_stays_taken_ends_the_start(address, listener, monkeypatch):
    monkeypatch.setattr(peers, "PORT_PAUSE", 0)
    taken = Address(address(), RENDEZVOUS)
    listener(*taken)
    async with AsyncExitStack() as held:
        with pytest.raises(peers.StartFailed, match=taken.host):
            await peers.hold_ports((taken,), held)
