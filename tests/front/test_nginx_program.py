"""Which nginx is there, and what is said when none can be used."""

import os
import re
import shutil
import stat

import pytest

from pdsup.errors import SupervisorError, Unstartable
from pdsup.front import nginx_program
from pdsup.front.nginx_program import Program, find

pytestmark = pytest.mark.processes


@pytest.fixture
def program(tmp_path):
    """Makes a program that says something when it is asked for its version."""

    def make(says: str, name: str = "nginx"):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\n[ "$*" = -v ] && echo "{says}" >&2\n')
        path.chmod(stat.S_IRWXU)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("says", "version", "spares"),
    [
        ("nginx version: nginx/1.15.3", (1, 15, 3), False),
        ("nginx version: nginx/1.27.3 (Ubuntu)", (1, 27, 3), False),
        ("nginx version: nginx/1.27.4", (1, 27, 4), True),
        ("nginx version: openresty/1.29.2.1", (1, 29, 2), True),
        ("warning\nnginx version: nginx/2.0.0", (2, 0, 0), True),
    ],
)
def test_the_version_tells_what_it_can_do(program, says, version, spares):
    path = program(says)
    assert find(path) == Program(path, version)
    assert find(path).spares_idle is spares


def test_the_nginx_of_this_machine_is_found_on_the_path():
    found = find("nginx")
    assert found.path == shutil.which("nginx")
    assert found.version >= nginx_program.OLDEST


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (
            "nginx version: nginx/1.14.2",
            "is version 1.14.2, but 1.15.3 or newer is needed; install",
        ),
        (
            "Usage: apachectl",
            "does not report its version; it says 'Usage: apachectl': is it nginx?",
        ),
    ],
)
def test_one_that_can_not_be_used_is_told_in_one_sentence(program, says, told):
    path = program(says)
    with pytest.raises(Unstartable, match=re.escape(f"cannot run nginx: {path} {told}")):
        find(path)


def test_one_that_hangs_is_not_waited_for(program, monkeypatch, tmp_path):
    monkeypatch.setattr(nginx_program, "ANSWER_S", 0.1)
    path = tmp_path / "nginx"
    path.write_text("#!/bin/sh\nexec sleep 1000\n")
    path.chmod(stat.S_IRWXU)
    with pytest.raises(SupervisorError, match=r"does not report its version: .*timed out") as told:
        find(str(path))
    assert not isinstance(told.value, Unstartable)  # it may answer the next time


def test_one_that_is_not_on_the_path_but_elsewhere_is_named(program, monkeypatch, tmp_path):
    elsewhere = program("nginx version: nginx/1.27.4")
    monkeypatch.setattr(nginx_program, "ELSEWHERE", (str(tmp_path / "no"), elsewhere))
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Unstartable) as raised:
        find("nginx")
    assert str(raised.value) == (
        "cannot run nginx: no program nginx on the PATH of the agent; "
        f"there is {elsewhere}: name it in frontend.nginx_binary"
    )


def test_one_that_is_nowhere_is_to_be_installed(monkeypatch):
    monkeypatch.setattr(nginx_program, "ELSEWHERE", ())
    with pytest.raises(Unstartable) as raised:
        find("/opt/no/nginx")
    assert str(raised.value) == (
        "cannot run nginx: no program /opt/no/nginx; "
        "install it (Debian: nginx-light), or name it in frontend.nginx_binary"
    )
