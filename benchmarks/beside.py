"""dbroster beside the raw script and beside a bare Python, on both kinds of disk and with both durabilities.

Every process is measured with its start. Who goes first changes with each round, and each ratio is taken within a
round, so that a busy machine hits both sides.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import servers
from benchmarks import bare, raw, raw_checks
from benchmarks.engines import ENGINES, Engine
from benchmarks.life import Tell, world
from benchmarks.results import Results
from benchmarks.site import Site, roster

PLACES = {"memory": Path("/dev/shm"), "disk": Path("/var/tmp")}
SHIPPED = "as shipped"
IDLE = 5
"""Runs that change nothing, and bare ones, in a round: their median counts."""
FEW = 1000
"""From so many users on there is one template and one round: PostgreSQL's databases take 7.3 MB each."""


@dataclass(frozen=True)
class Cell:
    """One engine in one place, with one durability and so many users."""

    engine: str
    place: str
    durability: str
    users: int

    def __str__(self) -> str:
        return f"{self.users}|{self.place}|{self.durability}"


def cells(engines: Sequence[str], places: Sequence[str], users: Sequence[int]) -> Iterator[Cell]:
    """What matters most first: time may be over before the last one."""
    for count in sorted(users, key=lambda count: (count != 100, count)):
        for place in places:
            for engine in engines:
                yield Cell(engine, place, SHIPPED, count)
    for place in places:
        for engine in engines:
            for durability in ENGINES[engine].durabilities:
                if durability != SHIPPED:
                    # hashes are for many users, all else is compared at a hundred
                    yield Cell(engine, place, durability, max(users) if durability == "hashes shown" else 100)


def measure(found: Sequence[Cell], rounds: int, minutes: float, results: Results, tell: Tell) -> None:
    """Measure cell after cell; when the minutes are over, no other round begins."""
    end = time.monotonic() + 60 * minutes
    for cell in found:
        if time.monotonic() > end:
            tell(f"{cell.engine} {cell}: not run, the time is over")
            continue
        load = os.getloadavg()[0]
        samples = list(_rounds(cell, 1 if cell.users >= FEW else rounds, end, tell))
        kept = {"rounds": samples, "date": f"{datetime.now(UTC):%Y-%m-%d}", "load": load}
        results.keep("beside", cell.engine, str(cell), kept)


def _rounds(cell: Cell, rounds: int, end: float, tell: Tell) -> Iterator[dict[str, float]]:
    few = cell.users >= FEW and cell.engine in ("postgresql", "mongodb")
    engine = ENGINES[cell.engine](["tools"] if few else ["tools", "web", "analytics"])
    with world(engine, cell.durability, PLACES[cell.place]) as (server, site):
        for number in range(rounds):
            if number and time.monotonic() > end:
                break
            found = _round(engine, server, site, cell.users, raw_first=number % 2 == 0)
            tell(f"{cell.engine} {cell}: " + ", ".join(f"{kind} {value:.3f}" for kind, value in found.items()))
            yield found


def _round(engine: Engine, server: servers.Server, site: Site, users: int, *, raw_first: bool) -> dict[str, float]:
    wanted = roster(users)
    site.roster(wanted)
    found: dict[str, float] = {}

    def by_hand() -> None:
        found["raw"] = raw.create(engine, server, wanted)
        raw.settle(engine, server)

    def ours() -> None:
        site.forget()
        found["first"] = site.run().seconds
        raw.settle(engine, server)
        found.update(_idle(engine, site))

    for number, step in enumerate((by_hand, ours) if raw_first else (ours, by_hand)):
        if number:
            raw.remove(engine, server, list(wanted), raw.SESSIONS)
            raw.settle(engine, server)
        step()
    raw.remove(engine, server, list(wanted), raw.SESSIONS)
    raw.settle(engine, server)
    return found


def _idle(engine: Engine, site: Site) -> dict[str, float]:
    """Runs that change nothing, each beside a bare Python; and the first one, which has to check all passwords."""
    cold = site.run()
    assert cold.summary["create_user"] == 0
    took: dict[str, list[float]] = {"bare": [], "no-op": []}
    for _ in range(IDLE):
        took["bare"].append(_process(bare.__file__, engine.section_name, site.directory / "connections.yaml"))
        took["no-op"].append(site.run().seconds)
    found = {kind: median(seconds) for kind, seconds in took.items()} | {"cold": cold.seconds}
    if engine.name == "clickhouse":
        kind = "hashes" if site.engine.durability == "hashes shown" else "logins"
        found["raw checks"] = _process(raw_checks.__file__, kind, site.directory)
    return found


def _process(script: str, *arguments: object) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, script, *map(str, arguments)], env=raw.environment(), check=True)
    return time.perf_counter() - began
