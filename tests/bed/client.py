"""A small client that runs inside a bed: URL CLIENTS UNTIL.

UNTIL is a number of seconds, or a file: then the clients ask until that is removed.

Each client has one request at a time. For every request a line of JSON: when it began and ended,
in monotonic seconds, and why it failed, if it did. Ends with 0 when each one's last was answered.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
# Failed connections come back at once; without a pause they would be all that happens.
PAUSE_S = 0.02


def ask(url: str) -> str | None:
    """Why a chat request failed, or None."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(BODY).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return None if b'"choices"' in answer.read() else "the answer is cut"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def main(url: str, clients: int, until: str) -> int:
    """All clients, until the time is over."""
    over = ends(until)
    last: dict[int, str | None] = {}

    def go(number: int) -> None:
        while not over():
            began = time.monotonic()
            last[number] = failure = ask(url)
            line = {"began": began, "ended": time.monotonic(), "failure": failure}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0 if set(last.values()) == {None} else 1


def ends(until: str) -> Callable[[], bool]:
    if Path(until).is_file():
        return lambda: not Path(until).exists()
    end = time.monotonic() + float(until)
    return lambda: time.monotonic() > end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
