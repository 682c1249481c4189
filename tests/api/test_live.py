"""The live page and its stream."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from pdsup.api import live
from pdsup.journal import entry


@contextlib.asynccontextmanager
async def stream(s):
    """Reads messages of the stream, one at each call."""
    connector = aiohttp.UnixConnector(str(s.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/v1/stream") as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"

        async def message():
            async with asyncio.timeout(60):
                async for line in response.content:
                    if line.startswith(b"data: "):
                        return json.loads(line[6:])
            raise AssertionError("the stream ended")

        yield message


async def test_the_page_is_one_file_that_may_load_nothing_from_elsewhere(serving):
    async with serving() as s:
        answer = await s.local("/")
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"http://" not in answer.body
        assert b"innerHTML" not in answer.body


async def test_a_stream_begins_with_what_is_and_what_was(serving, tmp_path):
    line = {"at": 5, "node": "node1", "unit": "a", "from": "STARTING", "to": "RUNNING"}
    same = {**line, "from": "RUNNING"}
    reload = {"at": 6, "node": "node1", "unit": "nginx", "event": {"type": "Reloaded"}}
    async with serving() as s:
        (tmp_path / "events" / "node1.jsonl").write_text(
            "".join(f"{json.dumps(one)}\n" for one in (line, same, reload))
        )
        async with stream(s) as message:
            first = await message()
        assert [node["node"] for node in first["status"]["nodes"]][3] == "node3"
        told = [(one["unit"], one["to"], one["event"]) for one in first["events"]]
        assert told == [("a", "RUNNING", ""), ("nginx", "", "Reloaded")]


async def test_a_change_is_streamed_within_a_second_and_an_event_once(
    serving, unit_report, tmp_path
):
    async with serving() as s, stream(s) as message:
        await message()
        line = {"at": 5, "node": "node3", "unit": "a", "from": "RUNNING", "to": "BACKOFF"}
        (tmp_path / "events" / "node3.jsonl").write_text(f"{json.dumps(line)}\n")
        s.parts.own_report.publish(unit_report("decode-1", "BACKOFF"))
        async with asyncio.timeout(60):
            change = await message()
        assert change["status"]["nodes"][3]["units"][0]["state"] == "BACKOFF"
        assert [one["to"] for one in change["events"]] == ["BACKOFF"]
        s.parts.own_report.publish(unit_report("decode-1", "STARTING"))
        assert (await message())["events"] == []


async def test_many_changes_at_once_are_a_few_messages(serving, unit_report):
    async with serving() as s, stream(s) as message:
        await message()
        for run in range(1000):
            s.parts.own_report.publish(unit_report("decode-1", "STARTING", run=run))
            await asyncio.sleep(0)
        count = 1
        while (await message())["status"]["nodes"][3]["units"][0]["run"] != 999:
            count += 1
        assert count <= 4


async def test_a_quiet_stream_shows_that_it_lives(serving, monkeypatch):
    monkeypatch.setattr(live, "ALIVE_S", 0.0)
    monkeypatch.setattr(live, "TICK_S", 0.01)
    connector = None
    async with serving() as s:
        connector = aiohttp.UnixConnector(str(s.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://localhost/v1/stream") as response,
            asyncio.timeout(60),
        ):
            async for line in response.content:
                if line == b":\n":
                    return
    pytest.fail("no sign of life")


async def test_there_are_never_too_many_streams_and_one_that_ends_makes_room(
    serving, monkeypatch, until
):
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    monkeypatch.setattr(live, "ALIVE_S", 0.0)
    monkeypatch.setattr(live, "TICK_S", 0.01)
    async with serving() as s:
        async with stream(s) as message:
            await message()
            assert (await s.local("/v1/stream")).status == 503
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(AssertionError):
                    async with stream(s) as message:
                        assert await message()
                        return


async def test_a_page_that_was_closed_makes_room_before_its_stream_notices(serving, monkeypatch):
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    monkeypatch.setattr(live, "TICK_S", 1000.0)
    async with serving() as s:
        for _ in range(3):
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(AssertionError):
                        async with stream(s) as message:
                            assert await message()
                            break


async def test_a_page_reads_the_end_of_a_journal_however_long_it_is(serving, monkeypatch, tmp_path):
    parsed, parse = [], entry.parse
    monkeypatch.setattr(entry, "parse", lambda line: parsed.append(len(line)) or parse(line))
    line = {"at": 5, "node": "node1", "unit": "a", "from": "STARTING", "to": "RUNNING"}
    async with serving() as s:
        journal = tmp_path / "events" / "node1.jsonl"
        journal.write_text("".join(f"{json.dumps(line | {'at': n})}\n" for n in range(30_000)))
        async with stream(s) as message:
            events = (await message())["events"]
        assert [each["at"] for each in events] == list(range(29_950, 30_000))
        assert sum(parsed) <= live.PAST_BYTES


async def test_an_agent_that_ends_is_not_held_up_by_a_page(serving):
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack, serving() as s:
        message = await stack.enter_async_context(stream(s))
        await message()
