"""The live page in a JavaScript runtime, with a document that is just enough for it."""

import json
import re
import shutil
import subprocess
import time

import pytest

from tests.test_architecture import ROOT

DOCUMENT = """
class Element {
  constructor() { this.children = []; this.style = {}; this.dataset = {}; this.textContent = ""; }
  append(...parts) { this.children.push(...parts); }
  replaceChildren(...parts) { this.children = parts; }
  text() {
    return [this.textContent, ...this.children.map(one => one.text ? one.text() : one)].join(" ");
  }
}
const known = {};
globalThis.document = {
  createElement: () => new Element(), getElementById: id => known[id] ||= new Element(),
};
globalThis.EventSource = class { constructor() { globalThis.feed = this; } };
globalThis.setInterval = () => 0;
"""
SHOW = """
feed.onmessage({data: process.argv[1]});
const shown = {};
for (const id of ["name", "url", "nodes", "roles", "units", "events"]) {
  shown[id] = [known[id].textContent, ...known[id].children.map(one => one.text())];
}
console.log(JSON.stringify(shown));
"""
UNIT = {
    "name": "decode-0", "kind": "worker", "role": "decode", "node": "node0", "state": "RUNNING",
    "ready": True, "restarts": 2, "reason": "", "last_exit": None,
}  # fmt: skip
NGINX = {
    "name": "nginx", "kind": "nginx", "role": None, "node": "node0", "state": "RUNNING",
    "ready": False, "restarts": 0, "reason": "no router is ready", "last_exit": None,
}  # fmt: skip


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript runtime is here")
def test_the_live_page_shows_each_unit_and_event_of_what_it_is_fed():
    now = time.time()
    units = [{**UNIT, "since": now - 65}, {**NGINX, "since": None}]
    agent = {"reachable": True}
    event = {"at": now - 1, "node": "node0", "unit": "decode-0", "event": "Exited",
             "before": "RUNNING", "to": "BACKOFF", "reason": "killed by SIGKILL"}  # fmt: skip
    status = {"cluster": "demo", "url": "http://node0:8000",
              "nodes": [{"node": "node0", "agent": agent, "units": units}]}  # fmt: skip
    fed = json.dumps({"status": status, "events": [event], "now": now})
    (script,) = re.findall(
        r"<script>(.*)</script>", (ROOT / "api" / "page.html").read_text(), re.DOTALL
    )
    done = subprocess.run(
        ["node", "-e", f"{DOCUMENT}{script}{SHOW}", "--", fed],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["name"], shown["url"], shown["nodes"]) == (
        ["demo"], ["http://node0:8000"], ["1 node"],
    )  # fmt: skip
    _, first, second = (" ".join(text.split()) for text in shown["units"])
    assert first == "nginx RUNNING node0 no router is ready"
    assert second == "decode-0 RUNNING 1 min 5 s node0 restarts 2"
    assert "0 / 1" in " ".join(shown["roles"])
    assert "RUNNING → BACKOFF killed by SIGKILL" in " ".join(shown["events"][1].split())
