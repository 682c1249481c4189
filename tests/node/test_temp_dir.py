from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import pytest

from pdsup.node.temp_dir import VARIABLES, temp_dir


@pytest.mark.parametrize("values", list(product(("", "a", "missing", "file"), repeat=3)))
def test_it_is_the_directory_that_python_would_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    environ = {name: str(tmp_path / at) for name, at in zip(VARIABLES, values, strict=True) if at}
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)
    assert temp_dir(environ) == tempfile.gettempdir()


def test_a_relative_directory_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").mkdir()
    assert temp_dir({"TMPDIR": "t"}) == str(tmp_path / "t")
