"""``pdsup completion``, in the shells themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from pdsup.cli.screens.catalogue import VERBS

BIN = Path(sys.executable).parent
BASH = """
source <(pdsup completion bash)
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); _pdsup; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
compadd() {{ shift; print -l -- ${{(M)@:#$PREFIX*}} }}
_files() {{ print files }}
_describe() {{ local -a all=("${{(@P)2}}"); all=(${{all%%:*}}); print -l -- ${{(M)all:#$PREFIX*}} }}
source <(pdsup completion zsh)
words=({words}); CURRENT={count}; PREFIX=$words[-1]; _pdsup
"""
FISH = "pdsup completion fish | source; complete -C '{line}'"


@pytest.fixture
def complete(agents):
    """What a shell offers for the last of some words."""

    def run(shell, *words):
        line = " ".join(words)
        quoted = " ".join(f"'{word}'" for word in words)
        script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell]
        script = script.format(words=quoted, count=len(words), line=line)
        flags = {"zsh": ["-f"], "bash": ["--norc"], "fish": ["--no-config"]}[shell]
        environ = {**agents.environ, "PATH": f"{BIN}:{agents.environ['PATH']}"}
        done = subprocess.run(
            [shell, *flags, "-c", script],
            env=environ, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return [one.partition("\t")[0].strip() for one in done.stdout.splitlines() if one]

    return run


SHELLS = pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])


@SHELLS
def test_verbs_are_completed(complete, shell):
    assert set(complete(shell, "pdsup", "sta")) == {"status", "start"}
    assert set(complete(shell, "pdsup", "")) >= set(VERBS)


@SHELLS
def test_options_are_completed(complete, shell):
    assert complete(shell, "pdsup", "status", "--w") == ["--watch"]
    assert complete(shell, "pdsup", "completion", "--w") == []


@SHELLS
def test_names_of_units_are_completed(agents, complete, shell):
    agents.start(agents.plan(agents.unit("prefill-0"), agents.unit("decode-0")))
    found = complete(shell, "pdsup", "explain", "dec")
    assert [one for one in found if one.startswith("dec")] == ["decode-0"]


@SHELLS
def test_with_several_runs_those_of_the_line_are_completed(agents, complete, shell, monkeypatch):
    for name, unit in (("one", "decode-1"), ("two", "decode-2")):
        (agents.directory / name / "events").mkdir(parents=True)
        plan = agents.plan(agents.unit(unit))
        (agents.directory / name / "plan.yaml").write_text(plan.read_text())
    monkeypatch.chdir(agents.directory)
    assert set(complete(shell, "pdsup", "status", "--run-dir", "")) >= {"one", "two"}
    for name, unit in (("one", "decode-1"), ("two", "decode-2")):
        found = complete(shell, "pdsup", "explain", "--run-dir", name, "dec")
        assert [word for word in found if word.startswith("dec")] == [unit]


@SHELLS
def test_signals_are_completed(complete, shell):
    assert set(complete(shell, "pdsup", "signal", "US")) >= {"USR1", "USR2"}


def test_without_a_cluster_there_are_no_names_and_no_complaint(pdsup):
    done = pdsup("completion", "names")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [[], ["tcsh"]])
def test_another_shell_is_wrong_usage(pdsup, words):
    assert pdsup("completion", *words).returncode == 2
