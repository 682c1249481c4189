"""The times in log lines."""

from datetime import UTC, datetime

import pytest

from pdsup.cli.logs.line_times import written_at

AT = datetime(2026, 11, 27, 20, 54, 48, tzinfo=UTC).timestamp()


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("line", "after"),
    [
        (b"=== 2026-11-27T20:54:48Z decode-0 run 1 begins", 0),
        (b"[2026-11-27 20:54:48] INFO:     127.0.0.1:1 - \"GET /health HTTP/1.1\" 200 OK", 0),
        (b"[2026-11-27 20:54:48 TP0] Decode batch", 0),
        (b"[2026-11-27 20:54:48,250] x", 0.25),
        (b"2026-11-27 20:54:48.5 x", 0.5),
        (b"2026-11-27T20:54:48.123456789Z x", 0.123456),
        (b"2026-11-27T21:54:48+01:00 x", 0),
        (b"2026/11/27 20:54:48 [error] 7#7: connect() failed", 0),
        (b"\x1b[2m2026-11-27 20:54:48\x1b[0m \x1b[32m INFO\x1b[0m", 0),
        (b'{"event": "unit", "level": "info", "timestamp": "2026-11-27T20:54:48.25Z"}', 0.25),
    ],
)  # fmt: skip
def test_a_line_tells_when_it_was_written(line, after):
    assert written_at(line) == pytest.approx(AT + after, abs=1e-5)


@pytest.mark.parametrize(
    "line",
    [b"", b"Traceback (most recent call last):", b"[2026-02-31 20:54:48] x", b"2026-11-27 x",
     b"\xff\xfe", b"at 2026-11-27 20:54:48", b"9999-99-99 99:99:99", b"{" * 9999],
)  # fmt: skip
def test_a_line_without_a_time_tells_none(line):
    assert written_at(line) is None
