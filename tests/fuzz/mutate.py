"""Makes inputs from seeds, the same ones for the same number: damaged bytes, and JSON values with
other values in them. YAML is a superset of JSON, so these reach far into plans and recipes.
"""

import copy
import json
import random
from collections.abc import Iterator

# What has broken a reader somewhere: the ends of numbers, other types, control characters, half a
# character, what other languages expand.
ODD = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "",
    " ", "\0", "\x1b[2J", "\u202e", "\ud800", "\udcff", "é", "名", "a" * 300, "x" * 5000, "null",
    "1e400", "1:59:59", "2026-11-28", "0x10", "{run_dir}", "{{x}}", "../..", "/dev/zero", "*",
    "all", "run", "-", "--", "!!python/object:os.system", "&a", "<<", "node[0-99999999]", "[[[[",
    [], {}, [[]], {"": 1}, ["a", 1, None],
]  # fmt: skip
BYTES = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\x1b[2J", b"\xc3", b"[" * 3000, b"{" * 300,
    b"9" * 500, b"- " * 200, b'"', b"'", b"&a ", b"*a", b"<<: ", b": ", b"---\n", b"!!", b"#",
    b"%", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"  ", b"\t", b"e999",
    b"node[0-9]",
]  # fmt: skip
MOST = 1 << 16


def inputs(seeds: list[bytes], number: int) -> Iterator[bytes]:
    """Endlessly many inputs; the seeds themselves come first."""
    yield from seeds
    chance = random.Random(number)
    values = [value for seed in seeds if (value := _value(seed)) is not None]
    while True:
        if values and chance.random() < 0.5:
            value = json.loads(chance.choice(values))
            for _ in range(chance.choice((1, 1, 1, 2, 4))):
                value = _changed(value, chance)
            text = json.dumps(value, ensure_ascii=chance.random() < 0.7)
            yield text.encode(errors="surrogatepass")[:MOST]
        else:
            yield _damaged(chance.choice(seeds), seeds, chance)[:MOST]


def _value(seed: bytes) -> str | None:
    try:
        return json.dumps(json.loads(seed))
    except ValueError:
        return None


def _changed(value: object, chance: random.Random) -> object:
    """The value with one place in it changed: another value, a key more or less."""
    places = list(_places(value))
    if not places:
        return _odd(chance)
    holder, key = chance.choice(places)
    match chance.randrange(6):
        case 0 if isinstance(holder, dict):
            holder[str(_odd(chance))] = holder.pop(key)
        case 0 | 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, _odd(chance))
        case 3:
            other, name = chance.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case _:
            holder[key] = _odd(chance)
    return value


def _odd(chance: random.Random) -> object:
    return copy.deepcopy(chance.choice(ODD))  # it may be changed in its turn


def _places(value: object) -> Iterator[tuple[object, object]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if _many(value) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _many(value: object) -> bool:
    return isinstance(value, list)


def _damaged(seed: bytes, seeds: list[bytes], chance: random.Random) -> bytes:
    text = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice((1, 2, 8, 64)))
        match chance.randrange(7):
            case 0 if at < len(text):
                text[at] ^= 1 << chance.randrange(8)
            case 1:
                text[at:at] = chance.choice(BYTES)
            case 2:
                del text[at:end]
            case 3:
                text[at:at] = text[at:end] * chance.choice((1, 3, 50))
            case 4:
                del text[at:]
            case 5:
                text[at:end] = chance.randbytes(end - at)
            case _:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                text[at:at] = other[start : start + 100]
    return bytes(text)
