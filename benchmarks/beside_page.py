"""The tables of what was measured beside raw scripts and a bare Python, each figure with its target."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.engines import ENGINES
from benchmarks.figures import Samples, number, table
from benchmarks.results import Results

FIRST = {100: 1.0, 1000: 0.7}
"""The first run / the serial raw script, by users."""
IDLE = 1.5
"""A run that changes nothing / a bare Python, at 100 users; and that of 1,000 users / that of 10."""
CHECKS = {"as shipped": ("logins", 1.5), "hashes shown": ("hashes", 0.5)}
"""ClickHouse's passwords of 1,000 users: how they are checked, and seconds."""


class Found(NamedTuple):
    """One cell that was measured."""

    engine: str
    place: str
    durability: str
    users: int
    samples: Samples
    date: str
    load: float

    def row(self, *cells: str) -> list[str]:
        """A row of a table: what was measured, how, and when."""
        what = [self.engine, f"{self.users}", self.place, self.durability]
        return [*what, *cells, str(len(self.samples.rounds)), f"{self.date}, {self.load:.1f}"]


HEAD, TAIL = ["engine", "users", "files in", "durability"], ["rounds", "date, load"]


def found(results: Results) -> list[Found]:
    """Everything that was measured, by engine and users."""
    rows = []
    for engine in ENGINES:
        for key, kept in results.figures("beside", engine).items():
            if key.count("|") == 2:
                users, place, durability = key.split("|")
                samples = Samples(kept["rounds"])
                rows.append(Found(engine, place, durability, int(users), samples, kept["date"], kept["load"]))
    return sorted(rows, key=lambda row: (list(ENGINES).index(row.engine), row.users, row.durability, row.place))


def first(rows: Sequence[Found]) -> str:
    """First runs beside raw scripts."""
    lines = [
        row.row(
            *(number(row.samples.seconds(kind)) for kind in ("raw", "first")),
            *_judged(row.samples.ratio("first", "raw"), FIRST.get(row.users)),
        )
        for row in rows
    ]
    return table([*HEAD, "raw, s", "dbroster, s", "ratio", "target", "met", *TAIL], lines)


def idle(rows: Sequence[Found]) -> str:
    """Runs that change nothing beside a bare Python; of 1,000 users also beside those of 10."""
    few = {(row.engine, row.place, row.durability): row for row in rows if row.users == 10}
    lines = [
        row.row(
            *(number(row.samples.seconds(kind)) for kind in ("bare", "no-op")),
            *_judged(row.samples.ratio("no-op", "bare"), IDLE if row.users == 100 else None),
            *_judged(_growth(row, few.get((row.engine, row.place, row.durability))), IDLE),
        )
        for row in rows
    ]
    head = ["bare, s", "dbroster, s", "ratio", "target", "met", "1,000 / 10", "target", "met"]
    return table([*HEAD, *head, *TAIL], lines)


def checks(rows: Sequence[Found]) -> str:
    """ClickHouse's passwords, all of them checked."""
    return table([*HEAD, "by", "raw, s", "dbroster, s", "ratio", "target, s", "met", *TAIL], list(_checks(rows)))


def _checks(rows: Sequence[Found]) -> Iterator[list[str]]:
    for row in rows:
        if row.engine == "clickhouse" and row.users >= 1000:
            kind, target = CHECKS[row.durability]
            cold = row.samples.seconds("cold") or 0
            ratio = number(row.samples.ratio("cold", "raw checks"))
            sign = "yes" if cold <= target else "**no**"
            yield row.row(kind, number(row.samples.seconds("raw checks")), number(cold), ratio, number(target), sign)


def _growth(row: Found, few: Found | None) -> float | None:
    """Each beside the bare Python of its own rounds, since they were run at different times."""
    own, other = row.samples.ratio("no-op", "bare"), few and few.samples.ratio("no-op", "bare")
    return own / other if row.users == 1000 and own and other else None


def _judged(measured: float | None, target: float | None) -> list[str]:
    if measured is None or target is None:
        return [number(measured), "-", "-"]
    return [number(measured), number(target), "yes" if measured <= target else "**no**"]
