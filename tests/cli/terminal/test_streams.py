"""What a command prints gets out, whatever stdout is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

DEMO = Path(__file__).parents[3] / "configs" / "demo.yaml"


def pdsup(*words, stdout=subprocess.PIPE, **environ):
    return subprocess.run(
        [sys.executable, "-m", "pdsup", *words],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False,
        env={**os.environ, **environ},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "utf-8"])
def test_what_the_encoding_lacks_is_escaped(tmp_path, encoding):
    recipe = tmp_path / "推論é.yaml"
    recipe.write_bytes(DEMO.read_bytes())
    done = pdsup("check", str(recipe), PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    codec = encoding.partition(":")[0]
    assert done.stdout.decode(codec) == f"{recipe}: good: 4 nodes, 9 units\n".encode(
        codec, "backslashreplace"
    ).decode(codec)


def test_a_path_that_is_no_text_can_be_told(tmp_path):
    recipe = os.fsencode(tmp_path) + b"/\xff.yaml"
    Path(os.fsdecode(recipe)).write_bytes(DEMO.read_bytes())
    done = pdsup("check", recipe)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\udcff.yaml: good: " in done.stdout


@pytest.mark.parametrize(
    "words",
    [["version"], ["help"], ["status", "--help"], ["check", str(DEMO)], ["completion", "bash"],
     ["plan", str(DEMO), "--nodes", "n[0-3]"], ["plan", str(DEMO), "--explain", "--json"]],
    ids=lambda words: " ".join(words[:1]),
)  # fmt: skip
def test_an_answer_that_can_not_be_written_is_told_in_one_line(words):
    with Path("/dev/full").open("wb") as full:
        done = pdsup(*words, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"pdsup: cannot write to stdout: No space left on device\n"


def test_where_nothing_can_be_written_to_a_command_works_and_json_goes_nowhere_else():
    script = f'{sys.executable} -m pdsup "$@"'
    for streams in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{script} {streams}", "sh", "status", "--run-dir", "/nowhere"],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (4, b"")
        assert (b"no such directory: /nowhere" in done.stderr) is (streams == ">&-")
