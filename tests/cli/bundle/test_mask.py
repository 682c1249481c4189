"""Secrets are masked wherever they stand, and nothing else is."""

import json

import pytest
import yaml

from pdsup.cli.bundle.mask import HIDDEN, Mask

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
        "secrets are masked", "the token is wrong",
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
