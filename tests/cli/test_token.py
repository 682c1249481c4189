"""The run's token, and the one derived from it, are in their files and in nothing else."""

import functools
import gzip
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import run

PRINTS = ("status --all --json", "explain a", "events", "list --json", "logs a", "scrape-config",
          "url", "web", "doctor {plan}", "logs agent@node0")  # fmt: skip


@pytest.fixture(scope="module")
def secrets(shared_agents):
    """What nobody may find, of a run that has done all that it can do."""
    agents, pdsup = shared_agents, functools.partial(run, shared_agents)
    unit = agents.unit("a", "sh", "-c", "env; exec sleep 1000")
    path = agents.plan(unit)
    agents.start(path, program=("-m", "pdsup", "agent"))
    agents.reaches("RUNNING", "a")
    done = [pdsup("evidence", "a"), pdsup("restart", "a")]
    agents.journal()
    out = agents.directory
    done += [pdsup("report", str(agents.run_dir), "-o", str(out / "report.html"))]
    done += [pdsup("bundle", str(agents.run_dir), "-o", str(out / "bundle.tar.gz"))]
    assert [(each.returncode, each.stderr) for each in done if each.returncode] == []
    token = (agents.run_dir / "token").read_text()
    return token.rpartition(".")[2].encode(), (agents.run_dir / "view-token").read_bytes()


def unpacked(path: Path) -> bytes:
    """What a file holds, also if it is an archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return b"".join(map(archive.read, archive.namelist()))
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            files = [archive.extractfile(each) for each in archive if each.isfile()]
            return b"".join(file.read() for file in files if file)
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_no_process_has_a_token_in_its_arguments_or_environment(secrets):
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                text = (process / name).read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            assert not any(secret in text for secret in secrets), process


def test_no_file_of_a_run_holds_a_token_but_those_that_are_for_it(secrets, shared_agents):
    state_dir = shared_agents.socket().parent
    own = {shared_agents.run_dir / "token", shared_agents.run_dir / "view-token"}
    own.add(state_dir / "ledger")
    files = {path for top in (shared_agents.directory, shared_agents.run_dir, state_dir)
             for path in top.rglob("*") if path.is_file()}  # fmt: skip
    names = {path.name for path in files}
    assert {"plan.yaml", "report.html", "bundle.tar.gz", "node0.jsonl"} <= names
    assert any("evidence" in path.parts for path in files)
    assert {path for path in files if any(one in unpacked(path) for one in secrets)} == own
    assert {path.stat().st_mode & 0o077 for path in own} == {0}


@pytest.mark.parametrize("words", PRINTS)
def test_no_command_prints_a_token(secrets, shared_agents, pdsup_shared, words):
    plan = shared_agents.directory / "plan.yaml"
    done = pdsup_shared(*(word.format(plan=plan) for word in words.split()))
    text = f"{done.stdout}{done.stderr}".encode()
    assert text
    assert not any(secret in text for secret in secrets)
