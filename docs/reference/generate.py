"""Writes the parts of the reference that the code itself knows.

Run it as ``python docs/reference/generate.py``. ``pages()`` gives the content of every such file;
a test compares it with what is in the repository.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import json
import re
import types
import typing
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pdsup
from pdsup.agent.counters import Counts
from pdsup.api import metrics, openapi
from pdsup.cli.main import ALIASES, parser_of
from pdsup.cli.screens import help
from pdsup.cli.screens.catalogue import VERBS
from pdsup.cli.screens.plan import describe_check
from pdsup.cluster.report import AgentReport, Order, Report, UnitReport
from pdsup.front.upstreams import Reloads
from pdsup.plan import defaults, model
from pdsup.plan.engines import sglang, sglang_ports
from pdsup.plan.frontends import sglang_router
from pdsup.plan.recipe import job_script, schema2
from pdsup.plan.recipe import schema1 as layout1
from pdsup.units import lifecycle, states
from pdsup.units.events import Event, SpawnFailed
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.gpu import Gpu
from pdsup.units.process.tree import Usage
from pdsup.units.public_state import REPORTED
from pdsup.units.states import FOREVER, Then

HERE = Path(__file__).parent
MANUAL = HERE.parent / "man" / "pdsup.1"
ARCHITECTURE = HERE.parent / "explanation" / "architecture.md"
PACKAGE = HERE.parents[1] / "supervisor" / "pdsup"
NOTE = "<!-- Made by docs/reference/generate.py from the code: change that, not this page. -->\n"
BEGIN, END = "<!-- made by generate.py -->\n", "<!-- end of what generate.py made -->\n"


def pages() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    return {
        HERE / "commands.md": commands(),
        MANUAL: "\n".join([*help.manual(map(parser_of, VERBS), pdsup.__version__), ""]),
        HERE / "states.md": states_page(),
        HERE / "plan.md": plan(),
        HERE / "metrics.md": metrics_page(),
        HERE / "http-api.md": http_api((HERE / "http-api.md").read_text("utf-8")),
        ARCHITECTURE: architecture(ARCHITECTURE.read_text("utf-8")),
        HERE / "recipe.md": recipe((HERE / "recipe.md").read_text("utf-8")),
        HERE / "plan.schema.json": plan_schema(),
        HERE / "recipe.schema.json": recipe_schema((HERE / "recipe.md").read_text("utf-8")),
    }


def main() -> None:
    """Writes them all."""
    for path, text in pages().items():
        path.write_text(text, "utf-8")
        print(f"wrote {path}")


# -- Markdown -----------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell would end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def prose(documented: object) -> str:
    """A docstring as Markdown: one line for each paragraph, lists as they are."""
    text = (inspect.getdoc(documented) or "").replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


# -- Commands -----------------------------------------------------------------------------------


def commands() -> str:
    """One section for each verb."""
    aliases = ", ".join(f"`{name}` is `{verb}`" for name, verb in ALIASES.items())
    head = (
        f"{NOTE}# Commands\n\n"
        "`pdsup VERB [ARGUMENTS]`, or `python -m pdsup VERB [ARGUMENTS]`. "
        f"Other names: {aliases}.\n\n"
        "Errors are one line on stderr, `pdsup: cannot VERB THING: CAUSE`. The exit statuses of "
        "all commands are [in one table](exit-statuses.md).\n\n"
        "With `--json` stdout holds one JSON value and nothing else. Only `agent`, whose own log "
        "is JSON if stderr is not a terminal, and `sbatch` and `completion`, which print scripts, "
        "do not have it.\n"
    )
    return "\n".join([head, *map(_verb, VERBS)])


def _verb(name: str) -> str:
    module = importlib.import_module(f"pdsup.cli.verbs.{name.replace('-', '_')}")
    parser = parser_of(name)
    actions = help.arguments(parser)
    usage = " ".join(help.usage(parser))
    summary = f"{VERBS[name][0].upper()}{VERBS[name][1:]}."
    parts = [f"## {name}\n\n{summary}\n", f"```text\n{usage}\n```\n"]
    if actions:
        parts.insert(1, f"{prose(module.run)}\n")
        rows = [(_spelling(action), action.help or "") for action in actions]
        parts.append(table(("argument", "meaning"), rows) + "\n")
    parts.append(f"Example: `{module.EXAMPLE}`\n")
    return "\n".join(parts)


def _spelling(action: argparse.Action) -> str:
    names = action.option_strings or [help.value(action)]
    if not action.option_strings or action.nargs == 0:
        return ", ".join(f"`{name}`" for name in names)
    values = help.value(action).split("|")
    if len(values) == 1:
        return ", ".join(f"`{name} {values[0]}`" for name in names)
    return f"`{names[0]}` and one of {', '.join(f'`{value}`' for value in values)}"


# -- States -------------------------------------------------------------------------------------

MEANINGS: Mapping[str, str] = {
    "STOPPED": "It is to be down, and nothing of it runs.",
    "WAITING": "It is to be up, but a gate is closed or a port or GPU it needs is in use; the "
    "reason says which.",
    "STARTING": "Its process runs; its startup probe has not passed yet.",
    "RUNNING": "It runs, and its readiness probe passes.",
    "UNHEALTHY": "It was RUNNING, and its readiness probe fails now: it is left alone and may "
    "recover. Or its main process ended, and other processes of it survive SIGKILL.",
    "STOPPING": "It was told to stop; at its deadline everything that is left of it is killed.",
    "BACKOFF": "It failed; nothing of it runs, and it is restarted at a set time.",
    "EXITED": "It ended by itself, as its restart policy allows.",
    "FATAL": "It failed, and its plan allows no further attempt; it is not restarted.",
}
UNKNOWN = "Its node's agent cannot be reached, or runs another plan; the reason says which."

BEGINS = (
    "Every unit gets `Start` once, when its agent starts, and then on every `pdsup start` or "
    "`restart`: a unit leaves STOPPED, EXITED or FATAL in no other way.\n"
)

RUN = 1
WHY = "why"


def states_page() -> str:
    """The public states, the events, and which event leads where, by ``lifecycle.step``."""
    meanings = [(f"`{word}`", MEANINGS[word]) for word in REPORTED]
    events = [
        (f"`{kind.__name__}`", prose(kind).partition("\n")[0].partition(";")[0].rstrip(".") + ".")
        for kind in typing.get_args(Event)
    ]
    return "\n".join(
        (
            f"{NOTE}# States\n",
            "What `pdsup status` calls the state of a unit:\n",
            table(("state", "meaning"), [*meanings, ("`UNKNOWN`", UNKNOWN)]),
            "\n`status` counts RUNNING, and EXITED with status 0, as good. `UNKNOWN` is not a "
            "state of the unit but of what is known about it, so it is not in the diagram below.\n",
            "## Which event leads where\n",
            "```mermaid\nstateDiagram-v2\n    [*] --> STOPPED",
            *(f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in _edges()),
            "```\n",
            "The events, as the journal names them:\n",
            table(("event", "meaning"), events),
            f"\n{BEGINS}",
        )
    )


def _edges() -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Pairs of different public states, with the events that lead from one to the other."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    every = [state for kind in typing.get_args(states.State) for state in _each(kind)]
    events = [event for kind in typing.get_args(Event) for event in _each(kind)]
    for state, event, context in product(every, events, _contexts()):
        if _can_happen(state, event):
            after, _ = lifecycle.step(state, event, context)
            edge = states.public(state), states.public(after)
            found[edge].add(type(event).__name__)
    order = list(REPORTED)
    for edge in product(order, order):
        if edge[0] != edge[1] and edge in found:
            yield edge, sorted(found[edge])


def _can_happen(state: states.State, event: Event) -> bool:
    """A run that was never spawned has not been ready."""
    spawned = not isinstance(state, states.Starting | states.Stopping)
    return not (spawned and isinstance(event, SpawnFailed))


# 1.0 is a deadline that has passed, FOREVER one that has not: ``_contexts`` has now = 1.0.
VALUES: Mapping[Any, tuple[Any, ...]] = {
    int: (RUN,),
    float: (1.0, FOREVER),
    str: (WHY,),
    ExitStatus: (ExitStatus(0), ExitStatus(1)),
    Then: tuple(Then),
    bool: (False, True),
    states.Failures: ((),),
}


def _each(kind: Any) -> list[Any]:
    """One value of a state or event for each combination of possible field values."""
    choices = [VALUES[hint] for hint in typing.get_type_hints(kind).values()]
    return [kind(*values) for values in product(*choices)]


def _contexts() -> list[lifecycle.Context]:
    """Gate open and closed, node clean or not, every policy, budget left or used up."""
    policies: tuple[Any, ...] = ("always", "on-failure", "never")
    answers = (None, WHY)
    return [
        lifecycle.Context(
            now=1.0,
            next_run=RUN + 1,
            gate=gate,
            unclean=unclean,
            restart=model.Restart(policy=policy, max_failures=budget),
            ready_within=1.0,
            stop_within=1.0,
            drain_within=drain,
        )
        for gate, unclean, policy, budget, drain in product(
            answers, answers, policies, (0, 10), (0.0, 1.0)
        )
    ]


# -- Metrics ------------------------------------------------------------------------------------

ABOUT_METRICS = """\
`GET /metrics` of each agent covers its own node, in Prometheus's text format: scrape all of
them ([how](../how-to/watch-and-scrape.md)). The plan bounds the number of series. Memory and CPU
time are those of a unit's whole process tree. `role` is the role of a worker, and the kind of
any other unit.
"""


def metrics_page() -> str:
    """One row for each metric, from a scrape that has them all."""
    rows = [
        (f"`{one.name}`", one.kind, ", ".join(f"`{key}`" for key in one.samples[0][0]), one.about)
        for one in metrics.families(_scrape())
    ]
    head = f"{NOTE}# Metrics\n\n{ABOUT_METRICS}\n"
    return f"{head}{table(('metric', 'type', 'labels', 'meaning'), rows)}\n"


def _scrape() -> metrics.Scrape:
    unit = UnitReport(
        **dict.fromkeys(("role", "rank", "pid", "last_exit")),
        **dict.fromkeys(("name", "kind", "node", "gang", "state", "reason"), "x"),
        ready=True,
        run=1,
        restarts=0,
        since=0.0,
        started=0.0,
        ports={},
        gpus=(),
        order=Order(epoch=1, go=True, reason=""),
    )
    agent = AgentReport(pid=1, guardian_pid=None, incarnation="x", version="x")
    words = dict.fromkeys(("cluster", "plan", "node", "address"), "x")
    rest: dict[str, Any] = {"sequence": 1, "at": 0.0, "ending": None, "ends_cluster": False}
    report = Report(**words, **rest, agent=agent, units=(unit,))
    used = Usage(0.0, 0, 1)
    return metrics.Scrape(
        report=report,
        wall=0.0,
        counts=Counts({}, {}),
        usage={"x": used, metrics.AGENT: used},
        log_bytes={"x": 0},
        probes={"x": {"readiness": 0.0}},
        fronts={"x": Reloads()},
        reachable={"x": True},
        gpus=[Gpu(0, True, 0, 0, 0.0, 0, 0.0, False)],
    )


# -- HTTP API -----------------------------------------------------------------------------------


def http_api(page: str) -> str:
    """The page with a row for each request, from the OpenAPI document."""
    paths = openapi.document(["start", "stop", "restart"])["paths"]
    rows = [
        (f"`{method.upper()} {path}`", *_request(operation))
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "servers"
    ]
    return _renewed(page, table(("request", "where", "what", "statuses"), rows))


def _request(operation: dict[str, Any]) -> tuple[str, str, str]:
    """Where a request is accepted, its purpose and parameters, and the statuses other than 200."""
    given = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    asked = [f"`?{one['name']}=`: {one['description']}" for one in given]
    responses = operation["responses"].items()
    others = [f"{code}: {told['description']}" for code, told in responses if code != "200"]
    where = "both" if operation["security"] else "socket"
    return where, " ".join([operation["summary"], *asked]), " ".join(others)


# -- Architecture -------------------------------------------------------------------------------


def architecture(page: str) -> str:
    """The page with every file of the package and the first paragraph of its docstring."""
    folders = sorted({path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"})
    return _renewed(page, "\n".join(map(_folder, folders)))


def _folder(folder: Path) -> str:
    files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    rows = [(f"`{path.stem}`", *_file(path)) for path in files]
    title = folder.relative_to(PACKAGE.parent).as_posix()
    return f"### {title}\n\n{table(('file', 'holds', ''), rows)}\n"


def _file(path: Path) -> tuple[str, str]:
    """What a file holds, and whether it is pure."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first = " ".join(text.removesuffix("Pure.").split("\n\n")[0].split()).replace("``", "`")
    return first, "pure" if text.endswith("Pure.") else ""


def _renewed(page: str, made: str) -> str:
    """The page with the part between the two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


# -- Plan ---------------------------------------------------------------------------------------


def plan() -> str:
    """One section for each class of the plan's model."""
    head = (
        f"{NOTE}# Plan\n\n"
        "A cluster plan is a YAML file with `plan: 1` in it. `pdsup plan` writes one from a "
        "[recipe](recipe.md); you can also [write one](../how-to/hand-written-plan.md). "
        "Unknown settings are errors. All times are seconds. `pdsup plan --json` prints the same "
        "as JSON.\n"
    )
    return "\n".join([head, *map(_section, _classes(model.Plan))])


def _classes(root: Any) -> list[Any]:
    """``root`` and the classes of its fields, and of theirs: each before those inside it."""
    found = [root]
    for kind in found:
        for hint in _hints(kind).values():
            found += [inner for inner in _inside(hint) if inner not in found]
    return found


def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _inside(hint: Any) -> list[Any]:
    if dataclasses.is_dataclass(hint):
        return [hint]
    return [kind for inner in typing.get_args(hint) for kind in _inside(inner)]


def _section(kind: Any) -> str:
    hints = _hints(kind)
    rows = [
        (f"`{field.name}`", _type(hints[field.name]), _default(field))
        for field in dataclasses.fields(kind)
    ]
    return f"## {kind.__name__}\n\n{prose(kind)}\n\n{table(('field', 'type', 'default'), rows)}\n"


NAMES: Mapping[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false"}


def _type(hint: Any) -> str:
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return ", ".join(f"`{value}`" for value in arguments)
        case builtin if builtin is tuple:
            return f"list ({_type(arguments[0])})"
        case builtin if builtin is dict:
            return f"table ({_type(arguments[1])})"
        case types.UnionType | typing.Union:
            return _type(next(one for one in arguments if one is not type(None)))
        case _:
            return NAMES.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"


def _default(field: dataclasses.Field[Any]) -> str:
    missing = dataclasses.MISSING
    if field.default is missing and field.default_factory is missing:
        return "required"
    value = field.default_factory() if field.default_factory is not missing else field.default
    if value is None or value in ((), {}):
        return "none"
    shown = str(value).lower() if isinstance(value, bool) else value
    return "its defaults" if dataclasses.is_dataclass(value) else f"`{shown}`"


# -- Defaults of the recipe compiler ------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Entry:
    """One constant, or one flag of a table of flags, and its line number (from 1)."""

    name: str
    value: str
    line: int


def recipe(page: str) -> str:
    """The page with the part between the two marks replaced."""
    return _renewed(page, _defaults())


def _defaults() -> str:
    return "\n".join(map(_defaults_of, (defaults, sglang_ports, sglang, sglang_router)))


def _defaults_of(module: types.ModuleType) -> str:
    """A table for each part of a module between a line with a title and the next such line."""
    source = inspect.getsource(module)
    lines = source.splitlines()
    entries = list(_entries(ast.parse(source).body, vars(module)))
    marks = [
        (number, found[1] or "")
        for number, line in enumerate(lines, 1)
        if (found := re.fullmatch(r"# -{3,}(?: (.+?) -+)?", line))
    ]
    ends = [number for number, _ in marks[1:]] + [len(lines) + 1]
    return "\n".join(
        f"### {title}\n\n{_rows([e for e in entries if begin < e.line < end], lines)}\n"
        for (begin, title), end in zip(marks, ends, strict=True)
        if title
    )


def _entries(body: Iterable[ast.stmt], values: Mapping[str, Any]) -> Iterator[Entry]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(keywords=keywords)):
                given = (
                    (word.arg or "", getattr(values[name], word.arg or "")) for word in keywords
                )
                text = "; ".join(f"{field} {_shown(value)}" for field, value in given)
                yield Entry(name, text, statement.lineno)
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield Entry(name, _shown(values[name]), statement.lineno)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys)):
                flags = zip(keys, values[name].items(), strict=True)
                for key, (flag, value) in flags:
                    yield Entry(f"--{flag}", _shown(value), key.lineno if key else 0)


def _rows(entries: Iterable[Entry], lines: Sequence[str]) -> str:
    rows = [(f"`{entry.name}`", entry.value, _reason(entry, lines)) for entry in entries]
    return table(("name", "value", "reason"), rows)


def _shown(value: object) -> str:
    match value:
        case model.Check():
            return describe_check(value)
        case tuple():
            return " and ".join(map(_shown, value))
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _reason(entry: Entry, lines: Sequence[str]) -> str:
    """The comment above the entry, and the one on its line."""
    above: list[str] = []
    number = entry.line - 2
    while number >= 0 and (text := lines[number].strip()).startswith("# ") and "---" not in text:
        above.insert(0, text[2:])
        number -= 1
    _, _, behind = lines[entry.line - 1].partition("  # ")
    return " ".join([*above, behind]).strip()


# -- JSON Schema --------------------------------------------------------------------------------

DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that editors support fully
MADE = "Made by docs/reference/generate.py from the code: change that, not this file."
DEFINED = "#/$defs/"
TEXT, TABLE = {"type": "string"}, {"type": "object"}
SIMPLE: Mapping[Any, dict[str, Any]] = {
    str: TEXT,
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
    Any: {},
}
SLURM = {"type": "object", "properties": dict.fromkeys(job_script.SLURM, TEXT)}


def plan_schema() -> str:
    """What an editor needs to know about a plan."""
    made = _definitions(model.Plan)
    return _json({"title": "Plan", **made.pop("Plan"), "$defs": made})


def recipe_schema(page: str) -> str:
    """What an editor needs to know about a recipe, with the page's text about its settings."""
    made = _definitions(layout1.Recipe, schema2.RolesRecipe)
    first, second = ({"$ref": f"{DEFINED}{name}"} for name in ("Recipe", "RolesRecipe"))
    earlier, _, later = page.partition("\n## Schema 2\n")
    meanings = _meanings(earlier)
    both = meanings | _meanings(later)
    for ref, layout, told in ((first, layout1, meanings), (second, schema2, both)):
        top = _referred(made, ref)
        for table, keys in layout.IGNORED.items():
            inside = _at(made, top, table)["properties"]
            inside |= {key: {"description": "Accepted and not used."} for key in sorted(keys)}
        top["properties"]["slurm"] = SLURM
        top["required"] = ["name", "model"]
        for path, meaning in told.items():
            table, _, key = path.rpartition(".")
            if key in (found := _at(made, top, table)).get("properties", {}):
                found["properties"][key] = {**found["properties"][key], "description": meaning}
    return _json({"title": "Recipe", **_choice(first, second), "$defs": made})


def _choice(first: Any, second: Any) -> dict[str, Any]:
    """Which layout a file has. A sweep is not checked further: its values have placeholders."""
    one = {"if": _has({"schema": {"const": 2}}), "then": second, "else": first}
    several = {
        "properties": {"schema": {"enum": [1, 2]}, "base": TABLE},
        "patternProperties": {"^(zip_)?override_": TABLE},
        "additionalProperties": False,
        "if": _has({"schema": {"const": 2}}),
        "then": {"properties": {"base": second}},
        "else": {"properties": {"base": one}},
    }
    return {
        **TABLE,
        "if": {"anyOf": [{"required": ["sweep"]}, _has({"base": {"required": ["sweep"]}})]},
        "else": {"if": {"required": ["base"]}, "then": several, "else": one},
    }


def _has(properties: dict[str, Any]) -> dict[str, Any]:
    return {"properties": properties, "required": list(properties)}


def _definitions(*roots: Any) -> dict[str, Any]:
    """The schema of each class of some models, by a unique name."""
    kinds = dict.fromkeys(kind for root in roots for kind in _classes(root))
    same = Counter(kind.__name__ for kind in kinds)
    names = {
        kind: kind.__name__ if same[kind.__name__] == 1 else f"{kind.__module__}.{kind.__name__}"
        for kind in kinds
    }
    return {name: _fields(kind, names) for kind, name in names.items()}


def _fields(kind: Any, names: Mapping[Any, str]) -> dict[str, Any]:
    hints = _hints(kind)
    fields = dataclasses.fields(kind)
    return {
        **TABLE,
        "description": (inspect.getdoc(kind) or "").replace("``", "`"),
        "properties": {
            field.name: {**_values(hints[field.name], names), **_given(field.default)}
            for field in fields
        },
        "required": [field.name for field in fields if _default(field) == "required"],
        "additionalProperties": False,
    }


def _values(hint: Any, names: Mapping[Any, str]) -> dict[str, Any]:
    """What a type allows."""
    if hint in names:
        return {"$ref": DEFINED + names[hint]}
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return {"enum": list(arguments), **SIMPLE[type(arguments[0])]}
        case builtin if builtin is tuple:
            return {"type": "array", "items": _values(arguments[0], names)}
        case builtin if builtin is dict:
            return {**TABLE, "additionalProperties": _values(arguments[1], names)}
        case types.UnionType | typing.Union:
            return {"anyOf": [_values(one, names) for one in arguments]}
        case _:
            return SIMPLE[hint]


def _given(default: Any) -> dict[str, Any]:
    """A default as a file would have it; {} if there is none."""
    if default is dataclasses.MISSING or default is None:
        return {}
    return {"default": dataclasses.asdict(default) if _inside(type(default)) else default}


def _referred(made: dict[str, Any], ref: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = made[ref["$ref"].removeprefix(DEFINED)]
    return found


def _at(made: dict[str, Any], top: dict[str, Any], path: str) -> dict[str, Any]:
    """The definition of the table at a dotted path below ``top``; empty when there is none."""
    found = top
    for key in path.split(".") if path else ():
        inner = found["properties"].get(key, {})
        if "$ref" not in inner:
            return {}
        found = _referred(made, inner)
    return found


def _meanings(page: str) -> dict[str, str]:
    """What the recipe's page says about each setting, by dotted path."""
    rows = re.findall(r"^\| (`.+?`) \|(?: .*? \|){2} (.+) \|$", page, re.M)
    plain = ((names, re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text)) for names, text in rows)
    return {name: text for names, text in plain for name in re.findall(r"`(.+?)`", names)}


def _json(value: dict[str, Any]) -> str:
    made = {"$schema": DIALECT, "$comment": MADE, **value}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
