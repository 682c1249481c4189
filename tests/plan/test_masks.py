"""Secrets are masked wherever they stand, and nothing else is."""

import json

import pytest
import yaml

from pdsup.plan.masks import HIDDEN, Mask, is_secret, without_value

NOTHING_KNOWN = Mask({})


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN=verysecret1", "export OPENAI_API_KEY='verysecret1'", "  DB_PASSWORD: verysecret1",
        '{"AWS_SECRET_ACCESS_KEY": "verysecret1"}', "--api-key verysecret1",
        "--api-key=verysecret1", '["--admin-api-key", "verysecret1"]',
        "- --api-key\n  - verysecret1", "Authorization: Bearer verysecret1",
        "authorization=Basic verysecret1", "https://me:verysecret1@host/path",
        "hf_verysecret1verysecret1", "password = verysecret1", '--hf-token "verysecret1"',
        "[--api-key, verysecret1]",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text):
    assert "verysecret1" not in NOTHING_KNOWN(text)
    assert HIDDEN in NOTHING_KNOWN(text)


@pytest.mark.parametrize(
    "text",
    [
        "MOCK_TOKEN_SECONDS=0.02", "max_tokens: 4096", "token: 5", '"token": null', "#token: 12.5",
        "gen throughput (token/s): 52.1", "--tokenizer-path /models/x", "--api-key --port 30000",
        "--ssl-keyfile /etc/key.pem", "https://host:8000/path", "key: value", "monkey: banana",
        "secrets are masked", "the token is wrong", "/etc/passwd: Permission denied",
    ],
)  # fmt: skip
def test_other_text_stays(text):
    assert NOTHING_KNOWN(text) == text


def test_a_known_secret_is_masked_wherever_it_is():
    mask = Mask({"abcdef": HIDDEN, "abcdefgh": "SHORT"})
    assert mask("x abcdefgh y abcdef z") == f"x SHORT y {HIDDEN} z"


def test_masked_files_can_still_be_read():
    value = {"env": {"HF_TOKEN": "abc", "A_TOKEN": None}, "args": ["--api-key", "abc", "--x"]}
    assert json.loads(NOTHING_KNOWN(json.dumps(value)))["env"]["HF_TOKEN"] == HIDDEN
    text = "env:\n  HF_TOKEN: 'abc'\nargs:\n- --api-key\n- 'abc'\n"
    found = yaml.safe_load(NOTHING_KNOWN(text))
    assert found == {"env": {"HF_TOKEN": HIDDEN}, "args": ["--api-key", HIDDEN]}


@pytest.mark.parametrize(
    ("name", "value", "is_it"),
    [("HF_TOKEN", "1", True), ("AWS_ACCESS_KEY_ID", "AKIA123", True), ("MY_SECRETS", "abc", True),
     ("DB_PASSWORD_1", "abc", True), ("KEY_OF_MINE", "abc", True), ("SSL_KEY_FILE", "/k", False),
     ("TOKENIZERS_PARALLELISM", "false", False), ("MAX_TOKENS", "4096", False),
     ("TOKENIZER", "llama", False), ("PATH", "/bin", False), ("ACME_ID", "abc", False)],
)  # fmt: skip
def test_a_variable_is_secret_by_its_name(name, value, is_it):
    assert is_secret(name, value) is is_it
    assert is_secret(name, value, ("*_ID",)) is (is_it or name.endswith("_ID"))
    shown = Mask({}, ("ACME_*",)).environment({name: value})
    assert shown == {name: HIDDEN if is_it or name == "ACME_ID" else value}


def test_of_a_command_line_the_values_of_secret_flags_are_hidden():
    given = ("run", "--api-key", "a1", "--hf-token=b2", "--acme-id", "c3", "--port", "80",
             "env", "MY_SECRET=d4", "http://me:e5@host/x", "--auth", "--verbose")  # fmt: skip
    assert Mask({}, ("ACME_*",)).command(given) == (
        "run", "--api-key", HIDDEN, f"--hf-token={HIDDEN}", "--acme-id", HIDDEN, "--port", "80",
        "env", f"MY_SECRET={HIDDEN}", f"http://{HIDDEN}@host/x", "--auth", "--verbose",
    )  # fmt: skip


def test_texts_in_a_value_are_masked_wherever_they_are():
    mask = Mask({"of-mine": HIDDEN})
    shown = {"a": ["x ***"], "b": ("***", 1), "c": None}
    assert mask.everywhere({"a": ["x of-mine"], "b": ("of-mine", 1), "c": None}) == {
        **shown, "b": ["***", 1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "shown"),
    [("must be text, not 12; put it in quotes", "must be text; put it in quotes"),
     ('must be text, not "a; \\"b"; x', "must be text; x"), ("is missing", "is missing")],
)  # fmt: skip
def test_a_problem_of_a_secret_setting_does_not_say_its_value(message, shown):
    assert without_value("DB_PASSWORD", message) == shown
    assert without_value("port", message) == message
