"""``pdsup url``, and where else one sees where clients talk to."""

import pytest

from pdsup.cli import client, main
from pdsup.cli.screens import watch
from pdsup.cli.terminal.lines import Size

URL = "http://127.0.10.1:8000"
NO_CLUSTER = client.Cluster("/runs/x", {}, frozenset(), {}, 0.0)


@pytest.fixture
def answers(monkeypatch, status, node, unit):
    """Commands get this URL from the agents."""

    def of(url):
        found = status(node("node0", [unit()]), url=url)
        for name in ("cluster", "seen"):
            monkeypatch.setattr(client, name, lambda *_, **__: NO_CLUSTER)
        monkeypatch.setattr(client, "status", lambda *_, **__: found)
        return found

    return of


@pytest.mark.parametrize(
    ("words", "text"), [(["url"], f"{URL}\n"), (["url", "--json"], f'{{"url": "{URL}"}}\n')]
)
def test_the_url_is_alone_on_stdout(answers, capsys, words, text):
    answers(URL)
    assert main.main(words) == 0
    assert capsys.readouterr() == (text, "")


def test_a_plan_that_serves_no_clients_has_no_url(answers, capsys):
    answers(None)
    assert main.main(["url"]) == 1
    assert capsys.readouterr().err.startswith("pdsup: cannot tell the URL")
    assert main.main(["url", "--json"]) == 0
    assert capsys.readouterr().out == '{"url": null}\n'


def test_a_run_that_is_not_there_has_none_either(pdsup, tmp_path):
    assert pdsup("url", "--run-dir", str(tmp_path)).returncode == 4


def test_the_table_for_a_pipe_has_nothing_but_units(answers, capsys):
    answers(URL)
    main.main(["status"])
    assert URL not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "shown"), [([], True), (["decode-0"], False)])
def test_the_table_on_a_terminal_ends_with_the_url(answers, capsys, monkeypatch, words, shown):
    answers(URL)
    monkeypatch.setattr("pdsup.cli.terminal.fit.width", lambda _: 80)
    main.main(["status", *words])
    assert capsys.readouterr().out.endswith(f"clients talk to {URL}\n") is shown


def test_the_live_view_shows_the_url(answers):
    lines = watch.screen(answers(URL), 0.0, Size(80, 24))
    assert watch.text(lines[0]) == f"demo  {URL}  1 node"
