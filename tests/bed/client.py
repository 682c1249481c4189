"""A small client that runs inside a bed: URL CLIENTS SECONDS.

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


def main(url: str, clients: int, seconds: float) -> int:
    """All clients, until the time is over."""
    until = time.monotonic() + seconds
    last: dict[int, str | None] = {}

    def go(number: int) -> None:
        while time.monotonic() < until:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
