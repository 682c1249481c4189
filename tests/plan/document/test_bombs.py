"""Files that are small and would make much: each is refused with a sentence, after little work."""

import sys

import pytest

from pdsup.errors import InvalidDocument
from pdsup.plan.compile.load import check_all
from pdsup.plan.document import source, sweep, tree, variants
from pdsup.plan.document.syntax import MAX_DEPTH, MOST_DIGITS, TOO_DEEP, parse
from pdsup.plan.document.variants import MOST_VARIANTS
from pdsup.typed import MOST_HINTS
from tests.plan.recipe.test_doubts import Here
from tests.plan.recipes import GOOD

POINTS = ", ".join(map(str, range(1000)))
# Ten values in each level: 100,000 from forty lines.
ALIASES = "benchmark:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 5)
)
BASE = "base:\n" + "".join(f"  {line}\n" for line in GOOD.splitlines())
BASE_OF_ALIASES = BASE + "".join(f"  {line}\n" for line in ALIASES.splitlines())


def lines(desk, text):
    """What check prints of a file that it refuses."""
    with pytest.raises(InvalidDocument) as caught:
        check_all(desk.write(text), nodes=None, machine=Here("/models/small"))
    return [problem.at("f") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"{GOOD}{ALIASES}environment: {{A: '{{x}}'}}\nsweep: {{x: [{POINTS}]}}\n",
            "sweep: makes about 123,",
        ),
        (
            f"{GOOD}environment: {{A: '{'{x}' * 100_000}'}}\nsweep: {{x: [{POINTS}]}}\n",
            "sweep: makes about 9,",
        ),
        (
            f"{GOOD}environment: {{A: '{'{x}' * 10_000}'}}\nsweep: {{x: ['{'y' * 100_000}', z]}}\n",
            "sweep: makes about 31,",
        ),
        (
            BASE + "".join(f"override_{i}: {{}}\n" for i in range(5000)),
            "override_0: is the first of 5000 variants; at most 1000 are allowed",
        ),
        (
            BASE_OF_ALIASES + "".join(f"override_{i}: {{}}\n" for i in range(999)),
            "base: with its variants makes about 123,",
        ),
        (
            f"{GOOD}environment: {{A: {':'.join(['1'] + ['59'] * 100_000)}}}\n",
            "too long for a number",
        ),
        (f"{GOOD}environment: {{A: {'1' * 100_000}}}\n", "too long for a number"),
    ],
    ids=["aliases", "text", "values", "overrides", "aliases in a base", "base 60", "digits"],
)
def test_what_would_make_too_much_is_one_problem(desk, text, told):
    (line,) = lines(desk, text)
    assert told in line


@pytest.mark.parametrize("entry", ["[*a{}]", "{{y: *a{}}}"], ids=["lists", "tables"])
@pytest.mark.parametrize("levels", [MAX_DEPTH, 1500])
def test_aliases_of_aliases_nest_no_deeper_than_what_is_written_out(desk, entry, levels):
    chain = "".join(f"  a{i}: &a{i} {entry.format(i - 1)}\n" for i in range(1, levels))
    (line,) = lines(desk, f"{GOOD}benchmark:\n  a0: &a0 [1]\n{chain}")
    assert TOO_DEEP in line


def test_as_many_levels_are_allowed_by_aliases_as_without():
    chain = "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, MAX_DEPTH - 2))
    assert parse(f"a0: &a0 [1]\n{chain}").problems == ()
    assert parse(f"{'[' * (MAX_DEPTH - 1)}{']' * (MAX_DEPTH - 1)}").problems == ()


def test_a_number_may_have_as_many_digits_as_it_says():
    assert parse(f"a: {'1' * MOST_DIGITS}").root.value is not None
    (problem,) = parse(f"a: {'1' * (MOST_DIGITS + 1)}").problems
    assert problem.message == "is too long for a number"


MANY = 20_000
MANY_MISTAKES = {
    "unknown settings": GOOD + "".join(f"key{i}: 1\n" for i in range(MANY)),
    "duplicate keys": GOOD + "".join(f"name: b{i}\n" for i in range(MANY)),
    "slurm": GOOD + "slurm:\n" + "".join(f"  acount{i}: 1\n" for i in range(MANY)),
    "variables": GOOD + "environment:\n" + "".join(f"  'a={i}': 1\n" for i in range(MANY)),
}


@pytest.mark.parametrize("text", MANY_MISTAKES.values(), ids=list(MANY_MISTAKES))
def test_of_many_problems_the_first_are_listed_and_the_others_counted(desk, text):
    found = lines(desk, text)
    assert len(found) == source.MOST_PROBLEMS + 1
    assert found[-1].endswith(f": {MANY - source.MOST_PROBLEMS} more problems not listed")


def test_similar_words_are_looked_for_only_as_often_as_anyone_reads_them(desk, monkeypatch):
    """Each search takes a millisecond or more."""
    asked = []
    for name, module in [*sys.modules.items()]:
        if name.startswith("pdsup.") and hasattr(module, "suggestion"):
            monkeypatch.setattr(module, "suggestion", lambda *_: asked.append(1) or "")
    keys = "".join(f"key{i}: 1\n" for i in range(1000))
    flags = "{" + ", ".join(f"polcy{i}: 1" for i in range(1000)) + "}"
    events = f"hooks: [{{url: 'http://a', events: [{', '.join(['fatl'] * 1000)}]}}]\n"
    engine = f"backend: {{sglang_config: {{prefill: {flags}}}}}\n"
    lines(desk, f"{GOOD}  args: {flags}\n{engine}{events}{keys}")
    assert MOST_HINTS < len(asked) <= 5 * MOST_HINTS


def test_errors_are_listed_before_warnings_if_there_are_too_many(desk):
    flags = ", ".join(f"polcy{i}: 1" for i in range(500))
    text = f"{GOOD}backend: {{sglang_config: {{prefill: {{{flags}}}}}}}\nkey: 1\n"
    found = lines(desk, text)
    assert any("key: is not a known setting" in line for line in found)
    assert found[-1] == "f:1:1: warning: 301 more problems not listed"


def test_an_alias_counts_as_often_as_it_repeats_its_values():
    root = parse(f"x: 1\n{ALIASES}").root
    assert tree.size(root, {}) == 123_458
    assert len(list(tree.distinct(root))) < 200


def test_the_limits_leave_room_for_real_files():
    assert (MOST_VARIANTS, variants.MOST_VARIANTS) == (1000, 1000)
    assert sweep.MOST_VALUES >= 1000 * 200  # so many points of a long recipe
