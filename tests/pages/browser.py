"""A real browser without a window, told what to do over its debugging port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S = 60.0
LOOK_S = 0.02
# The last five keep it from asking the network for anything of its own.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-port=0", "--hide-scrollbars", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions",
)  # fmt: skip


def program() -> str:
    """The browser; the set-up of the tests installs it."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    assert found, "there is no Chromium; .ci/setup with the dev extra installs it"
    return found


class Tab:
    """One page in the browser. ``errors``: what its console, and the page itself, complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        """Takes in what the browser says, until it ends."""
        async for message in self._socket:
            value = json.loads(message.data)
            match value:
                case {"id": int(number)}:
                    self._answers.pop(number).set_result(value)
                case {"method": "Runtime.exceptionThrown", "params": params}:
                    self.errors.append(str(params["exceptionDetails"]))
                case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}")
                case {"method": "Runtime.consoleAPICalled", "params": {"type": "error"} as params}:
                    self.errors.append(str(params["args"]))
                case {"method": "Network.requestWillBeSent", "params": params}:
                    self.requests.append(params["request"]["url"])

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(LIMIT_S):
            value = await answer
        assert "error" not in value, value
        return dict(value["result"])

    async def open(self, url: str, width: int = 1280, *, dark: bool = False) -> None:
        """Shows a page as a screen of that width does, and waits until it has loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.do("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def ask(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str, within: float = LIMIT_S) -> None:
        """Returns when an expression is true in the page."""
        async with asyncio.timeout(within):
            while not await self.ask(script):  # noqa: ASYNC110 (it becomes true in the browser)
                await asyncio.sleep(LOOK_S)

    async def picture(self, path: Path) -> None:
        """A screenshot of the whole page."""
        answer = await self.do("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.asynccontextmanager
async def tab() -> AsyncIterator[Tab]:
    """A tab in a browser of its own, which has ended afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pd"))
    words = [program(), *OPTIONS, f"--user-data-dir={home}", "about:blank"]
    process = subprocess.Popen(  # noqa: ASYNC220 (returns at once)
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "HOME": str(home)},
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            port = await _port(home / "DevToolsActivePort")
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                pages = [one for one in await response.json() if one["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                made = Tab(ws)
                listening = asyncio.create_task(made.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await made.do(f"{domain}.enable")
                yield made
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT_S)
        shutil.rmtree(home, ignore_errors=True)


async def _port(path: Path) -> int:
    async with asyncio.timeout(LIMIT_S):
        while not (path.exists() and "\n" in path.read_text()):  # noqa: ASYNC110 (the browser's)
            await asyncio.sleep(LOOK_S)
    return int(path.read_text().splitlines()[0])
