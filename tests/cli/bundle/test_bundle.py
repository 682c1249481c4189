"""``pdsup bundle``: what is in it, and what never is."""

import json
import tarfile

import pytest

from pdsup.cli import main
from pdsup.cli.bundle import bundle

PLAN = """\
plan: 1
name: small
nodes:
- {name: node0, address: node0}
units:
- name: job
  kind: service
  node: node0
  command: [sleep, '1000', --api-key, of-the-command]
  env: {HF_TOKEN: of-the-plan, MOCK_TOKEN_SECONDS: '0.02'}
hooks:
- {events: [fatal], url: 'https://hooks.example.com/services/of-the-hook'}
"""
SECRETS = ["of-the-command", "of-the-plan", "of-the-hook", "of-the-shell", "0123456789abcdef" * 4]
SAID = (
    "of-the-command of-the-plan https://hooks.example.com/services/of-the-hook of-the-shell "
    + SECRETS[-1]
)
LINE = {"at": 1795435200.0, "node": "node0", "unit": "job", "run": 1, "event": {"type": "Tick"},
        "from": "STOPPED", "to": "STARTING", "reason": SAID}  # fmt: skip
RECORD = {"command": [SAID], "began": 1.0, "ended": 2.0, "status": 0, "verdict": "clean",
          "incidents": []}  # fmt: skip


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run that has ended, with secrets in all of its files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MY_API_KEY", "of-the-shell")
    monkeypatch.chdir(tmp_path)
    files = {
        "plan.yaml": PLAN, "token": SECRETS[-1], "view-token": SECRETS[-1][::-1],
        "origin.json": json.dumps({"file": "x", "overrides": [f"a={SAID}"]}),
        "events/node0.jsonl": json.dumps(LINE) + "\n", "run.json": json.dumps(RECORD),
        "evidence/job-1/why.txt": SAID, "logs/node0_job.out": f"{SAID}\n",
        "logs/node0_job.out.77.times": "binary", "nginx/nginx.conf": SAID,
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "small-1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "small-1"


def content(path):
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("small-1/"): archive.extractfile(member).read().decode()
            for member in archive
        }


def test_a_bundle_holds_the_run_without_its_secrets(run_dir, capsys):
    assert main.main(["bundle", str(run_dir)]) == 0
    out = run_dir.parent / "small-1.bundle.tar.gz"
    assert out.stat().st_mode & 0o777 == 0o600
    found = content(out)
    assert found.keys() == {
        "versions.txt", "report.html", "plan.yaml", "origin.json", "run.json", "events/node0.jsonl",
        "nginx/nginx.conf", "evidence/job-1/why.txt", "logs/node0_job.out",
    }  # fmt: skip
    assert [secret for secret in SECRETS for text in found.values() if secret in text] == []
    assert "hooks.example.com" in found["plan.yaml"]
    assert "MOCK_TOKEN_SECONDS: '0.02'" in found["plan.yaml"]
    told = capsys.readouterr()
    assert {line.split()[1] for line in told.out.splitlines()} == found.keys()
    assert told.err == "wrote small-1.bundle.tar.gz\n"


def test_of_a_long_log_the_end_is_packed(run_dir, capsys, monkeypatch):
    monkeypatch.setattr(bundle, "LOG_BYTES", 5)
    (run_dir / "logs" / "node0_job.out").write_text("begin end.\n")
    assert main.main(["bundle", str(run_dir), "--json", "-o", "b.tar.gz"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bundle"] == str(run_dir.parent / "b.tar.gz")
    assert {"name": "logs/node0_job.out", "bytes": 5, "cut": True} in told["files"]
    assert content("b.tar.gz")["logs/node0_job.out"] == "end.\n"


def test_a_bundle_follows_no_link_out_of_the_run(run_dir, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("mine")
    (run_dir / "logs" / "link.out").symlink_to(tmp_path / "private" / "key")
    (run_dir / "evidence" / "job-2").symlink_to(tmp_path / "private")
    assert main.main(["bundle", str(run_dir), "-o", "b.tar.gz"]) == 0
    assert "mine" not in content("b.tar.gz").values()


def test_a_run_whose_plan_can_not_be_read_is_packed_all_the_same(run_dir):
    (run_dir / "plan.yaml").write_text("plan: 77\nHF_TOKEN: of-the-plan\n")
    assert main.main(["bundle", str(run_dir), "-o", "b.tar.gz"]) == 0
    assert "of-the-plan" not in content("b.tar.gz")["plan.yaml"]


def test_what_is_no_run_directory_makes_no_bundle(run_dir, capsys):
    assert main.main(["bundle", str(run_dir.parent)]) == 4
    assert "is not a run directory" in capsys.readouterr().err
    assert main.main(["bundle", str(run_dir), "-o", "no/b.tar.gz"]) == 1
    assert "cannot write no/b.tar.gz" in capsys.readouterr().err
