"""The targets, and how far each was met."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.engines import ENGINES
from benchmarks.figures import number, table
from benchmarks.results import Results

HEAD = ("engine", "what", "measured", "target", "met")


@dataclass(frozen=True)
class Row:
    """One figure beside its target: a ratio, or seconds (`s`), or megabytes (`MB`)."""

    engine: str
    what: str
    measured: float | None
    target: float
    unit: str = ""
    at_least: bool = False

    def cells(self) -> list[str]:
        """As cells of a table."""
        bound = "at least " if self.at_least else "at most "
        if self.measured is None:
            return [self.engine, self.what, "not run", bound + number(self.target, self.unit), "-"]
        met = self.measured >= self.target if self.at_least else self.measured <= self.target
        sign = "yes" if met else "**no**"
        return [self.engine, self.what, number(self.measured, self.unit), bound + number(self.target, self.unit), sign]


def targets(results: Results) -> str:
    """The whole table."""
    rows = [row for name in ENGINES for part in (_life, _many, _peer) for row in part(results, name)]
    return table(HEAD, [row.cells() for row in rows])


def _life(results: Results, name: str) -> Iterator[Row]:
    rounds = results.life(name)
    if hundred := rounds.get(100):
        yield Row(name, "first run of 100 users / raw script", hundred.ratio("first", "raw"), 1.0)
        yield Row(name, "first run of 100 / raw script, 4 sessions", hundred.ratio("first", "raw parallel"), 1.15)
        yield Row(name, "no-op of 100", hundred.seconds("no-op"), 0.6, " s")
        yield Row(name, "first run 5 ms away / without delay", hundred.ratio("first, 5 ms away", "first"), 2.0)
        yield Row(name, "no-op 5 ms away, more", _more(rounds[100].rounds, "no-op, 5 ms away", "no-op"), 0.15, " s")
    if thousand := rounds.get(1000):
        yield Row(name, "no-op of 1,000", thousand.seconds("no-op"), 1.5, " s")
        yield Row(name, "one password of 1,000, more", _more(thousand.rounds, "one password", "no-op"), 0.05, " s")


def _more(rounds: list[dict[str, float]], kind: str, than: str) -> float | None:
    found = [each[kind] - each[than] for each in rounds if kind in each]
    return median(found) if found else None


def _many(results: Results, name: str) -> Iterator[Row]:
    found = results.figures("many", name).get("10000")
    if not found:
        return
    yield Row(name, "no-op of 10,000, warm cache", median(found["warm"]), 5.0, " s")
    if median(found["bare"]) > 1:
        ratio = median(cold / bare for cold, bare in zip(found["cold"], found["bare"], strict=True))
        yield Row(name, "the same, cold / bare computation", ratio, 1.2)
    yield Row(name, "memory for 10,000", found["megabytes"], 150.0, " MB")


def _peer(results: Results, name: str) -> Iterator[Row]:
    peers = results.figures("peer", name)
    for key, times, first in (("ansible 100", 200.0, 10.0), ("mitogen 100", 30.0, None)):
        if not (found := peers.get(key)):
            continue
        who, users = key.split()
        ratio = found["ansible no-op"] / found["dbroster no-op"]
        yield Row(name, f"no-op of {users}: {who} / dbroster", ratio, times, at_least=True)
        if first and name != "postgresql":
            ratio = found["ansible first"] / found["dbroster first"]
            yield Row(name, f"first run of {users}: {who} / dbroster", ratio, first, at_least=True)
