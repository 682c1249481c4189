"""Talks to the agents of a run over their control sockets, or to what a past run has left.

A query must feel instant, so this module imports little, and nothing of the agent.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pdsup import clock, typed
from pdsup.answers.status import Status
from pdsup.cli.runs import choice, living
from pdsup.cli.runs.choice import Run
from pdsup.cli.runs.living import Cluster as Cluster
from pdsup.cli.runs.named import Source, given
from pdsup.errors import NothingThere, SupervisorError
from pdsup.node import control_socket
from pdsup.times import duration

if TYPE_CHECKING:
    from pdsup.answers.commands import LogFile
    from pdsup.cli.runs.past import PastRun

TIMEOUT_S = 10.0
# An agent answers in milliseconds. One that does not for this long may stand still: then another
# one of the cluster is asked as well.
PATIENCE_S = 0.3
# A guardian notices after 10 to 15 s that its agent stands still.
REPLACED_S = 20.0
# No unit of a plan has a longer name.
LONGEST_NAME = 200
# How long one long poll lasts; times on a live view are at most this old.
TICK_S = 1.0

# How much of what an agent says goes into a message: all that one has to say.
LONGEST = 1 << 16

T = TypeVar("T")


class Answer(NamedTuple):
    """The answer of an agent. ``value`` is None for 304, the long poll's "nothing new"."""

    value: Any
    version: str | None


class Look(NamedTuple):
    """One look at a cluster: the last status that an agent reported (None: none yet) and whether it
    is ``new``. ``absent`` says why no agent answered this time.
    """

    status: Status | None
    new: bool
    absent: NothingThere | None = None


def cluster(
    run_dir: str | None,
    purpose: str = "ask",
    *,
    looks: bool = False,
    returns_in: float = choice.RETURN_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> Cluster:
    """The agents of the run that is meant; the arguments are those of ``choice.choose``.

    Raises NothingThere if no agent of it answers, WrongUsage if it is not clear which run is meant.
    """
    run = choice.choose(run_dir, purpose, looks=looks, returns_in=returns_in, meanwhile=meanwhile)
    return answering(run, purpose)


def seen(run_dir: str | None, purpose: str) -> Cluster | PastRun:
    """The run that a command looks at: its agents, or what it has left if none answers.

    Says on stderr which run that is if it was not named and several are active, and from when it is
    if it is past. Raises NothingThere if there is no such run.
    """
    run = choice.choose(run_dir, purpose, looks=True)
    if not run.cluster.sockets:
        past = _past(run, purpose)
        _say(past.headline)
        return past
    if run.source is Source.NEWEST:
        _say(
            f"{run.active} runs are active; this is the newest, in {run.words} "
            "(--run-dir chooses another)"
        )
    return run.cluster


def commanded(run_dir: str | None, purpose: str) -> Cluster:
    """The agents of the run that a command changes; says on stderr which run that is, unless it was
    named or is the only one, and of this directory. Raises what ``cluster`` raises.
    """
    run = choice.choose(run_dir, purpose)
    agents = answering(run, purpose)
    if not (run.source.is_named or (run.source is Source.NEARBY and run.active == 1)):
        _say(f"{purpose} of {run}")
    return agents


def _say(text: str) -> None:
    from pdsup.cli.terminal.say import say  # late: mostly there is nothing to say

    say(f"pdsup: {text}")


def answering(run: Run, purpose: str) -> Cluster:
    """The agents of a run. Raises NothingThere, with the reason, if none of them answers."""
    if run.cluster.sockets:
        return run.cluster
    raise NothingThere(f"cannot {purpose}: {_past(run, purpose).why}")


def _past(run: Run, purpose: str) -> PastRun:
    """A run of which no agent answers. Raises NothingThere if agents of it are only stopped."""
    if stopped := living.stopped(run.cluster):
        names = ", ".join(f"{node} (pid {pid})" for node, pid in stopped)
        raise NothingThere(
            f"cannot {purpose}: the agent of {names} is stopped (SIGSTOP); its guardian replaces "
            f"it within 15 s, or continue it: kill -CONT {' '.join(str(pid) for _, pid in stopped)}"
        )
    from pdsup.cli.runs.past import PastRun  # late: reads plans and journals

    return PastRun(run.words, run.cluster)


def with_returning_agents(found: Cluster) -> Cluster:
    """The same cluster once the killed or stopped agents that their guardians replace answer again,
    or after ``REPLACED_S`` seconds.
    """
    until = clock.monotonic() + REPLACED_S
    while clock.monotonic() < until and living.is_returning(found):
        time.sleep(choice.LOOK_S)
        found = living.cluster_of(Path(found.run_dir))
    return found


def run_directory(run_dir: str | None, purpose: str) -> Path:
    """The directory of the run that a command looks at, active or past, as it was named.

    Raises what ``seen`` raises.
    """
    run = choice.choose(run_dir, purpose, looks=True, returns_in=0.0)
    named = given(run_dir)
    return named.path if named else Path(run.cluster.run_dir)


def ask(path: Path, query: str, *, wait: float = 0.0) -> Answer:
    """Sends ``GET query`` to a control socket. Raises NothingThere if the agent is gone."""
    return _request(path, "GET", query, "", TIMEOUT_S + wait)


def ask_any(paths: Sequence[Path], query: str) -> Answer:
    """Sends ``GET query`` to the first agent, and to one more after each ``PATIENCE_S`` without an
    answer; the first answer counts. Raises NothingThere if none gives one.
    """
    left, waiting = list(paths), dict[socket.socket, Path]()
    until = clock.monotonic() + TIMEOUT_S
    why = NothingThere(f"cannot ask {query}: there is no agent")
    with contextlib.ExitStack() as stack:
        while left or (waiting and clock.monotonic() < until):
            if left:
                path = left.pop(0)
                try:
                    waiting[stack.enter_context(_sent(path, "GET", query, "", TIMEOUT_S))] = path
                except NothingThere as error:
                    why = error
            patience = PATIENCE_S if left else until - clock.monotonic()
            for connection in select.select(list(waiting), [], [], max(0.0, patience))[0]:
                try:
                    return _received(connection, waiting.pop(connection), f"GET {query}")
                except NothingThere as error:
                    why = error
    if waiting:
        nodes = ", ".join(path.parent.name for path in waiting.values())
        raise NothingThere(
            f"cannot ask the agent of {nodes}: no answer within {duration(TIMEOUT_S)}"
        )
    raise why


def ask_all(paths: Sequence[Path], query: str) -> list[Answer | None]:
    """Sends ``GET query`` to several agents at the same time; None for one that does not answer
    while others do.
    """
    with contextlib.ExitStack() as stack:
        waiting = {
            stack.enter_context(_sent(path, "GET", query, "", TIMEOUT_S)): path for path in paths
        }
        found: dict[Path, Answer] = {}
        while waiting:
            patience = PATIENCE_S if found else TIMEOUT_S
            ready = select.select(list(waiting), [], [], patience)[0]
            for connection in ready:
                path = waiting.pop(connection)
                found[path] = _received(connection, path, f"GET {query}")
            if not ready:
                break
        if not found:
            raise NothingThere(f"cannot ask {query}: no agent answers within {duration(TIMEOUT_S)}")
        return [found.get(path) for path in paths]


def tell(path: Path, command: str, value: Any, verb: str = "", *, wait: float = 0.0) -> Answer:
    """Sends ``POST command`` with a JSON value. Raises NothingThere if the agent is gone.

    ``verb``: the command of pdsup that asks, for the journal. ``wait``: how many seconds the agent
    may take for it.
    """
    return _request(path, "POST", command, json.dumps(value), TIMEOUT_S + wait, verb)


def read(kind: type[T], answer: Answer) -> T:
    """The value of an answer, parsed as ``kind``. Raises SupervisorError if it is not one."""
    value, faults = typed.read(kind, answer.value, lenient=True)
    if value is None:
        raise SupervisorError(
            f"cannot understand the agent's answer: {typed.in_one_line(faults[0])}; does it run "
            "another version?"
        )
    return value


def _request(
    path: Path, method: str, target: str, body: str, timeout: float, verb: str = ""
) -> Answer:
    """Sends one request on its own connection. The standard library's client would do, but
    importing it takes longer than the whole query.
    """
    with _sent(path, method, target, body, timeout, verb) as connection:
        return _received(connection, path, f"{method} {target}")


def _sent(
    path: Path, method: str, target: str, body: str, timeout: float, verb: str = ""
) -> socket.socket:
    """A connection with the request sent. Raises NothingThere if the agent is gone."""
    lines = (
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(body.encode())}",
        *((f"User-Agent: pdsup {verb}",) if verb else ()),
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
        if not control_socket.is_of_its_owner(connection, path):
            raise OSError("another user's process listens on its socket")
        connection.sendall("\r\n".join((*lines, "", body)).encode())
    except OSError as error:
        connection.close()
        raise _unanswered(path, error) from None
    return connection


def _unanswered(path: Path, error: OSError | None = None) -> NothingThere:
    """Why a request to the agent of a socket failed; ``error``: None if it hung up."""
    match error:
        case None | ConnectionError() | FileNotFoundError():
            why = living.silence(path)
        case TimeoutError():
            why = f"no answer within {duration(TIMEOUT_S)}"
        case _:
            why = error.strerror or str(error)
    return NothingThere(f"cannot ask the agent of {path.parent.name}: {why}")


def _received(connection: socket.socket, path: Path, request: str) -> Answer:
    """The answer on a connection. Raises NothingThere if the agent is gone."""
    try:
        response = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    except OSError as error:
        raise _unanswered(path, error) from None
    if not response:
        raise _unanswered(path)
    try:
        return _answer(request, response.decode())
    except (ValueError, IndexError, RecursionError):  # cut short, or not from an agent
        raise NothingThere(
            f"cannot ask the agent of {path.parent.name}: incomplete answer {response[:80]!r}"
        ) from None


def _answer(request: str, response: str) -> Answer:
    head, _, text = response.partition("\r\n\r\n")
    (first, *rest) = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    match int(first.split()[1]):
        case 200:
            return Answer(json.loads(text), headers.get("x-pdsup-version"))
        case 304:
            return Answer(None, None)
        case 404:
            raise NothingThere(text if text.startswith("cannot ") else f"cannot {request}: {text}")
        case 409:  # the agent refuses, in its own words
            raise SupervisorError(text[:LONGEST])
        case status:
            raise SupervisorError(f"cannot {request}: HTTP {status} {text[:LONGEST]}")


def status(found: Cluster | PastRun, *, every: bool) -> Status:
    """The status of every node of the plan, or only of those with an agent on this machine.

    A node whose agent here was killed is included, as others report it. A past run has no agents,
    so it shows every node.
    """
    if not isinstance(found, Cluster):
        return found.status()
    sockets = list(found.sockets.values())
    answers = [None] if every or found.silent else ask_all(sockets, "/v1/status")
    if None in answers:
        whole = read(Status, ask_any(sockets, "/v1/status?all=1"))
        here = found.sockets.keys() | found.silent
        return whole.replace(nodes=tuple(n for n in whole.nodes if every or n.node in here))
    parts = [read(Status, one) for one in answers if one is not None]
    return parts[0].replace(nodes=tuple(node for part in parts for node in part.nodes))


def follow(
    agent: Callable[[], Path], *, every: bool, until: float = float("inf")
) -> Iterator[Look]:
    """Yields the current status, then each change, and each second without one, until ``until`` (in
    monotonic seconds; the last look is then).

    ``agent`` returns the socket to ask; it may raise NothingThere, or return that of a new agent.
    ``every``: the status of every node of the plan, not only of the agent's.
    """
    version, status, left = "", None, until - clock.monotonic()
    nodes = "all=1&" if every else ""
    while True:
        began, wait = clock.monotonic(), max(0.0, min(TICK_S, left))
        query = f"/v1/status?{nodes}since={version}&wait={wait:.3f}"
        look = Look(status, new=False)
        try:
            answer = ask(agent(), query, wait=wait)
        except NothingThere as error:
            version, look = "", Look(status, new=False, absent=error)
        else:
            if answer.value is not None:
                version, status = answer.version or "", read(Status, answer)
                look = Look(status, new=True)
        yield look
        if left <= 0:
            return
        if not look.new:  # an agent that is stopping answers at once, whatever the wait
            time.sleep(max(0.0, min(began + choice.LOOK_S, until) - clock.monotonic()))
        left = until - clock.monotonic()


def first_agent(found: Cluster) -> Path:
    """The socket of the first agent on this machine."""
    return next(iter(found.sockets.values()))


def log_files(found: Cluster | PastRun) -> tuple[LogFile, ...]:
    """The logs of all units, in the order of the plan."""
    if not isinstance(found, Cluster):
        return found.log_files()
    from pdsup.answers.commands import LogFiles  # late: most commands do not need it

    return read(LogFiles, ask(first_agent(found), "/v1/logs")).logs


def about(query: str, unit: str, purpose: str) -> str:
    """The query about one unit. Raises NothingThere if no plan can have a unit of this name."""
    from urllib.parse import quote  # late: most commands need no such query

    if len(unit) > LONGEST_NAME:
        raise NothingThere(f"cannot {purpose} {unit[:40]}...: no such unit")
    return f"{query}/{quote(unit, safe='', errors='backslashreplace')}"


def log_file(found: Cluster, unit: str) -> LogFile:
    """The log of a unit of any node. Raises NothingThere if the plan has no such unit."""
    from pdsup.answers.commands import LogFile  # late: most commands do not need it

    answer = ask_any(list(found.sockets.values()), about("/v1/logs", unit, "show logs of"))
    return read(LogFile, answer)
