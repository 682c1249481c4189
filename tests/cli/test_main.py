"""The command line around the verbs."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pdsup.cli.verbs
from pdsup import __version__
from pdsup.cli.main import main, parser_of, reported
from pdsup.cli.screens import help, usage
from pdsup.cli.screens.catalogue import VERBS
from pdsup.errors import InvalidDocument, NothingThere, Problem, SupervisorError, WrongUsage


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_the_version_is_printed(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr() == (f"pdsup {__version__}\n", "")


def test_the_version_as_json_is_one_value(capsys):
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


@pytest.mark.parametrize("words", [[], ["help"], ["-h"], ["--help"]])
def test_help_tells_every_verb(words, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {verb}" in said for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_its_arguments_and_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    told = capsys.readouterr().out
    assert "example: " in told
    assert main(["help", verb]) == 0
    assert capsys.readouterr() == (told, "")


@pytest.mark.parametrize("width", [80, 160])
def test_the_help_of_all_verbs_looks_as_it_was_looked_at(golden, width):
    lines = []
    for verb in VERBS:
        parser = parser_of(verb)
        page = help.page(parser, parser.description, parser.epilog, width)
        lines += [f"$ pdsup help {verb}", *page, ""]
    golden(f"help-{width}", lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 160])
def test_the_list_of_verbs_looks_as_it_was_looked_at(screen, golden, width):
    golden(f"verbs-{width}", lines := screen("help", columns=width))
    assert max(map(len, lines)) <= width


def test_help_fits_the_terminal_that_it_is_on(screen):
    narrow, wide = (screen("help", "up", columns=columns) for columns in (40, 160))
    assert max(map(len, narrow)) <= 40
    assert 80 < max(map(len, wide)) <= 100


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_prints_facts_prints_them_as_json_too(verb):
    options = {one for action in parser_of(verb)._actions for one in action.option_strings}
    assert ("--json" in options) is (verb not in ("agent", "sbatch", "completion"))


def test_help_as_json_is_one_value(capsys):
    assert main(["help", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["verbs"]
    assert {one["name"]: one["summary"] for one in found} == VERBS
    assert main(["help", "wait", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usage"].startswith("pdsup wait [--for running|stopped] [--timeout S]")
    (goal,) = (one for one in found["arguments"] if one["options"] == ["--for"])
    assert (goal["choices"], goal["value"]) == (["running", "stopped"], "running|stopped")
    assert found["example"].startswith("pdsup wait --timeout")


def test_the_manual_page_has_every_verb_and_option_and_no_request_by_accident(capsys):
    assert main(["help", "--man"]) == 0
    lines = capsys.readouterr().out.splitlines()
    plain = "\n".join(lines).replace("\\-", "-")
    assert [verb for verb in VERBS if f"\n.SS pdsup {verb}" not in plain] == []
    assert "\\fB--require-clean\\fR" in plain
    known = (".TH ", ".SH ", ".SS ", ".TP", ".PP", ".B ")
    assert [line for line in lines if line[:1] in ".'" and not line.startswith(known)] == [
        line for line in lines if not line
    ]


def test_every_file_of_a_verb_is_in_the_list_of_verbs():
    files = Path(pdsup.cli.verbs.__file__).parent.glob("*.py")
    assert {path.stem.replace("_", "-") for path in files} - {"--init--"} == set(VERBS)


@pytest.mark.processes
@pytest.mark.parametrize("words", [["help"], ["--help"], []])
def test_the_list_of_verbs_imports_none_of_them(words):
    script = (
        "import sys; from pdsup.cli.main import main\n"
        f"main({words!r})\n"
        "ours = {m for m in sys.modules if m.startswith('pdsup.')}\n"
        "print('imported:', *sorted(ours))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()[-1]
    assert said == (
        "imported: pdsup.cli pdsup.cli.main pdsup.cli.options pdsup.cli.screens "
        "pdsup.cli.screens.catalogue pdsup.cli.terminal pdsup.cli.terminal.fit "
        "pdsup.cli.terminal.fold pdsup.cli.verbs pdsup.cli.verbs.help"
    )


@pytest.mark.processes
def test_help_as_a_process_pays_for_no_classes():
    """They take longer to import than all else of it."""
    script = (
        "import atexit, sys; from pdsup.cli.main import entry\n"
        "atexit.register(lambda: print('imported:', *sys.modules, file=sys.stderr))\n"
        "sys.argv = ['pdsup', '--help']; entry()"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stderr
    first, *modules = said.split()
    assert first == "imported:"
    assert {"dataclasses", "inspect", "pdsup.errors"} & set(modules) == set()


@pytest.mark.parametrize(
    ("word", "hint"), [("statsu", "did you mean status?"), ("xyzzy", "see pdsup help"), ("", "")]
)
def test_an_unknown_verb_is_wrong_usage_with_a_hint(word, hint, capsys):
    assert main([word]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"pdsup: cannot run {word}: no such command; ")
    assert hint in err


def mistyped(verb):
    """All texts that one dropped, doubled, swapped or foreign letter makes of a verb."""
    for at, letter in enumerate(verb):
        before, after = verb[:at], verb[at + 1 :]
        yield before + after
        yield before + letter + letter + after
        yield before + "x" + after
        yield before + after[:1] + letter + after[1:]


def test_no_mistyped_verb_leads_to_one_that_stops_units():
    for verb in VERBS:
        for word in {*mistyped(verb), *(verb[:length] for length in range(1, len(verb)))} - {
            *VERBS
        }:
            hint = usage.meant(word, VERBS)
            assert not re.match(r"did you mean (stop|shutdown|restart|reload)", hint), (word, hint)


def test_a_mistyped_verb_that_stops_nothing_is_guessed():
    for verb in {*VERBS} - usage.STOPPING - {"up", "run"}:  # too short for a guess
        for word in {*mistyped(verb)} - {*VERBS, *usage.MEANT}:
            if len(word) > 3:
                assert usage.meant(word, VERBS).startswith("did you mean ")


@pytest.mark.parametrize(
    ("word", "verb"),
    [
        ("ps", "status"),
        ("ls", "status"),
        ("top", "status --watch"),
        ("get", "status"),
        ("kill", "signal"),
        ("describe", "explain"),
        ("apply", "sbatch"),
        ("dry-run", "plan --explain"),
    ],
)
def test_a_verb_of_another_tool_is_guessed_by_meaning(word, verb):
    assert usage.meant(word, VERBS) == f"did you mean {verb}?"


def test_every_guess_by_meaning_is_a_verb_with_its_options():
    for guess in usage.MEANT.values():
        verb, *options = guess.split()
        known = {one for action in parser_of(verb)._actions for one in action.option_strings}
        assert {*options} <= known


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("status --jsno", "status: unknown option --jsno; did you mean --json?"),
        ("status --xyzzy=1", "status: unknown option --xyzzy; see pdsup status"),
        ("explain a b", "explain: unexpected argument 'b'; see pdsup explain --help"),
        ("wait --for runing", "wait: --for cannot be 'runing'; did you mean running?"),
        ("wait --for x", "wait: --for cannot be 'x'; choose from running, stopped"),
        ("completion bsh", "completion: shell cannot be 'bsh'; did you mean bash?"),
        ("wait --timeout x", "wait: --timeout: must be a number, not 'x'; see pdsup"),
        ("wait --timeout", "wait: --timeout: expected one argument; see pdsup wait"),
        ("up", "up: FILE is missing; see pdsup up --help"),
        ("signal", "signal: SIG and UNIT are missing; see pdsup signal --help"),
        ("run true", "run: unexpected argument 'true'; put the command after --"),
        ("up demo.yaml true", "up: unexpected argument 'true'; put the command after --"),
        ("start --since 5m", "start: unknown option --since; see pdsup start --help"),
        ("stop", "stop: UNIT is missing; see pdsup stop"),
        ("help statsu", "help: VERB cannot be 'statsu'; did you mean status?"),
    ],
)  # fmt: skip
def test_wrong_words_are_wrong_usage_and_told_in_one_line_with_what_to_do(words, told, capsys):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"pdsup: {told}")


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SupervisorError("cannot do it: so"), 1),
        (WrongUsage("cannot do it: so"), 2),
        (NothingThere("cannot do it: so"), 4),
    ],
)
def test_an_error_is_one_line_and_an_exit_status(error, status, capsys):
    assert reported(raising(error)) == status
    assert capsys.readouterr() == ("", "pdsup: cannot do it: so\n")


def test_every_problem_of_a_document_is_a_line_with_its_place(capsys):
    error = InvalidDocument("f.yaml", (Problem("a.b", "is wrong", 3, 5), Problem("", "is empty")))
    assert reported(raising(error)) == 1
    assert capsys.readouterr().err.splitlines() == [
        "f.yaml:3:5: a.b: is wrong", "f.yaml:1:1: is empty", "pdsup: cannot use f.yaml: 2 problems",
    ]  # fmt: skip


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        reported(raising(ZeroDivisionError()))


def test_an_interrupt_ends_a_command_as_a_shell_expects(pdsup_goes_on, wait_for):
    process = pdsup_goes_on("wait")
    wait_for(lambda: "no agent answers yet" in process.said.read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "Traceback" not in process.said.read_text()


@pytest.mark.parametrize("words", [["help"], ["status", "--all"], ["logs", "worker"]])
def test_a_reader_that_has_enough_is_no_error(agents, words):
    agents.start(agents.plan(agents.unit("worker", "sh", "-c", "seq 9999; exec sleep 1000")))
    agents.reaches("RUNNING", "worker")
    with subprocess.Popen(
        [sys.executable, "-m", "pdsup", *words],
        env=agents.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)
