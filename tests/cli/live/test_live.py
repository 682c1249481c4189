"""The live view with its keys."""

from pdsup.answers.commands import LogFile
from pdsup.cli import client
from pdsup.cli.live.live import _Live
from pdsup.cli.screens import watch
from pdsup.cli.terminal.keys import Key
from pdsup.cli.terminal.lines import Size


def test_the_log_of_a_unit_is_shown_without_lines_about_probes(
    monkeypatch, tmp_path, unit, node, status
):
    log = tmp_path / "decode-0.out"
    log.write_text("loaded\n" + "GET /health 200\n" * 50)
    file = LogFile(path=str(log), noise=("GET /health",))
    monkeypatch.setattr(client, "cluster", lambda *_, **__: None)
    monkeypatch.setattr(client, "log_file", lambda *_: file)
    look = client.Look(status(node("node0", [unit("decode-0")])), new=True)
    live = _Live(None, look, has_keys=True)
    assert live.press(Key.LOGS)
    title, _, *lines = map(watch.text, live.lines(Size(80, 24)))
    assert title.startswith("decode-0: log  without lines about probes")
    assert lines == ["loaded"]
