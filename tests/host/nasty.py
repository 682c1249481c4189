"""Children that no supervisor wants: ``nasty.py KIND [ARGUMENT...]``.

Standard library only and quick to start (run it with ``-S``). Those that say where they are
append a line with a pid to the file of their first argument.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

FOR_EVER = 1000.0  # seconds, longer than any test


def announce(file: str) -> None:
    with Path(file).open("a") as out:
        out.write(f"{os.getpid()}\n")


def sleep(file: str | None = None) -> None:
    if file:
        announce(file)
    time.sleep(FOR_EVER)


def ignores_term(file: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(file)


def drains(file: str, seconds: str) -> None:
    """Ends by itself, a while after it was asked to."""

    def end(*_: object) -> None:
        time.sleep(float(seconds))
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    sleep(file)


def daemon(file: str, *how: str) -> None:
    """Leaves a process behind that hides in the given ways, and lives on."""
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        if "closed" in how:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
        if "deaf" in how:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        announce(file)
        if "cleared" in how:
            os.execve("/bin/sleep", ["sleep", "1000"], {})  # noqa: S606
        if "renamed" in how:
            rename()
        time.sleep(FOR_EVER)
    os.wait()
    sleep(file)


def rename() -> None:
    """What setproctitle and some C programs do: a title where arguments and environment were."""
    libc = ctypes.CDLL(None)
    libc.prctl(15, b"\xff) R 1 ( x", 0, 0, 0)  # PR_SET_NAME, made to confuse readers of stat
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    first, last = int(fields[45]), int(fields[48])  # arg_start, env_end
    ctypes.memset(first, 0, last - first)


def renamed(file: str) -> None:
    rename()
    sleep(file)


def leader_first(file: str, code: str = "3") -> None:
    """Ends while a child lives that holds stdout open."""
    if os.fork() == 0:
        sleep(file)
    while not Path(file).exists():
        time.sleep(0.001)
    sys.exit(int(code))


def forks(file: str) -> None:
    """A chain of processes: each forks the next and ends, so that a pid is old when it is read."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        announce(file)
        while True:
            if os.fork():
                time.sleep(0.0005)
                os._exit(0)
    sleep(file)


def breeds(file: str) -> None:
    """Starts children all the time, each of which starts a child; none is waited for."""
    announce(file)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(0.05)
            os._exit(0)
        time.sleep(0.002)


def floods(file: str) -> None:
    announce(file)
    block = b"x" * 999 + b"\n"
    while True:
        os.write(1, block * 100)
        time.sleep(0.002)


def executes(file: str) -> None:
    """Becomes another program, with the same pid."""
    announce(file)
    os.execv("/bin/sleep", ["sleep", "1000"])  # noqa: S606


def frozen(file: str) -> None:
    announce(file)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(FOR_EVER)


def exits(code: str = "0") -> None:
    sys.exit(int(code))


def tells_twice(file: str) -> None:
    """Writes a line, and another one when the file with its pid is gone."""
    os.write(1, b"first\n")
    announce(file)
    while os.path.exists(file):  # noqa: PTH110
        time.sleep(0.005)
    os.write(1, b"second\n")
    time.sleep(FOR_EVER)


def crashes(file: str) -> None:
    """Dies in the middle of a line."""
    announce(file)
    os.write(1, b"loading 12 %")
    os.kill(os.getpid(), signal.SIGKILL)


def unkillable(file: str, go: str | None = None) -> None:
    """Lets a tracer hold it. With ``go`` that is its child; it ends itself when that file is there.

    Stands for a process in an uninterruptible wait.
    """
    if go and os.fork():
        while not Path(go).exists():
            time.sleep(0.001)
        sys.exit(3)
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: anybody
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(file)


def holds(pid: str) -> None:
    """The tracer: what it holds does not end, also not by SIGKILL, before this one ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, int(pid), 0, 0x40):  # PTRACE_SEIZE with PTRACE_O_TRACEEXIT
        sys.exit(os.strerror(ctypes.get_errno()))
    print("holds", flush=True)
    signal.pause()


def listens(address: str, port: str) -> None:
    with socket.create_server((address, int(port))):
        print("listens", flush=True)
        time.sleep(FOR_EVER)


def leaves_a_listener(file: str, address: str, port: str) -> None:
    """A child keeps the port when the main process is gone."""
    listener = socket.create_server((address, int(port)))
    if os.fork() == 0:
        os.setsid()
        sleep(file)
    listener.close()
    sleep(file)


def serves(file: str, address: str, port: str) -> None:
    """HTTP that answers as the file says: a status, or ``hang``. Appends to FILE.asked each time.

    Asked to end, it goes on for a while, as an engine does that has requests left.
    """
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with Path(f"{file}.asked").open("a") as asked:
                asked.write("asked\n")
            said = Path(file).read_text()
            if said == "hang":
                time.sleep(FOR_EVER)
            self.send_response(int(said))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, int(port)), Handler)
    server.daemon_threads = True

    def end(*_: object) -> None:
        Path(f"{file}.asked").write_text("")
        threading.Timer(0.3, os._exit, (0,)).start()

    signal.signal(signal.SIGTERM, end)
    server.serve_forever()


def tells(file: str) -> None:
    """Writes what it was given."""
    facts = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "descriptors": sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()),
        "status": Path("/proc/self/status").read_text(),
        "environ": dict(os.environ),
    }
    aside = Path(f"{file}.new")
    aside.write_text(json.dumps(facts))
    aside.rename(file)
    time.sleep(FOR_EVER)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        globals()[sys.argv[1]](*sys.argv[2:])
