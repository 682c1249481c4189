"""The tour of ``make demo``: a whole cluster on this machine, a request, a crash, recovery.

Everything is done with the commands that users have; each is printed before it runs.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PDSUP = str(Path(sys.executable).with_name("pdsup"))
VICTIM = "decode-0"
CLIENTS = 4
BACK_WITHIN_S = 60.0
LOOK_S = 0.1


def main() -> int:
    """0 when every step showed what it should."""
    os.chdir(ROOT)
    run_dir = ROOT / "runs" / time.strftime("demo-%Y%m%d-%H%M%S")
    os.environ["PDSUP_RUN_DIR"] = str(run_dir)  # another cluster may run on this machine
    step("1. One command starts 4 nodes: 2 prefill and 2 decode workers, 4 routers, nginx")
    try:
        pdsup("up", "configs/demo.yaml", "--detach", "--run-dir", str(run_dir), "--timeout", "120")
        url = f"{status()['url']}/v1/chat/completions"
        step("2. A streaming chat request through nginx on port 8000")
        print(f"   POST {url}\n   " + "".join(stream(url)))
        step(f"3. Kill {VICTIM} (kill -9) while clients keep sending requests")
        kept_serving = kill_and_watch(url)
    finally:
        step("4. Stop everything")
        pdsup("shutdown", "--all")
    step("5. What is left? Its files: no agent answers, and nothing runs")
    print("   $ pdsup status", flush=True)
    left = subprocess.run([PDSUP, "status"], check=False)
    stopped = all(u["state"] == "STOPPED" for n in status()["nodes"] for u in n["units"])
    good = kept_serving and stopped and left.returncode == 3
    print(f"\nThe demo {'worked' if good else 'FAILED'}. Logs and journal: {run_dir}")
    return 0 if good else 1


def kill_and_watch(url: str) -> bool:
    """Whether requests were answered from the kill until the worker was ready again."""
    before = unit(VICTIM)
    clients = Clients(url)
    os.kill(before["pid"], signal.SIGKILL)
    print(f"   killed pid {before['pid']}")
    seen = ""
    until = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < until:
        now = unit(VICTIM)
        if now["state"] != seen:
            seen = now["state"]
            print(f"   {VICTIM} {seen:9} {now['reason']}")
        if now["run"] > before["run"] and now["ready"]:
            break
        time.sleep(LOOK_S)
    else:
        raise SystemExit(f"{VICTIM} did not recover within {BACK_WITHIN_S:g} s")
    answered, failed = clients.stop()
    print(f"   meanwhile {answered} requests were answered and {failed} failed")
    print(f"   (routers retry on another worker; at most the {CLIENTS} in flight could be lost)\n")
    pdsup("status")
    return failed <= CLIENTS < answered


class Clients:
    """A few clients that keep sending requests, each one at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._results: list[bool] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> tuple[int, int]:
        """Answered and failed requests."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return sum(self._results), len(self._results) - sum(self._results)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(chat(self._url, stream=False), timeout=30) as answer:
                    self._results.append(b"choices" in answer.read())
            except (OSError, http.client.HTTPException):
                self._results.append(False)


def chat(url: str, *, stream: bool) -> urllib.request.Request:
    """An OpenAI chat request."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Tell me about prefill and decode."}],
        "max_tokens": 24,
        "stream": stream,
    }
    headers = {"Content-Type": "application/json"}
    return urllib.request.Request(url, json.dumps(body).encode(), headers)


def stream(url: str) -> list[str]:
    """The pieces of a streamed answer."""
    pieces = []
    with urllib.request.urlopen(chat(url, stream=True), timeout=30) as answer:
        for line in answer:
            data = line.decode().removeprefix("data: ").strip()
            if data and data != "[DONE]":
                pieces.append(json.loads(data)["choices"][0]["delta"].get("content") or "")
    return pieces


def status() -> dict:
    """The status JSON of the whole cluster."""
    words = [PDSUP, "status", "--all", "--json"]
    return json.loads(subprocess.run(words, capture_output=True, check=False).stdout)


def unit(name: str) -> dict:
    """One unit of the status JSON."""
    return next(u for n in status()["nodes"] for u in n["units"] if u["name"] == name)


def pdsup(*words: str) -> None:
    """Runs a command as a user would."""
    print("   $ pdsup " + " ".join(words), flush=True)
    if subprocess.run([PDSUP, *words], check=False).returncode:
        raise SystemExit(f"pdsup {words[0]} failed")


def step(text: str) -> None:
    """The heading of a step."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
