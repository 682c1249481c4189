"""What ``pip install`` makes of the wheel, also beside the PyPI distribution ``supervisor``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.system.cluster import ROOT

SUPERVISORD = "supervisor>=4.2"


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(python: Path, *words: str | Path) -> None:
    ours = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*ours, *words, cwd=python.parent)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, which a build would leave its own files in."""
    out, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("supervisor", "docs/man"):
        shutil.copytree(ROOT / name, source / name)
    build = ("wheel", "--quiet", "--no-deps", "--wheel-dir", out, source)
    pip(Path(sys.executable), *build)
    return next(out.glob("*.whl"))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An environment that has what ours has but pd-supervisor, and into which one can install."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    made = next(tmp_path.glob("venv/lib/python*/site-packages"))
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    for path in ours.iterdir():
        ours_alone = path.name.startswith(("__editable__", "pd_supervisor", "pip", "_pytest"))
        if not ours_alone and path.suffix != ".pth" and not (made / path.name).exists():
            (made / path.name).symlink_to(path)
    return tmp_path / "venv" / "bin" / "python"


def test_the_wheel_holds_the_package_pdsup_and_no_other(wheel: Path) -> None:
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    # What belongs to the distribution (.dist-info, and .data with the manual page) is no package.
    packages = {name for name in names if not name.endswith((".dist-info", ".data"))}
    assert packages == {"pdsup"}


@pytest.mark.parametrize("supervisord_first", [True, False])
def test_pd_supervisor_and_supervisord_live_in_one_environment(
    wheel: Path, python: Path, tmp_path: Path, supervisord_first: bool
) -> None:
    distributions = [SUPERVISORD, wheel]
    for one in distributions if supervisord_first else reversed(distributions):
        pip(python, "install", "--quiet", "--no-deps", "--no-compile", one)
    recipe = ROOT / "configs" / "demo.yaml"
    scripts = python.parent
    assert run(scripts / "pdsup", "version", cwd=tmp_path).startswith("pdsup ")
    assert json.loads(
        run(python, "-m", "pdsup", "plan", recipe, "--explain", "--json", cwd=tmp_path)
    )
    assert run(scripts / "supervisord", "--version", cwd=tmp_path).split(".")[0].isdecimal()
    pip(python, "uninstall", "--quiet", "--yes", "supervisor")
    run(scripts / "pdsup", "version", cwd=tmp_path)
