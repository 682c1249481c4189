"""The rules of the house that a machine can check: who imports whom, and how files are made."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent / "supervisor"
STATIONS = ["plan", "assignment", "units", "cluster", "nginx", "agent", "api", "cli"]
CLI_MAY_NOT = {"agent", "cluster", "nginx"}
DOERS = ("er", "or", "main", "client", "guardian")  # names of modules that touch the world
WORLD = {
    "aiohttp", "asyncio", "concurrent", "ctypes", "fcntl", "grp", "http", "logging",
    "multiprocessing", "os", "psutil", "pwd", "random", "resource", "secrets", "select", "shutil",
    "signal", "socket", "structlog", "subprocess", "sys", "tempfile", "threading", "time",
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
LONGER_FOR_A_REASON = {"units/lifecycle.py": "one total state machine, read as one"}
OWN_DATA = {"nginx/config.py"}  # reads its template, which is a part of the program
QUERIES = ["status", "wait", "logs", "events", "explain", "shutdown", "help", "version"]
MODULES = [p for p in sorted(ROOT.rglob("*.py")) if p.stem != "__init__"]
TEST_FILES = sorted(TESTS.rglob("*.py"))
MUTABLE_CALLS = {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "Queue"}
MUTATORS = {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
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
    return found


def is_ours(module: str) -> bool:
    path = ROOT.parent / module.replace(".", "/")
    return module.startswith("supervisor.") and (path.with_suffix(".py").exists() or path.is_dir())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_doer(path: Path) -> bool:
    return (
        path.stem.endswith(DOERS)
        or name(path) in ("clock.py", "__main__.py")
        or name(path).startswith("cli/verbs/")
    )


PURE = [path for path in MODULES if not is_doer(path)]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_station_imports_only_itself_and_earlier_ones(path: Path) -> None:
    station = path.relative_to(ROOT).parts[0]
    if station not in STATIONS:
        return
    allowed = set(STATIONS[: STATIONS.index(station) + 1])
    if station == "cli":
        allowed -= CLI_MAY_NOT
    used = {m.split(".")[1] for m in imports(path) if m.startswith("supervisor.")}
    assert used & set(STATIONS) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_composition_root_and_the_command_line_import_a_launcher(path: Path) -> None:
    assert "supervisor.launcher" not in imports(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("mock/*.py")), ids=name)
def test_the_mock_engine_imports_nothing_of_the_rest(path: Path) -> None:
    ours = {m for m in imports(path) if m.split(".")[0] == "supervisor"}
    assert {m for m in ours if not m.startswith("supervisor.mock")} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if not name(p).startswith("mock/")], ids=name)
def test_nothing_imports_the_mock_engine(path: Path) -> None:
    assert {m for m in imports(path) if m.startswith("supervisor.mock")} == set()


@pytest.mark.parametrize("path", PURE, ids=name)
def test_only_doers_import_what_touches_the_world(path: Path) -> None:
    used = imports(path)
    assert {m for m in used if m in WORLD or m.split(".")[0] in WORLD} == set()
    assert [m for m in used if m.startswith("supervisor.") and m.endswith(DOERS)] == []


@pytest.mark.parametrize("path", PURE, ids=name)
def test_only_doers_touch_files_and_streams(path: Path) -> None:
    if name(path) in OWN_DATA:
        return
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    touched = {f.id for f in calls if isinstance(f, ast.Name)} & WORLDLY_CALLS
    touched |= {f.attr for f in calls if isinstance(f, ast.Attribute)} & WORLDLY_METHODS
    assert touched == set()


@pytest.mark.parametrize("path", MODULES, ids=name)
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


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    if name(path) not in LONGER_FOR_A_REASON:
        assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_file_is_named_for_what_it_is(path: Path) -> None:
    assert path.stem not in NAMELESS
    assert ast.get_docstring(tree(path)), "a module says what it is for"


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
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


@pytest.mark.parametrize("verb", QUERIES)
def test_a_query_does_not_pay_for_what_a_server_imports(verb: str, tmp_path: Path) -> None:
    given = {"logs": ["some-unit"], "explain": ["some-unit"], "wait": ["--timeout", "0"]}
    assert imported_by([verb, *given.get(verb, [])], tmp_path) & HEAVY == set()


def test_checking_a_recipe_pays_only_for_reading_it(tmp_path: Path) -> None:
    recipe = str(ROOT.parent / "configs" / "demo.yaml")
    heavy = (HEAVY | {"hashlib", "socket"}) - {"yaml", "hostlist"}
    assert imported_by(["check", recipe], tmp_path) & heavy == set()


def imported_by(words: list[str], run_time: Path) -> set[str]:
    """The modules that a command has imported at its end."""
    script = (
        "import sys; from supervisor.cli.main import main\n"
        f"main({words!r})\n"
        "print('imported:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"XDG_RUNTIME_DIR": str(run_time), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
    )
    first, *modules = done.stdout.splitlines()[-1].split()
    assert (done.returncode, first) == (0, "imported:")
    return set(modules)
