"""What the API answers, to whom, and when."""

import asyncio
import dataclasses
import json
import os
import re
import socket
import stat

import pytest

from pdsup import clock
from pdsup.agent import commands
from pdsup.api import beats as beats_module
from pdsup.api import queries
from pdsup.api import server as server_module
from pdsup.cluster.report import from_json
from pdsup.errors import SupervisorError
from pdsup.node import signatures
from tests.bed.network import TOKEN

SOCKET = "node3.sock"
READ = ["/v1/report", "/v1/status", "/livez", "/readyz"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 0.05)


# -- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*READ, "/v1/status?all=1", "/v1/logs/decode-1", "/nothing"])
async def test_an_unsigned_request_over_the_network_is_refused(serving, path):
    async with serving() as s:
        answer = await s.unsigned(path)
        assert (answer.status, answer.body) == (401, b"the request is not signed")


@pytest.mark.parametrize("path", READ[:3])
async def test_a_signed_request_over_the_network_is_answered(serving, path):
    async with serving() as s:
        assert (await s.remote(path)).status == 200


async def test_a_signature_for_another_question_is_refused(serving):
    async with serving() as s:
        headers = signatures.headers(TOKEN, "GET", "/livez", "node3", clock.wall(), "nonce")
        assert (await s.unsigned("/v1/status", headers=headers)).status == 401


async def test_headers_that_are_no_text_are_refused_and_break_nothing(serving, plan):
    async with serving() as s:
        reader, writer = await asyncio.open_connection(plan.address["node3"], plan.control_port)
        head = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        names = (signatures.TIME, signatures.NONCE, signatures.SIGNATURE)
        head += b"".join(name.encode() + b": \xff\xfe\r\n" for name in names)
        writer.write(head + b"\r\n")
        assert (await reader.readline()).split()[1] == b"401"
        writer.close()
        await writer.wait_closed()
        assert (await s.remote("/livez")).status == 200


@pytest.mark.parametrize("path", ["/v1/shutdown", "/v1/status", "/v1/report"])
async def test_nothing_can_be_told_over_the_network(serving, path):
    async with serving() as s:
        answer = await s.remote(path, "POST", data=b'{"all": true}')
        assert answer.status in (400, 404, 405)
        assert s.parts.own_report.report().ending is None


async def test_logs_are_for_this_machine_only(serving):
    async with serving() as s:
        assert (await s.remote("/v1/logs/decode-1")).status == 404


async def test_the_control_socket_needs_no_signature(serving):
    async with serving() as s:
        for path in READ[:3]:
            assert (await s.local(path)).status == 200
        assert stat.S_ISSOCK(s.socket.stat().st_mode)


# -- reports --------------------------------------------------------------------------------------


async def test_a_report_is_what_the_agent_publishes(serving):
    async with serving() as s:
        answer = await s.remote("/v1/report")
        found = from_json(answer.body)
        assert dataclasses.replace(found, at=0.0) == dataclasses.replace(
            s.parts.own_report.report(), at=0.0
        )
        assert answer.headers["Content-Type"].startswith("application/json")


async def test_a_long_poll_is_answered_when_something_changes(serving, unit_report):
    async with serving() as s:
        since = s.parts.own_report.version
        poll = asyncio.create_task(s.remote(f"/v1/report?since={since}&wait=20"))
        await s.remote("/livez")
        assert not poll.done()
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        async with asyncio.timeout(60):
            answer = await poll
        assert from_json(answer.body).unit("decode-1").state == "STARTING"


async def test_who_waits_for_a_report_and_asks_for_beats_sees_that_the_agent_moves(
    serving, unit_report, monkeypatch
):
    monkeypatch.setattr(beats_module, "BEAT_S", 0.001)
    async with serving() as s:
        first = await s.remote("/v1/report?beats=1")
        since = from_json(first.body).version
        polls = [
            asyncio.create_task(s.remote(f"/v1/report?since={since}&wait=60&beats=1"))
            for _ in range(3)
        ]
        nothing = await s.remote(f"/v1/report?since={since}&wait=0.1&beats=1")
        words = nothing.body.strip(b"\n")
        assert (nothing.status, len(words)) == (200, signatures.SIGNATURE_CHARACTERS)
        assert nothing.body.startswith(b"\n")
        s.parts.own_report.publish(unit_report("decode-1", "BACKOFF"))
        for answer in await asyncio.gather(*polls):
            assert answer.body.startswith(b"\n\n")
            found = from_json(answer.body[: -signatures.SIGNATURE_CHARACTERS])
            assert found.unit("decode-1").state == "BACKOFF"


async def test_a_follower_that_has_gone_while_it_waits_is_no_error(
    serving, plan, unit_report, caplog
):
    """An error is a traceback in the agent's log."""
    async with serving() as s:
        version = from_json((await s.local("/v1/report")).body).version
        reader, writer = await asyncio.open_connection(plan.address["node3"], plan.control_port)
        path = f"/v1/report?since={version}&wait=60&beats=1"
        signed = signatures.headers(TOKEN, "GET", path, "node3", clock.wall(), "nonce") | {
            "Host": "x"
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        await s.local("/v1/report")
    assert caplog.records == []


async def test_a_wait_that_is_no_number_is_refused_before_the_first_beat(serving):
    async with serving() as s:
        since = from_json((await s.remote("/v1/report")).body).version
        answer = await s.remote(f"/v1/report?since={since}&wait=long&beats=1")
        assert answer.status == 400


async def test_a_long_poll_for_what_is_old_already_is_answered_at_once(serving):
    async with serving() as s, asyncio.timeout(60):
        assert (await s.remote("/v1/report?since=&wait=60")).status == 200
        assert (await s.remote("/v1/report?since=other.7&wait=60")).status == 200


async def test_a_long_poll_that_nothing_comes_of_says_so(serving):
    async with serving() as s:
        since = s.parts.own_report.version
        answer = await s.remote(f"/v1/report?since={since}&wait=0.01")
        assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("wait", ["soon", "-1", "61", "inf", "nan", "-0.001", "1e9", ""])
@pytest.mark.parametrize("path", ["/v1/report", "/v1/status"])
async def test_a_wait_that_is_no_number_of_seconds_in_bounds_is_refused(serving, path, wait):
    async with serving() as s:
        answer = await s.local(f"{path}?since=a&wait={wait}")
        assert (answer.status, answer.body) == (400, b"wait must be 0 to 60 seconds")


async def test_many_followers_hear_of_one_change(serving, unit_report):
    async with serving() as s:
        since = s.parts.own_report.version
        polls = [
            asyncio.create_task(s.remote(f"/v1/report?since={since}&wait=20")) for _ in range(50)
        ]
        await s.remote("/livez")
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*polls)
        states = {from_json(answer.body).unit("decode-1").state for answer in answers}
        assert states == {"STARTING"}


# -- status ---------------------------------------------------------------------------------------


async def test_the_status_of_this_node_comes_without_asking_others(serving):
    async with serving() as s:
        found = (await s.local("/v1/status")).json()
        assert [node["node"] for node in found["nodes"]] == ["node3"]
        assert s.parts.peers.peers == {}


async def test_the_status_of_all_nodes_waits_for_their_first_answers(serving):
    async with serving() as s:
        found = (await s.local("/v1/status?all=1")).json()
        problems = {node["node"]: node["agent"]["problem"] for node in found["nodes"]}
        refused = "cannot reach its agent: connection refused"
        assert problems == {f"node{i}": refused for i in range(3)} | {"node3": None}


async def test_the_status_of_all_nodes_is_not_held_up_by_one_that_never_answers(
    serving, plan, monkeypatch
):
    monkeypatch.setattr(queries, "FIRST_ANSWERS_S", 0.2)
    async with serving() as s:
        with socket.create_server((plan.address["node1"], plan.control_port)):
            found = (await s.local("/v1/status?all=1")).json()
        problems = [node["agent"]["problem"] for node in found["nodes"]]
        assert problems[1] == "not asked yet"
        assert "connection refused" in problems[0]


async def test_the_status_has_a_version_to_wait_on(serving, unit_report):
    async with serving() as s:
        version = (await s.local("/v1/status")).headers["X-Pdsup-Version"]
        assert (await s.local(f"/v1/status?since={version}&wait=0")).status == 304
        poll = asyncio.create_task(s.local(f"/v1/status?since={version}&wait=20"))
        await s.local("/livez")
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        async with asyncio.timeout(60):
            answer = await poll
        assert answer.json()["nodes"][0]["units"][0]["state"] == "STARTING"
        assert answer.headers["X-Pdsup-Version"] != version


async def test_news_of_another_node_change_the_version_for_good(serving, unit_report, until):
    """Who asks after the agent has dealt with the news must still learn of them."""
    async with serving() as s, serving("node1") as peer:
        await s.local("/v1/status?all=1")
        await until(lambda: s.parts.peers.peers["node1"].usable)
        version = s.agent.version
        peer.parts.own_report.publish(unit_report("prefill-1", "FATAL"))
        await until(lambda: s.parts.peers.peers["node1"].usable.unit("prefill-1").state == "FATAL")
        for _ in range(10):
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            answer = await s.local(f"/v1/status?all=1&since={version}&wait=20")
        assert answer.json()["nodes"][1]["units"][0]["state"] == "FATAL"


async def test_names_and_reasons_in_any_script_arrive(serving, unit_report):
    async with serving() as s:
        text = 'naïve 推論 "🚀"'
        s.parts.own_report.publish(unit_report("decode-1", "FATAL", reason=text))
        found = (await s.local("/v1/status")).json()
        assert found["nodes"][0]["units"][0]["reason"] == text


# -- health ---------------------------------------------------------------------------------------


async def test_an_agent_is_ready_when_all_its_units_are(serving, unit_report):
    async with serving() as s:
        assert (await s.local("/readyz")).status == 503
        s.parts.own_report.publish(unit_report("decode-1"))
        answer = await s.local("/readyz")
        assert (answer.status, answer.body) == (503, b"not ready: benchmark\n")
        s.parts.own_report.publish(unit_report("benchmark"))
        answer = await s.local("/readyz")
        assert (answer.status, answer.body) == (200, b"ok\n")


async def test_a_unit_that_did_its_work_and_ended_well_keeps_no_agent_unready(serving, unit_report):
    async with serving() as s:
        s.parts.own_report.publish(unit_report("decode-1"))
        for code, status in ((0, 200), (1, 503)):
            ended = unit_report("benchmark", "EXITED")
            last = dataclasses.replace(ended.last_exit, code=code, signal=None)
            s.parts.own_report.publish(dataclasses.replace(ended, last_exit=last))
            assert (await s.local("/readyz")).status == status


async def test_an_agent_lives_whatever_its_units_do(serving):
    async with serving() as s:
        answer = await s.remote("/livez")
        assert (answer.status, answer.body) == (200, b"ok\n")


# -- logs and shutdown ----------------------------------------------------------------------------


async def test_the_log_of_any_unit_of_the_plan_is_named(serving, tmp_path):
    async with serving() as s:
        for name, node in (("decode-1", "node3"), ("prefill-0", "node0")):
            found = (await s.local(f"/v1/logs/{name}")).json()
            assert found["path"] == f"{tmp_path}/logs/{node}_{name}.out"
            assert found in (await s.local("/v1/logs")).json()["logs"]


@pytest.mark.parametrize("name", ["decode-9", "..%2F..%2Fetc%2Fpasswd", "%00", "%ff"])
async def test_the_log_of_a_unit_that_is_not_in_the_plan_is_not_found(serving, name):
    async with serving() as s:
        assert (await s.local(f"/v1/logs/{name}")).status == 404


@pytest.mark.parametrize("everywhere", [True, False])
async def test_a_shutdown_says_whether_it_is_of_the_cluster(serving, everywhere):
    async with serving() as s:
        answer = await s.local("/v1/shutdown", "POST", data=json.dumps({"all": everywhere}))
        assert (answer.status, answer.json()) == (200, {"ending": True})
        report = s.parts.own_report.report()
        who = f"(pid {os.getpid()}, node3)"
        assert report.ending.startswith("shutdown requested by ")
        assert report.ending.endswith(who)
        assert report.ends_cluster is everywhere


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"true", b"[]", b'{"all": "false"}', b'{"all": 1}', b"\xff", b"{", b"[" * 99_999],
    ids=lambda body: repr(body)[:20],
)
async def test_a_shutdown_that_is_not_clear_is_refused_and_ends_nothing(serving, body):
    async with serving() as s:
        answer = await s.local("/v1/shutdown", "POST", data=body)
        assert (answer.status, answer.body) == (400, b'the body must be {"all": true or false}')
        assert s.parts.own_report.report().ending is None


# -- begin and end --------------------------------------------------------------------------------


async def test_a_busy_port_is_one_sentence_with_its_holder_and_leaves_no_socket(serving, plan):
    address, port = plan.address["node3"], plan.control_port
    with socket.create_server((address, port)), pytest.raises(ExceptionGroup) as caught:
        async with serving():
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, SupervisorError)
    expected = rf"cannot listen on {re.escape(address)}:{port}: it is held by pid \d+ \(.+\)"
    assert re.fullmatch(expected, str(error))


async def test_the_port_can_be_listened_on_again_at_once(serving):
    for _ in range(3):
        async with serving() as s:
            assert (await s.remote("/livez")).status == 200


async def test_a_socket_that_a_killed_agent_left_is_replaced(serving, tmp_path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET))
    async with serving() as s:
        assert (await s.local("/livez")).status == 200
    assert not (tmp_path / SOCKET).exists()


async def test_long_polls_are_answered_when_the_agent_ends_and_hold_it_up_no_longer(serving):
    async with asyncio.timeout(30), serving() as s:
        version, all_version = s.parts.own_report.version, s.agent.version
        polls = [
            asyncio.create_task(s.remote(f"/v1/report?since={version}&wait=60")),
            asyncio.create_task(s.local(f"/v1/status?since={all_version}&wait=60")),
        ]
        await s.remote("/livez")
    assert [answer.status for answer in await asyncio.gather(*polls)] == [304, 304]


async def test_a_follower_gets_the_last_report_before_the_agent_goes(
    serving, unit_report, monkeypatch
):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 5.0)
    async with serving() as s:
        versions, answered = [], asyncio.Event()

        async def follow():
            since = ""
            while True:
                answer = await s.remote(f"/v1/report?since={since}&wait=20")
                if answer.status == 200:
                    versions.append(since := from_json(answer.body).version)
                answered.set()
                for _ in range(50):  # much may happen before it asks again
                    await asyncio.sleep(0)

        follower = asyncio.create_task(follow())
        await answered.wait()
        for number in range(50):
            s.parts.own_report.publish(unit_report("decode-1", "STOPPING", run=number))
        s.parts.own_report.publish(unit_report("decode-1", "STOPPED"))
        last = s.parts.own_report.version
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)
    assert versions[-1] == last


async def test_a_follower_that_has_hung_up_does_not_hold_up_the_end(
    serving, unit_report, monkeypatch
):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 600.0)
    async with asyncio.timeout(60), serving() as s:
        follower = asyncio.create_task(s.remote("/v1/report?since=&wait=20"))
        await follower
        poll = asyncio.create_task(
            s.remote(f"/v1/report?since={s.parts.own_report.version}&wait=20")
        )
        await s.remote("/livez")
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await s.remote.session.close()
        s.parts.own_report.publish(unit_report("decode-1", "STOPPED"))


async def test_a_follower_that_never_asks_again_holds_up_the_end_only_for_a_moment(
    serving, unit_report, monkeypatch
):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 0.05)
    async with asyncio.timeout(60), serving() as s:
        await s.remote("/v1/report?since=&wait=20")
        s.parts.own_report.publish(unit_report("decode-1", "STOPPED"))


# -- commands to units ----------------------------------------------------------------------------


async def test_a_command_answers_with_the_units_as_they_were(serving):
    async with serving() as s:
        order = {"command": "stop", "units": ["decode-1"]}
        answer = await s.local("/v1/units", "POST", json=order)
        assert answer.status == 200
        before = answer.json()["decode-1"]
        assert (before["state"], before["run"]) == ("STOPPED", 0)


async def test_a_unit_shows_the_last_command_to_whoever_waits_for_an_earlier_one(serving):
    async with serving() as s:
        before = []
        for verb in ("stop", "restart"):
            version = s.agent.report_version
            order = {"command": verb, "units": ["decode-1"]}
            answer = await s.local("/v1/units", "POST", json=order)
            before.append(answer.json()["decode-1"]["at"])
            assert s.agent.report_version != version
        (node,) = (await s.local("/v1/status")).json()["nodes"]
        last = {unit["name"]: unit["last_command"] for unit in node["units"]}
        assert (last["decode-1"]["verb"], last["decode-1"]["at"]) == ("restart", before[1])
        assert before[0] < before[1]
        assert last["benchmark"] is None


async def test_a_signal_answers_whether_there_was_a_process(serving):
    async with serving() as s:
        order = {"command": "signal", "signal": 1, "units": ["decode-1"]}
        answer = await s.local("/v1/units", "POST", json=order)
        assert (answer.status, answer.json()) == (200, {"decode-1": False})


@pytest.mark.parametrize(
    ("path", "order"),
    [("/v1/units", {"command": "signal", "signal": 1}), ("/v1/evidence", {})],
    ids=["signal", "evidence"],
)
async def test_what_needs_a_process_waits_until_a_new_agent_has_taken_it_over(
    serving, monkeypatch, path, order
):
    async with serving() as s:
        runner = s.parts.runners["decode-1"]
        runner.settled.clear()
        monkeypatch.setattr(commands, "TAKEOVER_S", 0.01)
        order |= {"units": ["decode-1"]}
        answer = await s.local(path, "POST", json=order)
        assert answer.status == 409
        assert b"the new agent of node3 is still taking over its units" in answer.body
        runner.settled.set()
        assert (await s.local(path, "POST", json=order)).status == 200


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"command": "stop", "units": ["decode-9"]}, 404),
        ({"command": "signal", "signal": 15, "units": ["decode-9"]}, 404),
        ({"command": "__init__", "units": ["decode-1"]}, 400),
        ({"command": ["stop"], "units": ["decode-1"]}, 400),
        ({"command": "stop", "units": "decode-1"}, 400),
        ({"command": "stop", "units": [["decode-1"]]}, 400),
        ({"command": "stop"}, 400),
        ({"command": "signal", "signal": 0, "units": ["decode-1"]}, 400),
        ({"command": "stop", "units": ["\ud800"]}, 400),
        ({"command": "signal", "signal": True, "units": ["decode-1"]}, 400),
        ({"command": "signal", "signal": "HUP", "units": ["decode-1"]}, 400),
        ([], 400),
    ],
    ids=str,
)
async def test_a_command_that_is_none_is_refused(serving, order, status):
    async with serving() as s:
        assert (await s.local("/v1/units", "POST", json=order)).status == status


async def test_no_unit_can_be_commanded_over_the_network(serving):
    async with serving() as s:
        order = {"command": "stop", "units": ["decode-1"]}
        assert (await s.remote("/v1/units", "POST", json=order)).status in (400, 404, 405)


async def test_a_start_while_the_node_ends_is_refused_and_a_stop_is_not(serving):
    async with serving() as s:
        s.parts.shutdown.begin("over", of_cluster=False)
        answers = [
            await s.local("/v1/units", "POST", json={"command": verb, "units": ["decode-1"]})
            for verb in ("start", "restart", "stop")
        ]
        assert [answer.status for answer in answers] == [409, 409, 200]
        assert answers[0].body == b"cannot start decode-1: node3 is ending (over)"
