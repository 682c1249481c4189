"""SGLang's command line, as far as the stand-in supports it.

Known flags are checked as strictly as SGLang checks them. Any other flag, with any number of
values, is set aside, so that a recipe's real flags can be passed unchanged. Pure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pdsup.mock import knobs

Mode = Literal["null", "prefill", "decode"]

PROGRAM = "python -m pdsup.mock.worker"
# With --enable-dp-attention and no --dist-init-addr, SGLang starts counting here.
DP_ATTENTION_OFFSET = 233
# The port of --dist-init-addr itself and the five after it carry its control messages.
DP_ATTENTION_PORTS = 6


class Address(NamedTuple):
    """A TCP address; ``host`` is a name or an IP address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed flags. ``ignored`` holds the flags that were set aside, each with its values."""

    model_path: str
    served_model_name: str
    tokenizer_path: str
    host: str
    port: int
    disaggregation_mode: Mode
    disaggregation_bootstrap_port: int
    nnodes: int
    node_rank: int
    dist_init_addr: Address | None
    nccl_port: int | None
    tp_size: int
    dp_size: int
    pp_size: int
    enable_dp_attention: bool
    enable_metrics: bool
    skip_server_warmup: bool
    watchdog_timeout: float
    page_size: int
    kv_cache_dtype: str
    ignored: tuple[str, ...] = ()

    @property
    def has_bootstrap(self) -> bool:
        """Whether this rank runs a bootstrap server: only rank 0 of a prefill does."""
        return self.disaggregation_mode == "prefill" and self.node_rank == 0

    @property
    def ranks(self) -> int:
        """How many scheduler ranks the worker has on all its nodes together."""
        return self.tp_size * self.pp_size * (1 if self.enable_dp_attention else self.dp_size)

    def derived_ports(self) -> tuple[Address, ...]:
        """Where rank 0 listens besides --port and the bootstrap port, as far as flags decide it.

        With several nodes the port of --dist-init-addr is left out: there the ranks meet.
        """
        if self.node_rank > 0:
            return ()
        first = self.dist_init_addr or Address(self.host, self.port + DP_ATTENTION_OFFSET)
        count = DP_ATTENTION_PORTS if self.enable_dp_attention else bool(self.dist_init_addr)
        ports = [Address(first.host, first.port + i) for i in range(count)]
        if self.nnodes > 1:
            return tuple(ports[1:])
        if self.nccl_port is not None and not self.dist_init_addr:
            ports.append(Address(self.host, self.nccl_port))
        return tuple(ports)


def parse(argv: Sequence[str]) -> Options:
    """The options of a command line; prints what is wrong with it and raises SystemExit(2)."""
    parser = _parser()
    known, ignored = _split(argv)
    values: dict[str, Any] = vars(parser.parse_args(known))
    for name in ("served_model_name", "tokenizer_path"):
        values[name] = values[name] or values["model_path"]
    options = Options(**values, ignored=ignored)
    if problem := _problem(options):
        parser.error(problem)
    return options


def _problem(options: Options) -> str | None:
    if options.node_rank >= options.nnodes:
        return f"--node-rank {options.node_rank} is not below --nnodes {options.nnodes}"
    if options.nnodes > 1 and options.dist_init_addr is None:
        return "--dist-init-addr is required when --nnodes is more than 1"
    if options.tp_size * options.pp_size % options.nnodes:
        return f"--tp-size {options.tp_size} does not divide over --nnodes {options.nnodes}"
    if options.enable_dp_attention and options.tp_size % options.dp_size:
        return f"--tp-size {options.tp_size} is not a multiple of --dp-size {options.dp_size}"
    return None


def _split(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words of known flags, and the other flags, each with the values that follow it."""
    names = {name for flag in FLAGS for name in flag} | {"-h", "--help"}
    groups: list[list[str]] = [[]]
    for word in argv:
        if word.startswith("--") or word == "-h":
            groups.append([])
        groups[-1].append(word)
    known: list[str] = []
    ignored: list[str] = []
    for group in groups:
        if not group or group[0].partition("=")[0] in names or not group[0].startswith("-"):
            known += group
        else:
            ignored.append(" ".join(group))
    return known, tuple(ignored)


def _at_least(low: int, high: int | None = None) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{value} is not {low} to {high or 'any number'}")
        return value

    return number


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(unbracketed(host), int(port))


def unbracketed(host: str) -> str:
    """An IPv6 address as sockets take it, without the brackets of URLs and routers."""
    return host.removeprefix("[").removesuffix("]")


PORT, COUNT = _at_least(1, 65535), _at_least(1)
FLAGS: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("--model-path", "--model"): {"required": True},
    ("--served-model-name",): {},
    ("--tokenizer-path",): {},
    ("--host",): {"default": "127.0.0.1"},
    ("--port",): {"default": 30000, "type": PORT},
    ("--disaggregation-mode",): {"default": "null", "choices": ("null", "prefill", "decode")},
    ("--disaggregation-bootstrap-port",): {"default": 8998, "type": PORT},
    ("--nnodes",): {"default": 1, "type": COUNT},
    ("--node-rank",): {"default": 0, "type": _at_least(0)},
    ("--dist-init-addr", "--nccl-init-addr"): {"type": _address},
    ("--nccl-port",): {"type": PORT},
    ("--tp-size", "--tensor-parallel-size", "--tp"): {"default": 1, "type": COUNT},
    ("--dp-size", "--data-parallel-size", "--dp"): {"default": 1, "type": COUNT},
    ("--pp-size", "--pipeline-parallel-size", "--pp"): {"default": 1, "type": COUNT},
    ("--enable-dp-attention",): {"action": "store_true"},
    ("--enable-metrics",): {"action": "store_true"},
    ("--skip-server-warmup",): {"action": "store_true"},
    ("--watchdog-timeout",): {"default": 300.0, "type": _seconds},
    ("--page-size",): {"default": 1, "type": COUNT},
    ("--kv-cache-dtype",): {"default": "auto"},
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A stand-in for sglang.launch_server. Flags of SGLang not listed are ignored.",
        epilog="Environment variables, also by name at GET and POST /mock/faults:\n"
        + knobs.table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for names, rest in FLAGS.items():
        parser.add_argument(*names, **rest)
    return parser
