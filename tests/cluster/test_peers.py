"""Following the reports of other nodes, against a peer that does whatever a peer may do."""

import asyncio
import contextlib
import errno
import gzip
import socket
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from pdsup import clock
from pdsup.cluster import peers as poller_module
from pdsup.cluster.peers import BEATEN, Peers
from pdsup.cluster.report import to_json
from pdsup.node import signatures
from tests.bed.network import TOKEN, FakePeer, beaten

# The token of a run that version 0.1.0 began.
OF_BEFORE = "t" * 64
# Nobody is slow here unless a test says so.
TIMES = {"RETRY_FIRST_S": 0.005, "RETRY_LIMIT_S": 0.01, "CONNECT_S": 2.0, "HOLD_S": 0.1}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in TIMES.items():
        monkeypatch.setattr(poller_module, name, value)


@pytest.fixture
def cluster(plan, digest, report):
    """A poller and the peer it may follow, node1; ``news`` counts what the poller told."""

    @contextlib.asynccontextmanager
    async def made(start=True, token=TOKEN, signs=True, **more):
        peer = FakePeer(
            plan.address["node1"], plan.control_port, report(), token=token, signs=signs
        )
        news = []
        if start:
            await peer.start()
        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False) as session,
                asyncio.TaskGroup() as tasks,
            ):
                poller = Peers(plan, digest, (), token, session, tasks, **more)
                poller.listen(news.append)
                try:
                    yield SimpleNamespace(
                        poller=poller, peer=peer, news=news, look=lambda: poller.peers["node1"]
                    )
                finally:
                    await poller.close()
        finally:
            await peer.stop()

    return made


async def test_a_followed_node_is_known_after_one_signed_request(cluster, until, report):
    async with cluster() as c:
        c.poller.follow(["node1"])
        assert not c.look().asked
        await until(lambda: c.look().usable)
        assert c.look().usable == report()
        assert c.news == ["node1"]
        assert c.peer.asked[0] == ("", 0.0)
        assert c.peer.refusals[0] is None


async def test_a_change_arrives_without_being_asked_for_again(cluster, until, report):
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        assert c.peer.asked[1] == (report().version, poller_module.WAIT_S)
        for sequence in range(2, 12):
            await c.peer.publish(report(sequence=sequence))
            await until(lambda: c.look().report.sequence == sequence)  # noqa: B023
        assert len(c.news) == 11
        await until(lambda: len(c.peer.asked) == 12)


async def test_no_change_is_heard_as_life_and_told_to_nobody(cluster, until, monkeypatch):
    monkeypatch.setattr(poller_module, "WAIT_S", 0.01)
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        first = c.look()
        await until(lambda: len(c.peer.asked) > 4)
        assert c.look().heard > first.heard
        assert c.look().received == first.received
        assert c.news == ["node1"]


async def test_an_agent_that_was_started_again_is_known_by_its_incarnation(cluster, until, report):
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.stop()
        c.peer.report = report(incarnation="ffff")
        await c.peer.start()
        await until(lambda: c.look().usable == report(incarnation="ffff"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"plan": "e" * 64}, "its agent runs another plan (eeeeeeeeeeee, here dddddddddddd)"),
        ({"cluster": "prod"}, "its agent belongs to cluster prod"),
        ({"node": "node2"}, "its address leads to the agent of node2"),
    ],
    ids=["plan", "cluster", "node"],
)
async def test_an_agent_of_something_else_is_a_fact_and_not_asked_in_a_hurry(
    cluster, until, report, changes, problem
):
    async with cluster() as c:
        c.peer.report = report(**changes)
        c.poller.follow(["node1"])
        await until(lambda: c.look().problem == problem)
        assert c.look().usable is None
        assert c.look().heard is not None
        await until(lambda: len(c.peer.asked) == 2)
        assert c.peer.asked[1][1] == poller_module.WAIT_S
        await c.peer.publish(report(sequence=7))
        await until(lambda: c.look().usable == report(sequence=7))


async def test_a_wrong_plan_is_still_a_fact_after_the_agent_was_away(cluster, until, report):
    async with cluster() as c:
        c.peer.report = report(plan="e" * 64)
        c.poller.follow(["node1"])
        await until(lambda: "another plan" in c.look().problem)
        await c.peer.stop()
        await until(lambda: "cannot reach" in c.look().problem)
        await c.peer.start()
        await until(lambda: "another plan" in c.look().problem)


async def garbage(request):
    return web.Response(body=b"\xff<html>")


async def broken(request):
    return web.Response(status=500, text="out of order")


async def elsewhere(request):
    raise web.HTTPFound("/elsewhere")


async def nothing_new(request):
    return web.Response(status=304)


async def no_http(request):
    request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    request.transport.close()
    return web.Response()


async def half(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"cluster":')
    request.transport.close()
    return response


async def deep(request):
    return web.Response(body=b"[" * 200_000)


def refusing(charset, text=b"a" * 300_000):
    async def answer(request):
        kind = f"text/plain; charset={charset}"
        return web.Response(status=500, body=text, headers={"Content-Type": kind})

    answer.__name__ = charset
    return answer


async def packed(request):
    body = gzip.compress(b" " * (1 << 24))
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


def endless(status):
    async def answer(request):
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * (1 << 16))
        return response

    answer.__name__ = f"endless{status}"
    return answer


ANSWERS = [garbage, broken, elsewhere, nothing_new, no_http, half, deep, packed]
# Python has codecs that are none of text, and one that takes quadratic time.
ANSWERS += map(refusing, ("hex", "base64", "rot13", "uu", "zlib", "punycode", "idna", "nothing"))
ANSWERS += map(endless, (200, 500))


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
async def test_an_answer_that_is_no_report_is_a_problem_until_a_report_comes(
    cluster, until, report, answer
):
    async with cluster() as c:
        c.peer.answer = answer
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().problem.startswith("cannot reach its agent: ")
        assert c.look().report is None
        c.peer.answer = None
        await until(lambda: c.look().usable == report())


def forged(signature=None, **changes):
    """An answer with a signature of something else, and one without."""

    async def answer(request, report):
        body = to_json(report)
        right = {
            "token": TOKEN, "node": "node1", "nonce": request.headers[signatures.NONCE],
            "status": 200, "kind": "application/json", "body": body,
        }  # fmt: skip
        proof = signatures.sign_answer(**right | changes) if signature is None else signature
        headers = {signatures.SIGNATURE: proof}
        return web.Response(body=body, content_type="application/json", headers=headers)

    return answer


async def unproven_beats(request, report):
    return web.Response(body=b"\n" + to_json(report), headers={"Content-Type": BEATEN})


FORGED = {
    "no signature": forged(signature=""),
    "any signature": forged(signature="0" * 64),
    "half a character": forged(signature="\udcff"),
    "another run's token": forged(token=signatures.made_of("x" * 64)),
    "the answer to another request": forged(nonce="0" * 16),
    "another node": forged(node="node2"),
    "another status": forged(status=304),
    "another type": forged(kind="text/plain"),
    "another body": forged(body=b"{}"),
    "beats without a signature": unproven_beats,
}


@pytest.mark.parametrize("lie", FORGED.values(), ids=FORGED)
async def test_whoever_answers_in_the_place_of_an_agent_is_not_believed(
    cluster, until, report, lie
):
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)

        async def ends(request):
            return await lie(request, report(ends_cluster=True, ending="evil says so", sequence=9))

        c.peer.signs = False
        await c.peer.publish(answer=ends)
        await until(lambda: c.look().problem)
        assert c.look().problem == f"cannot reach its agent: {poller_module.UNSIGNED}"
        assert c.look().report == report()
        c.peer.signs, c.peer.answer = True, None
        await until(lambda: c.look().usable)


async def test_an_unsigned_refusal_shows_nothing_of_its_text(cluster, until):
    async def refused(request):
        return web.Response(status=401, text="evil")

    async with cluster(signs=False) as c:
        c.peer.answer = refused
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().problem == f"cannot reach its agent: {poller_module.UNSIGNED_401}"


async def test_an_answer_to_one_node_is_no_answer_from_another(cluster, until, plan, report):
    """An impostor sends the request on to another agent of the run, whose answer is signed."""
    other = FakePeer("127.0.66.1", plan.control_port, report("node2"))
    await other.start()

    async def passed_on(request):
        async with aiohttp.ClientSession() as session:
            where = f"http://{other.address}:{other.port}{request.raw_path}"
            async with session.get(where, headers=request.headers) as answer:
                return web.Response(
                    body=await answer.read(), status=answer.status, headers=answer.headers
                )

    async with cluster() as c:
        c.peer.answer, c.peer.signs = passed_on, False
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().report is None
        assert other.refusals[0] is not None
    await other.stop()


async def test_in_a_run_of_before_a_node_is_believed_unsigned_until_it_has_signed(
    cluster, until, report
):
    signers = []
    async with cluster(
        token=OF_BEFORE, signs=False, signed=lambda all: signers.append(set(all))
    ) as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        assert signers == []
        c.peer.signs = True
        await c.peer.publish(report(sequence=2))
        await until(lambda: c.look().usable == report(sequence=2))
        await until(lambda: signers == [{"node1"}])
        c.peer.signs = False
        await c.peer.publish(report(sequence=3))
        await until(lambda: c.look().problem)
        assert c.look().report == report(sequence=2)


async def test_a_new_agent_knows_who_has_signed(cluster, until):
    async with cluster(token=OF_BEFORE, signs=False, signers=["node1"]) as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().report is None


async def test_a_refusal_shows_its_status_and_cause(cluster, until):
    async with cluster() as c:
        c.peer.answer = broken
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().problem == "cannot reach its agent: HTTP 500 out of order"


async def test_the_text_of_a_refusal_is_short(cluster, until):
    async with cluster() as c:
        c.peer.answer = refusing("utf-8")
        c.poller.follow(["node1"])
        await until(lambda: c.look().asked)
        assert c.look().problem == f"cannot reach its agent: HTTP 500 {'a' * 200}"


@pytest.mark.parametrize("status", [200, 304])
async def test_a_node_that_answers_at_once_for_ever_is_not_asked_without_a_pause(
    cluster, until, status, report, monkeypatch
):
    paused, sleep = [], asyncio.sleep

    async def pause(seconds):
        paused.append(seconds)
        await sleep(0)

    async def busy(request):
        body = to_json(report(sequence=len(c.peer.asked)))
        return web.Response(status=304) if status == 304 else web.Response(body=body)

    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        monkeypatch.setattr(poller_module.asyncio, "sleep", pause)
        monkeypatch.setattr(poller_module, "PAUSE_S", 60.0)
        await c.peer.publish(answer=busy)
        while len(paused) < 3:
            await sleep(0)
        assert set(paused) == {60.0}
        assert len(c.peer.asked) <= poller_module.BURST + 6


@pytest.fixture
def still(monkeypatch):
    """An agent whose loop moves for so many ``beats`` while one waits, and then stands still."""
    monkeypatch.setattr(poller_module, "STILL_S", 0.05)
    monkeypatch.setattr(poller_module, "HOLD_S", 600.0)

    def made(beats):
        over = asyncio.Event()

        async def answer(request):
            return await beaten(request, "node1", beats, over)

        return answer, over

    return made


async def test_an_agent_that_stands_still_while_its_kernel_answers_is_doubted_as_a_lost_node_is(
    cluster, until, still
):
    async with cluster() as c:
        answer, over = still(beats=0)
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        await c.peer.publish(answer=answer)
        await until(lambda: c.look().problem)
        assert c.look().problem == poller_module.STANDS_STILL
        c.peer.answer = None
        over.set()
        await until(lambda: c.look().usable)


async def test_an_agent_that_beats_is_not_doubted_however_long_it_has_no_news(
    cluster, until, still, monkeypatch
):
    monkeypatch.setattr(poller_module, "STILL_S", 30.0)
    async with cluster() as c:
        answer, over = still(beats=3)
        over.set()
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        await c.peer.publish(answer=answer)
        asked = len(c.peer.asked)
        await until(lambda: len(c.peer.asked) > asked + 2)
        assert c.look().usable
        assert c.news == ["node1"]


async def test_an_agent_that_stood_still_itself_blames_no_other(cluster, until, still):
    stood_still = [True]
    async with cluster(stood_still=lambda: stood_still[0]) as c:
        answer, over = still(beats=0)
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        await c.peer.publish(answer=answer)
        asked = len(c.peer.asked)
        await until(lambda: len(c.peer.asked) > asked + 1)
        assert c.look().usable
        stood_still[0] = False
        await until(lambda: c.look().problem == poller_module.STANDS_STILL)
        over.set()


async def test_an_agent_of_before_sends_no_beats_and_is_waited_for(
    cluster, until, still, monkeypatch
):
    monkeypatch.setattr(poller_module, "WAIT_S", 4 * poller_module.STILL_S)
    async with cluster(token=OF_BEFORE, signs=False) as c:
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) > 3)
        assert c.look().usable
        assert c.news == ["node1"]


async def test_a_node_whose_agent_comes_late_is_found(cluster, until):
    async with cluster(start=False) as c:
        c.poller.follow(["node1"])
        await until(lambda: "connection refused" in c.look().problem)
        assert c.look().heard is None
        await c.peer.start()
        await until(lambda: c.look().usable)


async def test_a_node_that_fails_for_a_moment_is_relied_on_all_the_time(
    cluster, until, monkeypatch
):
    monkeypatch.setattr(poller_module, "HOLD_S", 600.0)
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.publish(answer=broken)
        await until(lambda: c.look().failing is not None)
        await c.peer.stop()
        asked = len(c.peer.asked)
        c.peer.answer = None
        await c.peer.start()
        await until(lambda: len(c.peer.asked) > asked and c.look().failing is None)
        assert c.news == ["node1"]


async def test_after_a_failure_the_next_answer_is_wanted_at_once(cluster, until, monkeypatch):
    monkeypatch.setattr(poller_module, "HOLD_S", 600.0)
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        await c.peer.publish(answer=broken)
        await until(lambda: len(c.peer.asked) > 2)
        assert {wait for _, wait in c.peer.asked[2:]} == {0.0}
        c.peer.answer = None
        await until(lambda: c.peer.asked[-1][1] == poller_module.WAIT_S)


async def test_a_node_that_stays_away_is_a_problem_once_and_keeps_its_last_report(
    cluster, until, report
):
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        heard = c.look().heard
        await c.peer.stop()
        await until(lambda: c.look().problem)
        assert c.look().problem == "cannot reach its agent: connection refused"
        assert (c.look().report, c.look().usable) == (report(), None)
        assert c.look().heard >= heard
        assert c.news == ["node1", "node1"]


async def test_an_agent_that_said_that_it_ends_is_not_waited_for(
    cluster, until, report, monkeypatch
):
    monkeypatch.setattr(poller_module, "HOLD_S", 600.0)
    async with cluster() as c:
        c.peer.report = report(ending="SIGTERM")
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.stop()
        await until(lambda: c.look().problem)


async def test_a_slow_answer_is_no_reason_to_doubt_a_node(cluster, until, monkeypatch, report):
    monkeypatch.setattr(poller_module, "WAIT_S", 0.02)
    monkeypatch.setattr(poller_module, "GRACE_S", 0.05)
    monkeypatch.setattr(poller_module, "HOLD_S", 600.0)
    stuck = asyncio.Event()

    async def slow(request):
        await stuck.wait()
        return web.Response(status=304)

    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.publish(answer=slow)
        await until(lambda: c.look().failing is not None)
        assert c.look().usable == report()
        stuck.set()
        await until(lambda: c.look().failing is None)
        assert c.news == ["node1"]


async def test_a_node_that_never_answers_is_a_problem_in_bounded_time(cluster, until, monkeypatch):
    monkeypatch.setattr(poller_module, "WAIT_S", 0.02)
    monkeypatch.setattr(poller_module, "GRACE_S", 0.02)

    async def hung(request):
        await asyncio.Event().wait()

    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.publish(answer=hung)
        await until(lambda: c.look().problem)
        assert c.look().problem == "cannot reach its agent: no answer in time"


async def test_one_node_that_never_answers_does_not_hold_up_another(cluster, until, plan):
    async with cluster() as c:
        with socket.create_server((plan.address["node2"], plan.control_port)):
            c.poller.follow(["node2", "node1"])
            await until(lambda: c.look().usable)
            assert not c.poller.peers["node2"].asked


@pytest.fixture
def later(monkeypatch):
    """Lets time pass for the poller's deadlines."""
    passed, real = [0.0], clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: real() + passed[0])
    monkeypatch.setattr(poller_module, "WAIT_S", 0.01)

    def let_pass(seconds):
        passed[0] += seconds

    return let_pass


async def test_a_visit_ends_and_may_begin_again(cluster, until, later):
    async with cluster() as c:
        c.poller.visit(["node1"])
        await until(lambda: c.look().usable)
        later(poller_module.VISIT_S)
        await until(lambda: not c.poller.peers)
        c.poller.visit(["node1"])
        await until(lambda: c.look().usable)


async def test_a_visit_is_prolonged_by_another_one(cluster, until, later):
    async with cluster() as c:
        c.poller.visit(["node1"])
        await until(lambda: c.look().usable)
        later(poller_module.VISIT_S * 0.7)
        c.poller.visit(["node1"])
        later(poller_module.VISIT_S * 0.7)
        asked = len(c.peer.asked)
        await until(lambda: len(c.peer.asked) > asked + 2)
        assert c.look().usable


async def test_a_visit_does_not_shorten_the_following_of_a_node(cluster, until, later):
    async with cluster() as c:
        c.poller.follow(["node1"])
        c.poller.visit(["node1"])
        later(poller_module.VISIT_S * 2)
        await until(lambda: len(c.peer.asked) > 3)
        assert c.look().usable


def test_a_visit_outlasts_the_longest_wait_that_an_answer_may_take():
    from pdsup.api.server import LONGEST_WAIT_S

    assert poller_module.VISIT_S > LONGEST_WAIT_S + poller_module.WAIT_S / 2


async def test_close_gives_up_requests_and_nothing_is_followed_afterwards(
    cluster, until, monkeypatch
):
    monkeypatch.setattr(poller_module, "WAIT_S", 600.0)
    async with cluster() as c:
        c.poller.follow(["node1"])
        await until(lambda: len(c.peer.asked) == 2)
        async with asyncio.timeout(60):
            await c.poller.close()
        c.poller.visit(["node1", "node2"])
        assert "node2" not in c.poller.peers


async def test_the_report_of_an_agent_that_hands_over_stays_valid_until_the_new_one_answers(
    cluster, until, report, monkeypatch
):
    monkeypatch.setattr(poller_module, "HOLD_S", 0.0)
    async with cluster() as c:
        c.peer.report = report(hands_over=True)
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        await c.peer.stop()
        await until(lambda: c.look().failing is not None)
        assert c.look().problem is None
        c.peer.report = report(incarnation="ffff")
        await c.peer.start()
        await until(lambda: c.look().usable == report(incarnation="ffff"))
        assert c.news == ["node1", "node1"]


@pytest.mark.parametrize(("error", "good"), [("ECONNREFUSED", 3), ("EHOSTUNREACH", 0)])
async def test_an_announced_handover_that_does_not_end_is_a_problem(
    cluster, until, report, monkeypatch, error, good
):
    """And so is a machine that vanishes meanwhile, at once."""
    failure, problems, now = OSError(getattr(errno, error), "cut"), [], clock.monotonic()
    async with cluster() as c:
        c.peer.report = report(hands_over=True)
        c.poller.follow(["node1"])
        await until(lambda: c.look().usable)
        for passed in (0.0, 2.5, 14.9, 15.0):
            monkeypatch.setattr(clock, "monotonic", lambda passed=passed: now + passed)
            c.poller._doubt("node1", failure)
            problems.append(c.look().problem)
        assert problems.count(None) == good


async def test_a_new_agent_does_not_judge_nodes_that_may_be_handing_over_as_well(
    cluster, until, report, monkeypatch
):
    async with cluster(start=False, known=("node1",)) as c:
        c.poller.follow(["node1", "node2"])
        await until(lambda: c.poller.peers["node2"].asked)
        c.poller._doubt("node1", ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
        assert not c.look().asked
        await c.peer.start()
        await until(lambda: c.look().usable)


async def test_a_node_that_refuses_a_new_agent_for_longer_is_a_problem(cluster, until, monkeypatch):
    monkeypatch.setattr(poller_module, "HANDOVER_S", 0.05)
    async with cluster(start=False, known=("node1",)) as c:
        c.poller.follow(["node1"])
        await until(lambda: c.look().problem == "cannot reach its agent: connection refused")
