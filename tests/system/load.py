"""A small real client: asks again and again, and counts what was answered."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from dataclasses import dataclass, field
from types import TracebackType


def chat(url: str, tokens: int = 8, *, stream: bool = False, timeout: float = 30.0) -> bytes:
    """One chat request; the body of the answer. Raises OSError when it fails or is cut."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": tokens,
        "stream": stream,
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text: bytes = answer.read()
    whole = text.rstrip().endswith(b"data: [DONE]") if stream else b'"choices"' in text
    if not whole:
        raise OSError(f"the answer is cut: {text[-80:]!r}")
    return text


@dataclass
class Load:
    """Clients, each with one request at a time, until the ``with`` block ends."""

    url: str
    clients: int = 4
    tokens: int = 8
    stream: bool = False
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                chat(self.url, self.tokens, stream=self.stream)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures.append(str(error))
            else:
                with self._lock:
                    self.answered += 1
