"""A gang in a small world: agents that forget, processes that die, reports that come late."""

from __future__ import annotations

from dataclasses import replace

from pdsup.cluster import gang_rules
from pdsup.cluster.report import Order, Standing, UnitReport
from pdsup.units.public_state import PublicState

LEADER = 0


def report(rank: int, standing: Standing | None, order: Order | None = None, state="WAITING"):
    return UnitReport(
        name=f"w.{rank}", kind="worker", role="decode", node=f"node{rank}", rank=rank, gang="w",
        state=PublicState(state), ready=state == "RUNNING", pid=None, run=0, restarts=0,
        since=0.0, started=None,
        ports={}, gpus=(), reason="", last_exit=None,
        standing=standing, order=order,
    )  # fmt: skip


class Rank:
    """One node: a process (the truth), and an agent with what it remembers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.living: int | None = None  # the epoch of the process that lives
        self.ending = False
        self.recovering = False  # in its backoff
        self.standing = gang_rules.FRESH
        self.order: Order | None = None  # the leader's last word, as far as it came
        self.starts: list[int] = []

    def die(self) -> None:
        """The process ends, whatever the reason."""
        self.recovering = not self.ending
        self.living, self.ending = None, False

    def forget(self, *, survives: bool) -> None:
        """Its agent starts again: it finds what lives and the epoch noted with it, or kills it."""
        spent = self.living if survives and self.living else 0
        if not spent:
            self.living, self.ending, self.recovering = None, False, False
        self.order = None
        self.standing = replace(gang_rules.FRESH, spent=spent, alive=spent > 0)

    def act(self) -> None:
        """Its agent looks at what it knows, and does what follows."""
        alive = self.living is not None
        poised = not alive and not self.recovering
        self.standing = gang_rules.obey(self.standing, self.order, alive=alive, poised=poised)
        if gang_rules.must_end(self.standing, self.order):
            self.ending = True
        if poised and gang_rules.may_start(self.standing, self.order):
            assert self.order is not None
            self.living = self.order.epoch
            self.starts.append(self.living)
            self.standing = replace(self.standing, spent=self.living, alive=True, poised=False)


class World:
    """All ranks, and the reports that are under way between rank 0 and the others."""

    def __init__(self, size: int) -> None:
        self.ranks = [Rank(number) for number in range(size)]
        self.order = gang_rules.FIRST
        self.heard: dict[str, UnitReport | None] = {f"w.{i}": None for i in range(size)}
        self.cut: set[int] = set()
        self.up: dict[int, list[UnitReport]] = {i: [] for i in range(1, size)}
        self.down: dict[int, list[Order]] = {i: [] for i in range(1, size)}

    def look(self, number: int) -> None:
        """One agent acts on what it knows; rank 0's leads too."""
        rank = self.ranks[number]
        if number != LEADER:
            rank.act()
            return
        for _ in range(2):  # what it orders it obeys at once, and may order more
            rank.order = self.order
            rank.act()
            self.heard["w.0"] = report(0, rank.standing)
            self.order = gang_rules.decide(self.order, self.heard)
        rank.order = self.order
        rank.act()
        self.heard["w.0"] = report(0, rank.standing)

    def send(self, number: int) -> None:
        """A rank and rank 0 report to each other; the reports are under way now."""
        self.up[number].append(report(number, self.ranks[number].standing))
        self.down[number].append(self.order)

    def deliver(self, number: int, *, up: bool, at: int = 0) -> None:
        """A report arrives, unless the network is cut; any of those under way may be next."""
        under_way = self.up[number] if up else self.down[number]
        if not under_way or number in self.cut:
            return
        index = min(at, len(under_way) - 1)
        word = under_way[index]
        del under_way[: index + 1]  # those it overtook are lost
        if isinstance(word, Order):
            self.ranks[number].order = word
        else:
            self.heard[word.name] = word

    def doubt(self, number: int) -> None:
        """A node did not answer for long enough that its last word does not count any more."""
        self.heard[f"w.{number}"] = None
        self.ranks[number].order = None

    def forget(self, number: int, *, survives: bool) -> None:
        """An agent starts again; what it had asked for never reaches the new one."""
        self.ranks[number].forget(survives=survives)
        if number == LEADER:
            self.heard = dict.fromkeys(self.heard)
            self.order = gang_rules.resumed(self.ranks[LEADER].standing)
            self.ranks[LEADER].order = self.order
            self.up = {i: [] for i in self.up}
        else:
            self.down[number] = []

    def finish(self, number: int) -> None:
        """What was told to end ends; a backoff is over."""
        rank = self.ranks[number]
        if rank.ending:
            rank.die()
        rank.recovering = False

    def settle(self, rounds: int = 12) -> None:
        """Everything that is due happens, again and again, and the network is whole."""
        self.cut.clear()
        for _ in range(rounds):
            for number in range(len(self.ranks)):
                self.look(number)
                self.finish(number)
                self.look(number)
                if number != LEADER:
                    self.up[number].clear()
                    self.down[number].clear()
                    self.send(number)
                    self.deliver(number, up=True)
                    self.deliver(number, up=False)

    def epochs(self) -> set[int]:
        """The epochs that live; more than one at once is the defect that all this prevents."""
        return {rank.living for rank in self.ranks if rank.living is not None}

    def is_whole(self) -> bool:
        """All ranks live in one epoch."""
        return len(self.epochs()) == 1 and all(rank.living for rank in self.ranks)
