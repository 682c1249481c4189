"""The rules of the house that a machine can check: who imports whom, and how files are made."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed.files import for_each

TESTS = Path(__file__).parent
ROOT = TESTS.parent / "supervisor" / "pdsup"
# Each room imports itself and those before it; "" is the root's own files.
ROOMS = [
    "", "plan/document", "plan", "plan/engines", "plan/frontends", "plan/recipe", "plan/compile",
    "node", "units/process", "units/logs", "units/probes", "units", "journal", "answers", "cluster",
    "front", "agent", "api",
]  # fmt: skip
# The command line is a wing: what the agent is made of it knows only over the HTTP API.
WING = [
    "cli/terminal", "cli/screens", "cli/runs", "cli/logs", "cli/results", "cli", "cli/sweeps",
    "cli/live", "cli/bundle", "cli/verbs",
]  # fmt: skip
BELOW_THE_WING = ROOMS[: ROOMS.index("answers") + 1]
COMPOSITION_ROOT = "launch.py"
WORLD = {
    "aiohttp", "asyncio", "concurrent", "ctypes", "fcntl", "grp", "http", "logging",
    "multiprocessing", "os", "psutil", "pwd", "random", "resource", "rich", "secrets", "select",
    "shutil", "signal", "socket", "structlog", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request", "uvloop",
}  # fmt: skip
WORLDLY_CALLS = {"open", "print", "input"}
WORLDLY_METHODS = {
    "exists", "is_dir", "is_file", "iterdir", "mkdir", "open", "read_bytes", "read_text",
    "stat", "symlink_to", "unlink", "write_bytes", "write_text",
}  # fmt: skip
# What a query must not pay for, by the name it is imported under.
HEAVY = {"aiohttp", "jinja2", "prometheus_client", "psutil", "pydantic", "structlog", "uvloop"}
HEAVY |= {"yaml", "hostlist", "asyncio"}
NAMELESS = {"utils", "helpers", "common", "misc", "base", "manager"}
LONGEST = 400
MOST_FILES = 14
OWN_DATA = {"front/nginx_conf.py"}  # reads its template, which is a part of the program
# Rotation gives older logs other names: no new content, and the last name is free by then.
RENAMES = {"files.py", "units/logs/rotate.py"}
QUERIES = ["status", "wait", "logs", "events", "explain", "shutdown", "help", "version"]
MODULES = [p for p in sorted(ROOT.rglob("*.py")) if p.stem != "__init__"]
TEST_FILES = sorted(TESTS.rglob("*.py"))
CLOCKS = {
    "cpu_times", "getrusage", "monotonic", "monotonic_ns", "now", "perf_counter",
    "perf_counter_ns", "process_time", "process_time_ns", "thread_time", "time", "time_ns", "wall",
}  # fmt: skip
SPANS = {"duration", "elapsed", "lasted", "seconds", "took", "wait", "waited", "waits"}
WAITS = {"join", "timeout", "wait", "wait_for"}
PATIENCE_S = 30
MUTABLE_CALLS = {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "Queue"}
MUTATORS = {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, also late; ``from a import b`` is ``a.b`` where that is a
    module of ours."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only, so this test can read them"
            ours = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one for one in ours if is_ours(one)} or {node.module}
    return frozenset(found)


def is_ours(module: str) -> bool:
    path = ROOT.parent / module.replace(".", "/")
    return module.startswith("pdsup.") and (path.with_suffix(".py").exists() or path.is_dir())


def file_of(module: str) -> Path:
    path = ROOT.parent / module.replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(path: Path) -> str:
    folder = path.parent.relative_to(ROOT).as_posix()
    return "" if folder == "." else folder


def used(path: Path) -> list[Path]:
    """The files of ours that a file imports."""
    return [file_of(module) for module in imports(path) if module.split(".")[0] == "pdsup"]


def is_pure(path: Path) -> bool:
    return (ast.get_docstring(tree(path)) or "").endswith("Pure.")


NOT_MOCK = [path for path in MODULES if room(path) != "mock"]


@for_each(NOT_MOCK)
def test_a_room_imports_only_itself_and_earlier_ones(path: Path) -> None:
    if name(path) in (COMPOSITION_ROOT, "__main__.py"):
        return
    here = room(path)
    if here in WING:
        allowed = [*BELOW_THE_WING, *WING[: WING.index(here) + 1]]
    else:
        allowed = ROOMS[: ROOMS.index(here) + 1]
    assert {name(one) for one in used(path) if room(one) not in allowed} == set()


@for_each(MODULES)
def test_the_rest_knows_engines_and_frontends_by_their_interface(path: Path) -> None:
    for own, interface in (("plan/engines", "engine"), ("plan/frontends", "frontend")):
        known = {f"{own}/__init__.py", f"{own}/{interface}.py", f"{own}/known.py"}
        inside = {name(one) for one in used(path) if room(one) == own}
        assert room(path) == own or inside <= known


@for_each(MODULES)
def test_nothing_imports_the_composition_root(path: Path) -> None:
    assert "pdsup.launch" not in imports(path)


@for_each(sorted(ROOT.glob("mock/*.py")))
def test_the_mock_engine_imports_nothing_of_the_rest(path: Path) -> None:
    assert {name(one) for one in used(path) if room(one) != "mock"} == set()


@for_each(NOT_MOCK)
def test_nothing_imports_the_mock_engine(path: Path) -> None:
    assert {name(one) for one in used(path) if room(one) == "mock"} == set()


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda p: p.name)
def test_a_folder_is_small_enough_to_look_through(folder: Path) -> None:
    if folder.name != "verbs":
        assert len([path for path in MODULES if path.parent == folder]) <= MOST_FILES


@for_each([p for p in MODULES if p.stem.endswith("_rules")])
def test_a_file_of_rules_is_pure(path: Path) -> None:
    assert is_pure(path)


@for_each(MODULES)
def test_a_pure_file_imports_only_pure_ones(path: Path) -> None:
    if not is_pure(path):
        return
    assert {m for m in imports(path) if m in WORLD or m.split(".")[0] in WORLD} == set()
    assert [name(one) for one in used(path) if one.stem != "__init__" and not is_pure(one)] == []


@for_each(MODULES)
def test_a_pure_file_touches_no_files_and_streams(path: Path) -> None:
    if not is_pure(path):
        return
    if name(path) in OWN_DATA:
        return
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    touched = {f.id for f in calls if isinstance(f, ast.Name)} & WORLDLY_CALLS
    touched |= {f.attr for f in calls if isinstance(f, ast.Attribute)} & WORLDLY_METHODS
    assert touched == set()


@for_each([p for p in MODULES if name(p) not in RENAMES])
def test_a_file_is_replaced_only_by_the_module_for_it(path: Path) -> None:
    assert [node.lineno for node in ast.walk(tree(path)) if moves_a_file(node)] == []


def moves_a_file(node: ast.AST) -> bool:
    """``Path.replace`` has one argument, ``str.replace`` two, ``dataclasses.replace`` names."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=called)):
            return called in ("rename", "renames", "replace")
        case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
            return True
        case ast.Call(func=ast.Attribute(attr="rename" | "move")):
            return True
    return False


@for_each(MODULES)
def test_a_module_holds_no_state_that_changes(path: Path) -> None:
    module = tree(path)
    containers = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and mutable(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert {one for one in containers if one != one.upper()} <= {"__all__"}
    assert containers & set(changed(module)) == set()
    assert [node for node in ast.walk(module) if isinstance(node, ast.Global)] == []


@for_each(NOT_MOCK)
def test_nobody_sets_an_attribute_of_another_part(path: Path) -> None:
    """What one part wants of another is an argument or a message; a file may fill its own records,
    whose classes are in it."""
    module = tree(path)
    bodies = [node.body for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    fields = {
        one.target.id
        for body in bodies
        for one in body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }
    foreign = [
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) not in ("self", "sys")
        and node.attr not in fields
    ]
    assert foreign == []


def mutable(value: ast.expr | None) -> bool:
    match value:
        case ast.Dict() | ast.List() | ast.Set() | ast.DictComp() | ast.ListComp() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=called)) | ast.Call(func=ast.Attribute(attr=called)):
            return called in MUTABLE_CALLS
    return False


def changed(module: ast.Module) -> list[str]:
    """Names whose value is changed in place somewhere in a module."""
    found = []
    for node in ast.walk(module):
        match node:
            case ast.Subscript(value=ast.Name(id=one), ctx=ast.Store() | ast.Del()):
                found.append(one)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=one), attr=called)):
                found += [one] if called in MUTATORS else []
            case ast.AugAssign(target=ast.Name(id=one)):
                found.append(one)
    return found


@for_each(MODULES)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@for_each(MODULES)
def test_a_file_is_named_for_what_it_is(path: Path) -> None:
    assert path.stem not in NAMELESS
    assert ast.get_docstring(tree(path)), "a module says what it is for"


@for_each([path for path in NOT_MOCK if path.stem != "address"])
def test_a_host_and_a_port_are_put_together_in_one_file(path: Path) -> None:
    """Elsewhere one forgets the brackets of an IPv6 address."""
    texts = [node.values for node in ast.walk(tree(path)) if isinstance(node, ast.JoinedStr)]
    assert [value for values in texts for value in triples(values) if is_endpoint(*value)] == []


def triples(values: list[ast.expr]) -> Iterator[tuple[ast.expr, ast.expr, ast.expr]]:
    return zip(values, values[1:], values[2:], strict=False)


def is_endpoint(before: ast.expr, between: ast.expr, after: ast.expr) -> bool:
    """``{...}:{...port...}`` in a text."""
    match before, between, after:
        case ast.FormattedValue(), ast.Constant(value=":"), ast.FormattedValue(value=value):
            return "port" in ast.unparse(value)
    return False


@for_each(TEST_FILES)
def test_a_test_waits_for_conditions_not_for_a_time(path: Path) -> None:
    module = tree(path)
    loops = [node for node in ast.walk(module) if isinstance(node, ast.While)]
    looped = {inner for loop in loops for inner in ast.walk(loop)}
    naps = [node.lineno for node in ast.walk(module) if is_nap(node) and node not in looped]
    assert naps == []


def is_nap(node: ast.AST) -> bool:
    """A sleep of a fixed time; 0 only lets others have their turn."""
    match node:
        case ast.Call(func=called, args=[ast.Constant(value=seconds)]) if seconds != 0:
            return ast.unparse(called) in ("time.sleep", "asyncio.sleep", "sleep")
    return False


@for_each(TEST_FILES)
def test_a_test_counts_and_leaves_speed_to_the_benchmark(path: Path) -> None:
    assert time_assertions(tree(path)) == []
    assert impatient(tree(path)) == []


def time_assertions(module: ast.Module) -> list[int]:
    """Lines that assert how much time something took; stamps may be put in order."""
    found = set()
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            loops = [node for node in ast.walk(function) if isinstance(node, ast.While)]
            looped = {inner for loop in loops for inner in ast.walk(loop)}
            asserts = {node for node in ast.walk(function) if isinstance(node, ast.Assert)}
            clocked, spans = clock_names(function)
            for node in asserts - looped:  # those in loops are deadlines of what is waited for
                found |= {node.lineno} if bounds_time(node.test, clocked, spans) else set()
    return sorted(found)


def clock_names(function: ast.AST) -> tuple[set[str], set[str]]:
    """Names whose value is a clock's, and those that are computed from such."""
    clocked: set[str] = set()
    spans = set(SPANS)
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name_, value in pairs:
                if isinstance(name_, ast.Name) and is_span(value, clocked, spans):
                    spans.add(name_.id)
                elif isinstance(name_, ast.Name) and reads_clock(value, clocked):
                    clocked.add(name_.id)
    return clocked, spans


def reads_clock(value: ast.AST, clocked: set[str]) -> bool:
    for node in ast.walk(value):
        match node:
            case ast.Call(func=ast.Attribute(attr=called)) if called in CLOCKS:
                return True
            case ast.Name(id=one) if one in clocked:
                return True
    return False


def is_span(value: ast.AST, clocked: set[str], spans: set[str]) -> bool:
    for node in ast.walk(value):
        match node:
            case ast.BinOp(op=ast.Sub() | ast.Add()) if reads_clock(node, clocked):
                return True
            case ast.Name(id=one) if one in spans:
                return True
    return False


def bounds_time(test: ast.expr, clocked: set[str], spans: set[str]) -> bool:
    orders = ast.Lt | ast.LtE | ast.Gt | ast.GtE
    compares = [node for node in ast.walk(test) if isinstance(node, ast.Compare)]
    return any(
        any(isinstance(op, orders) for op in node.ops) and is_span(node, clocked, spans)
        for node in compares
    )


def impatient(module: ast.Module) -> list[int]:
    """Waits for what is going to happen whose limit a slow machine may reach."""
    found = []
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(attr=called), args=[*_, ast.Constant(value=limit)]):
                found += [node.lineno] if called in WAITS and is_short(limit) else []
            case ast.BinOp(
                left=ast.Call(func=ast.Attribute(attr=called)), right=ast.Constant(value=limit)
            ):
                found += [node.lineno] if called in CLOCKS and is_short(limit) else []
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=limit)):
                found += [node.lineno] if name.startswith("LIMIT") and is_short(limit) else []
            case ast.keyword(arg="timeout", value=ast.Constant(value=limit)):
                found += [node.lineno] if is_short(limit) else []
        match node:
            case ast.Call(
                func=ast.Name(id="until") | ast.Attribute(attr="until"),
                keywords=[ast.keyword(arg="within", value=ast.Constant(value=limit))],
            ):
                found += [node.lineno] if limit < PATIENCE_S else []
    return found


def is_short(limit: object) -> bool:
    """Less is for what is not going to happen, or as long as it takes."""
    return isinstance(limit, int | float) and 1 <= limit < PATIENCE_S


TIMED = [
    "def t():\n began = time.monotonic()\n f()\n assert time.monotonic() - began < 1",
    "def t():\n end = clock.monotonic() + 5\n f()\n assert clock.monotonic() < end",
    "def t():\n took = f()\n assert took <= 0.5",
    "def t():\n assert min(waits) < 0.05",
    "async def t():\n a = time.time()\n async def i():\n  assert f()['at'] - a < 2\n await i()",
]
NOT_TIMED = [
    "def t():\n before = time.time()\n assert before <= f() <= time.time()",
    "def t():\n end = time.monotonic() + 60\n while not f(): assert time.monotonic() < end",
    "def t():\n assert f().seconds == 2.0",
    "def t():\n assert len(f()) < 5",
]


@pytest.mark.parametrize("text", TIMED)
def test_an_assertion_on_time_is_found(text: str) -> None:
    assert len(time_assertions(ast.parse(text))) == 1


@pytest.mark.parametrize("text", NOT_TIMED)
def test_an_order_a_deadline_and_a_number_are_no_assertions_on_time(text: str) -> None:
    assert time_assertions(ast.parse(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "p.wait(5)", "asyncio.timeout(20)", "until(f, 'x', within=2.0)", "LIMIT_S = 10.0",
        "asyncio.wait_for(task, 5)", "end = time.monotonic() + 5", "p.communicate(timeout=20)",
    ],
)  # fmt: skip
def test_a_wait_that_is_cut_short_is_found(text: str) -> None:
    assert impatient(ast.parse(text)) == [1]


@pytest.mark.processes
@pytest.mark.parametrize("verb", QUERIES)
def test_a_query_does_not_pay_for_what_a_server_imports(verb: str, tmp_path: Path) -> None:
    given = {"logs": ["some-unit"], "explain": ["some-unit"], "wait": ["--timeout", "0"]}
    assert imported_by([verb, *given.get(verb, [])], tmp_path) & HEAVY == set()


@pytest.mark.processes
def test_an_agent_imports_nothing_that_only_a_recipe_or_an_exception_needs() -> None:
    """Its units wait for what it imports, and it holds that in memory for as long as they run."""
    certificate = TESTS / "journal" / "server.pem"
    script = (
        "import os, sys, pdsup.launch; from aiohttp import connector\n"
        "contexts = connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED\n"
        "print(os.environ['SSL_CERT_FILE'], [each.get_ca_certs() for each in contexts])\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"SSL_CERT_FILE": str(certificate)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    certificates, modules_line = done.stdout.splitlines()
    assert certificates == f"{certificate} [[], []]"
    modules = {*modules_line.split()}
    assert {one for one in modules if one.startswith("pdsup.plan.recipe.")} == set()
    assert {"jinja2", "psutil", "rich", "structlog", "difflib"} & modules == set()


@pytest.mark.processes
def test_a_command_that_becomes_an_agent_imports_as_little_as_it_can() -> None:
    script = (
        "import os, sys; from pdsup.cli.main import main\n"
        "os.execv = lambda *_: print('imported:', *sys.modules)\n"
        "main(['agent', 'plan.yaml', '--run-dir', 'x'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    first, *modules = done.stdout.splitlines()[0].split()
    assert first == "imported:"
    more = {"ctypes", "dataclasses", "hashlib", "inspect", "json", "shutil", "socket"}
    assert {*modules} & (HEAVY | more) == set()


@pytest.mark.processes
def test_checking_a_recipe_pays_only_for_reading_it(tmp_path: Path) -> None:
    recipe = str(TESTS.parent / "configs" / "demo.yaml")
    heavy = (HEAVY | {"hashlib", "socket"}) - {"yaml", "hostlist"}
    assert imported_by(["check", recipe], tmp_path) & heavy == set()


def imported_by(words: list[str], run_time: Path) -> set[str]:
    """The modules that a command has imported at its end."""
    script = (
        "import sys; from pdsup.cli.main import main\n"
        f"main({words!r})\n"
        "print('imported:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"XDG_RUNTIME_DIR": str(run_time), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, *modules = done.stdout.splitlines()[-1].split()
    assert (done.returncode, first) == (0, "imported:")
    return set(modules)


@for_each([*MODULES, *sorted((TESTS.parent / "bench").rglob("*.py"))])
def test_every_exception_from_a_rule_about_security_has_its_reason_beside_it(path: Path) -> None:
    codes = re.compile(r"# noqa: [A-Z0-9, ]*\bS[0-9]+[A-Z0-9, ]*(?P<reason>.*)")
    found = (codes.search(line) for line in path.read_text().splitlines())
    assert [one[0] for one in found if one and len(one["reason"].strip(" #()")) < 5] == []
