"""What an agent answers about a changed plan."""

import json

from pdsup import typed
from pdsup.answers.reload import Reloading, reloading
from pdsup.plan.difference import Change, Difference


def test_the_answer_names_each_change_and_counts_the_rest():
    change = Change("x", "service", "a", "restarted", ("env",))
    answer = reloading("d" * 64, Difference((change,), 3, ("on_fatal",)))
    said = json.loads(typed.dumps(answer))
    assert said == {
        "plan": "d" * 64,
        "units": [
            {"unit": "x", "kind": "service", "node": "a", "what": "restarted", "fields": ["env"]}
        ],
        "unchanged": 3,
        "settings": ["on_fatal"],
    }
    assert typed.read(Reloading, said, lenient=True) == (answer, ())
