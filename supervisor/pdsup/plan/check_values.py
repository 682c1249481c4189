"""Checks each value of a plan by itself: names, numbers, commands, files.

Types have been checked before (``plan/recipe/schema.py``); ``plan/compile/check_relations.py``
checks how units fit together. Pure.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator

from pdsup.address import is_ipv6
from pdsup.errors import Problem
from pdsup.plan import check_probes, check_sizes, hooks
from pdsup.plan.check_sizes import positive
from pdsup.plan.model import Log, Nginx, Plan, PlanUnit, Restart, Stop
from pdsup.times import duration
from pdsup.typed import show

# Names are used in file names, commands and URLs.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
LONGEST_NAME = 200
# YAML limits the length: a longer key can't be written on one line.
VARIABLE = re.compile(r"[^=\0]{1,255}", re.DOTALL)
# Commands that take unit names give these words another meaning.
RESERVED = frozenset({"all"})
# Beside the node-local directories of the nodes lies a link of this name (node/paths.py).
RESERVED_NODE = "run"
SIGNALS = frozenset({"HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "ALRM", "TERM"})
# A rotation takes time: it must not happen at every line, nor rename too many files.
LEAST_LOG = 1 << 16
MOST_LOGS = 1000
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
_TIME = re.compile(r"[0-9]+(ms|s|m|h|d)?")
_HEADER = re.compile(r"[A-Za-z0-9_-]{1,100}")
_KILOBYTES = re.compile(r"[1-9][0-9]{0,3}[kK]")
# Each name of a variable is compared with every pattern.
MOST_PATTERNS = 100
# A pattern of stars alone would hide everything.
_PATTERN = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_*?.-]{1,100}")
_PATH = re.compile(r"/[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,200}")
_NGINX_VALUES = (
    ("keepalive_timeout", _TIME, "time like 600s"),
    ("stream_timeout", _TIME, "time like 24h"),
    ("client_max_body_size", _SIZE, "size like 45m"),
    ("client_header_size", _KILOBYTES, "size like 32k"),
    ("proxy_buffer_size", _KILOBYTES, "size like 32k"),
    ("session_affinity_header", _HEADER, "name like X-Session-ID"),
)
# In a quoted string three characters are special to nginx.
_PREFIX = re.compile(r'/[^"\\$\0-\x1f\x7f]*')


def check(plan: Plan) -> Iterator[Problem]:
    """A problem for every value that can't be used."""
    if not NAME.fullmatch(plan.name):
        yield Problem("name", bad_name(plan.name))
    yield from _port("control_port", plan.control_port)
    for index, node in enumerate(plan.nodes):
        if not NAME.fullmatch(node.name):
            yield Problem(f"nodes.{index}.name", bad_name(node.name))
        if node.name == RESERVED_NODE:
            message = f"{node.name!r} is the name of a file beside those of nodes; rename the node"
            yield Problem(f"nodes.{index}.name", message)
        if not is_address(node.address):
            message = f"{node.address!r} is neither a host name nor an IP address"
            yield Problem(f"nodes.{index}.address", message)
    yield from hooks.check(plan.hooks)
    if len(plan.secrets) > MOST_PATTERNS:
        yield Problem("secrets", f"has {len(plan.secrets)} patterns; at most {MOST_PATTERNS}")
    for index, pattern in enumerate(plan.secrets[:MOST_PATTERNS]):
        if not _PATTERN.fullmatch(pattern):
            message = f"{show(pattern)} is not the pattern of a name, such as ACME_*"
            yield Problem(f"secrets.{index}", message)
    for index, unit in enumerate(plan.units):
        yield from _unit(f"units.{index}", unit)


def is_address(text: str) -> bool:
    """Whether ``text`` is a host name or an IP address; URLs and nginx support no IPv6 scope."""
    if not is_ipv6(text):
        return NAME.fullmatch(text) is not None
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def bad_name(name: str) -> str:
    """What is wrong with a name that does not match ``NAME``."""
    if not name:
        return "is empty; give a name"
    if len(name) > LONGEST_NAME:
        return (
            f"{show(name[:40])}... has {len(name)} characters; at most {LONGEST_NAME} are allowed"
        )
    begin = ", and not begin with '.' or '-'" if name[0] in ".-" else ""
    return f"{show(name)} may contain only letters, digits, '.', '_' and '-'{begin}"


def _unit(at: str, unit: PlanUnit) -> Iterator[Problem]:
    if not NAME.fullmatch(unit.name) or unit.name in RESERVED:
        reserved = f"{unit.name!r} means every unit; choose another name"
        yield Problem(f"{at}.name", reserved if unit.name in RESERVED else bad_name(unit.name))
    yield from _command(at, unit)
    for purpose, port in unit.ports.items():
        if not NAME.fullmatch(purpose):
            yield Problem(f"{at}.ports.{purpose}", bad_name(purpose))
        yield from _port(f"{at}.ports.{purpose}", port)
    if len(set(unit.gpus)) < len(unit.gpus) or min(unit.gpus, default=0) < 0:
        yield Problem(f"{at}.gpus", "must be distinct numbers, 0 or more")
    if unit.kind == "worker" and (unit.role is None or unit.rank is None):
        yield Problem(at, "a worker needs a role and a rank (0 unless it spans nodes)")
    yield from check_probes.check(f"{at}.probes", unit)
    yield from _restart(f"{at}.restart", unit.restart)
    yield from _stop(f"{at}.stop", unit.stop)
    yield from _log(f"{at}.log", unit.log)
    yield from _nginx(at, unit)


def _command(at: str, unit: PlanUnit) -> Iterator[Problem]:
    if not unit.command or not unit.command[0]:
        yield Problem(f"{at}.command", "is empty")
    if any("\0" in word for word in unit.command):
        yield Problem(f"{at}.command", "contains a NUL character")
    for name, value in unit.env.items():
        if not VARIABLE.fullmatch(name) or "\0" in value:
            yield Problem(f"{at}.env.{name}", "can't be an environment variable")
        if why := check_sizes.too_long(name, value):
            yield Problem(f"{at}.env.{name}", why)
    yield from check_sizes.command(f"{at}.command", unit.command, unit.env)


def _port(at: str, port: int) -> Iterator[Problem]:
    if not 1 <= port <= 65535:
        yield Problem(at, f"must be 1 to 65535, not {port}")


def _restart(at: str, restart: Restart) -> Iterator[Problem]:
    yield from positive(
        at,
        zero=True,
        first_delay_s=restart.first_delay_s,
        delay_s=restart.delay_s,
        limit_s=restart.limit_s,
        jitter=restart.jitter,
        window_s=restart.window_s,
        forgive_after_s=restart.forgive_after_s,
    )
    if not 1 <= restart.factor < math.inf:
        yield Problem(f"{at}.factor", f"must be at least 1, not {restart.factor}")
    if restart.max_failures < 0:
        yield Problem(f"{at}.max_failures", f"must be at least 0, not {restart.max_failures}")
    elif (least := (restart.max_failures - 1) * restart.limit_s) > restart.window_s:
        message = f"is shorter than the waits of limit_s in between, {duration(least)}"
        yield Problem(f"{at}.window_s", f"{message}: the limit could never be reached")
    for index, name in enumerate(restart.fatal_signals):
        if not re.fullmatch(r"SIG[A-Z0-9]+", name):
            message = f"{name!r} is not the name of a signal, such as SIGILL"
            yield Problem(f"{at}.fatal_signals.{index}", message)


def _stop(at: str, stop: Stop) -> Iterator[Problem]:
    if stop.signal not in SIGNALS:
        message = f"must be one of {', '.join(sorted(SIGNALS))}, not {stop.signal!r}"
        yield Problem(f"{at}.signal", message)
    yield from positive(
        at, zero=True, timeout_s=stop.timeout_s, drain_timeout_s=stop.drain_timeout_s
    )
    yield from check_sizes.command(f"{at}.drain", stop.drain)


def _log(at: str, log: Log) -> Iterator[Problem]:
    parts = () if log.file is None else log.file.split("/")
    if log.file is not None and not all(map(NAME.fullmatch, parts)):
        message = f"{log.file[:60]!r} is not a plain path inside the log directory"
        if len(long := max(parts, key=len)) > LONGEST_NAME:
            message = bad_name(long)
        yield Problem(f"{at}.file", message)
    if log.max_bytes is not None and log.max_bytes < LEAST_LOG:
        yield Problem(f"{at}.max_bytes", f"must be at least {LEAST_LOG}, not {log.max_bytes}")
    if not 1 <= log.keep <= MOST_LOGS:
        yield Problem(f"{at}.keep", f"must be 1 to {MOST_LOGS}, not {log.keep}")
    for name in ("max_bytes", "timestamps"):
        if getattr(log, name) and log.mode != "pipe":
            yield Problem(f"{at}.{name}", "needs mode: pipe")


def _nginx(at: str, unit: PlanUnit) -> Iterator[Problem]:
    nginx: Nginx | None = unit.nginx
    if (nginx is not None) != (unit.kind == "nginx"):
        yield Problem(f"{at}.nginx", "is required for kind: nginx, and for no other kind")
    if nginx is None:
        return
    for name in {"http", "status"} - unit.ports.keys():
        yield Problem(f"{at}.ports", f"nginx needs a port {name!r}")
    for name, form, wanted in _NGINX_VALUES:
        if not form.fullmatch(getattr(nginx, name)):
            yield Problem(f"{at}.nginx.{name}", f"must be a {wanted}")
    for index, path in enumerate(nginx.refused_paths or ()):
        if not _PATH.fullmatch(path):
            yield Problem(f"{at}.nginx.refused_paths.{index}", "must be a path like /workers")
    if nginx.prefix is not None and not _PREFIX.fullmatch(nginx.prefix):
        message = 'must be an absolute path without ", \\, $ or control characters'
        yield Problem(f"{at}.nginx.prefix", message)
