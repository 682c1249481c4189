"""The command line: SGLang's flags are taken, wrong values of the known ones are refused."""

import pytest

from pdsup.mock.options import Address, parse

MODEL = ("--model-path", "/models/tiny")


def test_the_defaults_are_those_of_sglang():
    options = parse(MODEL)
    assert (options.host, options.port) == ("127.0.0.1", 30000)
    assert (options.disaggregation_mode, options.disaggregation_bootstrap_port) == ("null", 8998)
    assert options.served_model_name == options.tokenizer_path == "/models/tiny"


def test_flags_it_does_not_know_are_set_aside_with_all_their_values():
    strange = ("--cuda-graph-bs", "1", "2", "--trust-remote-code", "--mem-fraction-static=0.8")
    options = parse((*strange, *MODEL, "--port", "30100", "--moe-a2a-backend", "deepep"))
    assert options.port == 30100
    assert options.ignored == (
        "--cuda-graph-bs 1 2",
        "--trust-remote-code",
        "--mem-fraction-static=0.8",
        "--moe-a2a-backend deepep",
    )


def test_a_pinned_bootstrap_port_that_comes_last_wins():
    pinned = parse(
        (
            *MODEL,
            "--disaggregation-bootstrap-port",
            "7200",
            "--disaggregation-bootstrap-port",
            "31000",
        )
    )
    assert pinned.disaggregation_bootstrap_port == 31000


@pytest.mark.parametrize("name", ["--tp", "--tp-size", "--tensor-parallel-size"])
def test_a_flag_is_known_by_all_its_names(name):
    assert parse((*MODEL, name, "8")).tp_size == 8


@pytest.mark.parametrize(
    "flags",
    [
        (),
        (*MODEL, "stray"),
        (*MODEL, "--port", "1", "2"),
        (*MODEL, "--port", "0"),
        (*MODEL, "--port", "many"),
        (*MODEL, "--disaggregation-mode", "both"),
        (*MODEL, "--dist-init-addr", "node0"),
        (*MODEL, "--node-rank", "1"),
        (*MODEL, "--watchdog-timeout", "0"),
        (*MODEL, "--nnodes", "2", "--tp", "2"),
        (*MODEL, "--nnodes", "2", "--tp", "3", "--dist-init-addr", "node0:29500"),
        (*MODEL, "--enable-dp-attention", "--dp", "3", "--tp", "4"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_of_a_known_flag_ends_in_code_2(flags, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(flags)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["node0:29500", "10.0.0.7:29500", "[fd00::1]:29500"])
def test_the_place_where_ranks_meet_may_be_a_name_or_an_address(where):
    found = parse((*MODEL, "--dist-init-addr", where)).dist_init_addr
    assert found == (where.rpartition(":")[0].strip("[]"), 29500)
    assert str(found) == where


def test_only_the_first_rank_of_a_prefill_has_a_bootstrap_port():
    two = (*MODEL, "--nnodes", "2", "--tp", "2", "--dist-init-addr", "node0:29500")
    prefill = (*two, "--disaggregation-mode", "prefill")
    assert parse(prefill).has_bootstrap
    assert not parse((*prefill, "--node-rank", "1")).has_bootstrap
    assert not parse((*two, "--disaggregation-mode", "decode")).has_bootstrap


def test_dp_attention_listens_on_six_ports_from_233_above_the_port():
    options = parse((*MODEL, "--enable-dp-attention", "--dp", "2", "--tp", "2"))
    assert [a.port for a in options.derived_ports()] == list(range(30233, 30239))


def test_dp_attention_counts_from_the_rendezvous_when_there_is_one():
    where = ("--dist-init-addr", "node0:29500", "--enable-dp-attention")
    assert parse((*MODEL, *where)).derived_ports()[0] == Address("node0", 29500)
    two = parse((*MODEL, *where, "--nnodes", "2", "--tp", "2"))
    assert [a.port for a in two.derived_ports()] == [29501, 29502, 29503, 29504, 29505]


def test_the_nccl_port_is_listened_on_only_without_a_rendezvous():
    alone = (*MODEL, "--nccl-port", "28000")
    assert parse(alone).derived_ports() == (Address("127.0.0.1", 28000),)
    assert (
        Address("127.0.0.1", 28000)
        not in parse((*alone, "--dist-init-addr", "node0:29500")).derived_ports()
    )


def test_without_dp_attention_every_replica_has_its_own_ranks():
    assert parse((*MODEL, "--tp", "4", "--dp", "2")).ranks == 8
    assert parse((*MODEL, "--tp", "4", "--dp", "2", "--enable-dp-attention")).ranks == 4
