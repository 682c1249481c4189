"""The run directory that all agents share, and the node-local one of each."""

import errno
import os
import secrets
import shutil
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.node import state_dir as state_dir_module
from pdsup.node.origin import Origin
from pdsup.node.paths import RUN_LINK, SOCKET
from pdsup.node.run_dir import (
    default_run_dir,
    origin_of,
    plan_digest,
    prepare,
    put_back,
    replace_plan,
    token_of,
)
from pdsup.node.state_dir import _lock, claim, release, state_root

LIMIT = 60.0  # seconds, for anything that is going to happen
ELSEWHERE = 65534  # some user who is not us
PLAN = b"plan: 1\n"


def agents(count, code, *arguments):
    """The outputs of so many processes that run ``code`` at the same moment."""
    words = [sys.executable, "-c", f"import sys; {code}", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(words, **pipes) for _ in range(count)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=LIMIT)[0] for process in running]


READY = "print('ready', flush=True); sys.stdin.readline();"


def own_token(run_dir, text):
    token = run_dir / "token"
    token.write_text(text)
    token.chmod(0o600)
    return token


PREPARE = (
    "from pathlib import Path; from pdsup.node.run_dir import prepare;"
    f"{READY} plan = sys.argv[2].encode();"
    "print(*[prepare(Path(run_dir), plan) for run_dir in sys.argv[3:] or sys.argv[1:2]])"
)


# -- the run directory ---------------------------------------------------------------------------


def test_the_run_directory_is_named_after_the_plan_and_the_job():
    assert default_run_dir("bench", {"SLURM_JOB_ID": "42"}) == Path("runs/bench-42")
    assert default_run_dir("bench", {}) == Path("runs/bench-local")


def test_preparing_makes_all_that_agents_write_to(tmp_path):
    run_dir = tmp_path / "runs" / "a"
    token = prepare(run_dir, PLAN)
    assert (run_dir / "plan.yaml").read_bytes() == PLAN
    assert {entry.name for entry in run_dir.iterdir() if entry.is_dir()} == {
        "agents",
        "events",
        "logs",
        "nginx",
    }
    assert len(token) == 66
    assert (run_dir / "token").read_text() == token
    assert stat.S_IMODE((run_dir / "token").stat().st_mode) == 0o600


@pytest.mark.processes
def test_twenty_agents_that_begin_at_once_agree_on_one_token_and_leave_nothing_else(tmp_path):
    runs = [tmp_path / f"run-{number}" for number in range(20)]
    tokens = agents(20, PREPARE, "", "plan: 1\n", *runs)
    assert len(set(tokens)) == 1
    assert len(set(tokens[0].split())) == 20
    for run in runs:
        names = sorted(entry.name for entry in run.iterdir())
        assert names == ["agents", "events", "logs", "nginx", "plan.yaml", "token", "view-token"]


def test_a_token_that_another_agent_made_at_the_last_moment_is_taken(tmp_path, monkeypatch):
    real = secrets.token_hex

    def make_one_just_before(size):
        monkeypatch.undo()
        others.append(prepare(tmp_path, PLAN))
        return real(size)

    others = []
    monkeypatch.setattr(secrets, "token_hex", make_one_just_before)
    assert [prepare(tmp_path, PLAN)] == others


@pytest.mark.processes
def test_agents_that_replace_a_plan_at_once_keep_the_one_before_once(tmp_path):
    prepare(tmp_path, b"plan: old\n")
    agents(6, PREPARE, tmp_path, "plan: new\n")
    plans = {path.read_text() for path in tmp_path.glob("plan*.yaml")}
    assert plans == {"plan: new\n", "plan: old\n"}
    assert (tmp_path / "plan.yaml").read_text() == "plan: new\n"
    assert len(list(tmp_path.glob("plan*.yaml"))) == 2


def test_no_plan_that_ever_lay_there_is_lost(tmp_path):
    for number in range(4):
        prepare(tmp_path, f"plan: {number}\n".encode())
    plans = sorted(path.read_text() for path in tmp_path.glob("plan*.yaml"))
    assert plans == [f"plan: {number}\n" for number in range(4)]


def test_a_plan_that_was_edited_meanwhile_is_left_to_its_editor(tmp_path):
    prepare(tmp_path, PLAN)
    (tmp_path / "plan.yaml").write_text("edited")
    prepare(tmp_path, PLAN, resumed=True)
    assert (tmp_path / "plan.yaml").read_text() == "edited"
    (tmp_path / "plan.yaml").unlink()
    prepare(tmp_path, PLAN, resumed=True)
    assert (tmp_path / "plan.yaml").read_bytes() == PLAN


def test_the_same_plan_again_changes_nothing(tmp_path):
    token = prepare(tmp_path, PLAN)
    before = (tmp_path / "plan.yaml").stat()
    assert prepare(tmp_path, PLAN) == token
    after = (tmp_path / "plan.yaml").stat()  # reading it may have changed the time of access
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_run_directory_that_has_everything_is_not_written_to(tmp_path, monkeypatch):
    origin = Origin(file="/recipe.yaml")
    token = prepare(tmp_path, PLAN, origin)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_beside", full)
    assert prepare(tmp_path, PLAN, origin) == token
    replace_plan(tmp_path, PLAN, origin)


def test_a_token_that_was_removed_is_made_again_as_it_was_known(tmp_path):
    token = prepare(tmp_path, PLAN)
    shutil.rmtree(tmp_path)
    assert prepare(tmp_path, PLAN, resumed=True, token=token) == token
    assert (tmp_path / "token").read_text() == token
    assert (tmp_path / "plan.yaml").read_bytes() == PLAN


@pytest.mark.parametrize("name", ["token", "plan.yaml"])
def test_a_named_pipe_in_a_run_directory_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SupervisorError, match=r"cannot use run directory .*: not a regular file"):
        prepare(tmp_path, PLAN)


@pytest.mark.parametrize("text", ["", "\n", "secret", "x" * 31])
def test_a_token_that_is_too_short_is_refused(tmp_path, text):
    own_token(tmp_path, text)
    with pytest.raises(SupervisorError, match="it is too short; delete it to make one"):
        prepare(tmp_path, PLAN)


def test_a_token_of_the_users_own_making_is_taken_without_its_line_feed(tmp_path):
    own_token(tmp_path, "my own secret, which is long enough\n")
    assert prepare(tmp_path, PLAN) == "my own secret, which is long enough"


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o666])
def test_a_token_that_others_may_read_or_write_is_refused(tmp_path, mode):
    own_token(tmp_path, "x" * 64).chmod(mode)
    with pytest.raises(SupervisorError, match=r"token: it is not private .* delete it to make one"):
        prepare(tmp_path, PLAN)
    assert token_of(tmp_path) == ""


@pytest.mark.parametrize(
    ("size", "refused"), [(32, False), (4096, False), (4097, True), (200_000_000, True)]
)
def test_a_token_has_32_to_4096_bytes(tmp_path, size, refused):
    token = own_token(tmp_path, "")
    token.write_bytes(b"x" * min(size, 4097))
    os.truncate(token, size)
    with pytest.raises(SupervisorError, match="is too long") if refused else nullcontext():
        assert len(prepare(tmp_path, PLAN)) == size


@pytest.mark.parametrize("target", ["elsewhere", "/dev/zero", "nothing"])
def test_a_link_is_no_token_wherever_it_leads(tmp_path, target):
    own_token(tmp_path, "x" * 64).rename(tmp_path / "elsewhere")
    (tmp_path / "token").symlink_to(target)
    with pytest.raises(SupervisorError, match="token: it is a symbolic link"):
        prepare(tmp_path, PLAN)
    assert token_of(tmp_path) == ""


def test_a_token_of_another_user_is_refused_unless_the_directory_is_theirs(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a file away")
    token = own_token(tmp_path, "x" * 64)
    os.chown(token, 4711, -1)
    with pytest.raises(SupervisorError, match="token: it belongs to another user"):
        prepare(tmp_path, PLAN)
    os.chown(tmp_path, 4711, -1)
    assert prepare(tmp_path, PLAN) == "x" * 64


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_in_no_directory_of_a_run_can_others_write(tmp_path, umask):
    before = os.umask(umask)
    try:
        prepare(tmp_path / "runs" / "bench", PLAN)
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / "runs").rglob("*") if path.is_dir()]
    assert len(made) == 5
    for path in (tmp_path / "runs", *made):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755 & ~umask


@pytest.mark.parametrize("name", ["", "logs", "plan.yaml", "token"])
def test_a_run_directory_that_can_not_be_used_is_one_sentence(tmp_path, name):
    run_dir = tmp_path / "run"
    (run_dir / name).parent.mkdir(exist_ok=True)
    if name in ("", "logs"):
        (run_dir / name).write_text("a file where a directory should be")
    else:
        (run_dir / name).mkdir(parents=True)
    with pytest.raises(SupervisorError, match=f"^cannot use run directory {run_dir}: "):
        prepare(run_dir, PLAN)


# -- the node-local directory ----------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """Root, node and run directory of an agent."""
    return tmp_path / "root", tmp_path / "root" / "abc" / "node0", tmp_path / "run"


CLAIM = (
    "import time; from pathlib import Path;"
    "from pdsup.node.run_dir import *; from pdsup.node.state_dir import *;"
    "root, state, run = map(Path, sys.argv[1:4]);"
)


def test_the_runtime_directory_is_used_only_where_it_exists(tmp_path):
    own = tmp_path / f"pdsup-{os.geteuid()}"
    environ = {"TMPDIR": str(tmp_path)}
    assert state_root({**environ, "XDG_RUNTIME_DIR": str(tmp_path / "no")}) == own
    assert state_root(environ) == own
    assert state_root({**environ, "XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "pdsup"


def test_a_claim_makes_private_directories_and_a_link_to_the_run(place):
    root, state_dir, run_dir = place
    lock = claim(*place)
    for directory in (root, root / "abc", state_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert (root / "abc" / RUN_LINK).readlink() == run_dir
    release(state_dir, lock)


def test_directories_that_others_could_enter_are_made_private(place):
    root, state_dir, _ = place
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    lock = claim(*place)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    release(state_dir, lock)


def test_a_second_agent_of_the_same_node_is_refused_and_the_first_named(place):
    lock = claim(*place)
    with pytest.raises(SupervisorError) as caught:
        claim(*place)
    expected = f"cannot start an agent for node0: one is already running, pid {os.getpid()}"
    assert str(caught.value) == expected
    release(place[1], lock)


@pytest.mark.processes
def test_the_lock_of_an_agent_that_was_killed_is_free(place):
    code = f"{CLAIM} claim(root, state, run); print('held', flush=True); time.sleep(1000)"
    command = [sys.executable, "-c", f"import sys; {code}", *map(str, place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout.readline() == "held\n"
        with pytest.raises(SupervisorError, match=f"pid {agent.pid}$"):
            claim(*place)
        agent.kill()
    release(place[1], claim(*place))


def test_two_nodes_of_a_cluster_live_side_by_side_and_the_last_one_removes_it(place):
    root, state_dir, run_dir = place
    other = state_dir.with_name("node1")
    locks = claim(*place), claim(root, other, run_dir)
    release(state_dir, locks[0])
    assert sorted(entry.name for entry in (root / "abc").iterdir()) == ["node1", RUN_LINK]
    release(other, locks[1])
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("moment", ["unlink", "rmdir"])
def test_a_release_leaves_the_cluster_findable_for_a_node_that_begins_at_that_moment(
    place, monkeypatch, moment
):
    root, state_dir, run_dir = place
    lock = claim(*place)
    others, real = [], getattr(Path, moment)

    def begin_just_before(path):
        others.append(claim(root, state_dir.with_name("node1"), run_dir))
        real(path)

    monkeypatch.setattr(Path, moment, begin_just_before)
    release(state_dir, lock)
    assert (root / "abc" / RUN_LINK).readlink() == run_dir
    assert (root / "abc" / "node1" / "lock").exists()
    monkeypatch.undo()
    release(state_dir.with_name("node1"), others[0])


def test_a_claim_that_meets_the_release_of_the_agent_before_gets_a_lock_of_its_own(
    place, monkeypatch
):
    """A lock on a file that was removed meanwhile would not keep a third agent out."""
    first = claim(*place)
    real, releases = _lock, []

    def release_just_before(directory):
        if not releases:
            releases.append(os.open(directory / "lock", os.O_RDWR))
            release(directory, first)
            return releases[0]
        return real(directory)

    monkeypatch.setattr(state_dir_module, "_lock", release_just_before)
    second = claim(*place)
    assert os.path.samestat(os.fstat(second), (place[1] / "lock").stat())
    with pytest.raises(SupervisorError, match="one is already running"):
        claim(*place)
    monkeypatch.undo()
    release(place[1], second)


@pytest.mark.processes
def test_agents_of_one_node_that_come_and_go_at_once_never_run_together(place, tmp_path):
    code = (
        f"{CLAIM} {READY}\n"
        "for _ in range(60):\n"
        "    try:\n"
        "        lock = claim(root, state, run)\n"
        "    except Exception as error:\n"
        "        assert 'one is already running' in str(error), error\n"
        "        continue\n"
        "    alone = Path(sys.argv[4]); alone.mkdir(); time.sleep(0); alone.rmdir()\n"
        "    release(state, lock)\n"
        "print('done')"
    )
    assert agents(4, code, *place, tmp_path / "alone") == ["done\n"] * 4


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_directory_of_another_user_is_refused(place, which):
    root, state_dir, run_dir = place
    directory = (root, state_dir.parent, state_dir)[which]
    if os.geteuid() == 0:
        directory.mkdir(parents=True)
        os.chown(directory, ELSEWHERE, ELSEWHERE)
    else:  # only root can give a directory away, but has many that are not ours
        root = directory = Path("/usr")
    with pytest.raises(SupervisorError, match=f"cannot use {directory}: it belongs to another"):
        claim(root, state_dir, run_dir)


@pytest.mark.parametrize("made", ["link", "dangling link", "file"])
def test_what_is_no_directory_is_refused_also_a_link_to_one(place, tmp_path, made):
    root, _, _ = place
    if made == "file":
        root.write_text("")
    else:
        root.symlink_to(tmp_path if made == "link" else tmp_path / "nowhere")
    with pytest.raises(SupervisorError, match=f"cannot use {root}: it is not a directory"):
        claim(*place)


def test_a_path_too_long_for_a_socket_is_refused_with_what_to_do(tmp_path):
    root = tmp_path / "r"
    for letter in "xü":
        room = 107 - len(os.fsencode(root / "a" / SOCKET)) - 1
        name = letter * (room // len(letter.encode()))
        release(root / "a" / name, claim(root, root / "a" / name, tmp_path))
        with pytest.raises(SupervisorError, match="set XDG_RUNTIME_DIR or TMPDIR to a shorter"):
            claim(root, root / "a" / (name + letter), tmp_path)


def test_a_plan_that_was_displaced_can_be_put_back_with_what_it_was_made_of(tmp_path):
    first = Origin(file="/a.yaml", variant="fast")
    prepare(tmp_path, b"plan: 1\n", first)
    digest = plan_digest(tmp_path)
    prepare(tmp_path, b"plan: 2\n", Origin(file="/b.yaml"))
    put_back(tmp_path, digest)
    assert (tmp_path / "plan.yaml").read_bytes() == b"plan: 1\n"
    assert origin_of(tmp_path) == first
    put_back(tmp_path, "f" * 64)
    assert plan_digest(tmp_path) == digest
