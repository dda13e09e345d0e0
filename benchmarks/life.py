"""One round: the life of a roster, side by side with the raw script."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
from benchmarks import raw
from benchmarks.delay import Delay
from benchmarks.engines import Engine
from benchmarks.figures import Samples
from benchmarks.site import Run, Site, one_changed, roster

Tell = Callable[[str], None]

ONLY_PARALLEL = 2000
"""From so many users on the raw script runs in parallel sessions only: one alone would take a quarter of an hour."""


@contextmanager
def world(
    engine: Engine, durability: str = "as shipped", place: Path | None = None
) -> Iterator[tuple[servers.Server, Site]]:
    """A durable server and a config directory for it."""
    engine.durability = durability
    server = engine.start(place)
    try:
        with TemporaryDirectory(prefix="dbroster-bench-") as directory:
            yield server, Site(Path(directory), engine, engine.section(server))
    finally:
        server.close()


def rounds(engine: Engine, users: int, count: int, tell: Tell, *, delayed: bool = False) -> Samples:
    """Measure so many rounds on one server."""
    samples = Samples()
    with world(engine) as (server, site):
        for number in range(count):
            found = _round(engine, server, site, users, delayed=delayed)
            samples.rounds.append(found)
            tell(f"{engine.name} {users} round {number + 1}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
    return samples


def _round(engine: Engine, server: servers.Server, site: Site, users: int, *, delayed: bool) -> dict[str, float]:
    wanted = roster(users)
    found: dict[str, float] = {}
    for kind, sessions in (("raw", 1), ("raw parallel", raw.SESSIONS))[users >= ONLY_PARALLEL :]:
        found[kind] = raw.create(engine, server, wanted, sessions)
        raw.settle(engine, server)
        found[f"{kind} removal"] = raw.remove(engine, server, list(wanted), sessions)
        raw.settle(engine, server)
    site.forget()
    site.roster(wanted)
    found |= _seconds("first", first := site.run())
    assert first.summary["create_user"] == users
    raw.settle(engine, server)
    found |= _seconds("no-op, cold cache", site.run())
    found |= _seconds("no-op", idle := site.run())
    found["no-op, processor"] = idle.processor
    assert idle.summary["unchanged"] == users
    found["megabytes"] = max(first.megabytes, idle.megabytes)
    site.roster(changed := one_changed(wanted))
    found |= _seconds("one password", update := site.run())
    assert update.summary["update_password"] == 1
    if delayed:
        found |= _delayed_idle(engine, server, site)
    site.roster(dict(list(changed.items())[: users // 2]))
    found |= _seconds("removal of half", removal := site.run("--max-removals", "all"))
    assert removal.summary["drop_user"] == users - users // 2
    raw.remove(engine, server, list(wanted), raw.SESSIONS)
    raw.settle(engine, server)
    if delayed:
        found |= _delayed_first(engine, server, site, users)
    return found


def _delayed_idle(engine: Engine, server: servers.Server, site: Site) -> dict[str, float]:
    """A no-op with 5 ms more on the way."""
    site.run()  # the changed password is not in the cache yet
    with Delay(server) as relay:
        site.connect(engine.section(server) | {"port": relay.port})
        found = _seconds("no-op, 5 ms away", site.run())
        found["round trips of a no-op"] = float(relay.round_trips)
    site.connect(engine.section(server))
    return found


def _delayed_first(engine: Engine, server: servers.Server, site: Site, users: int) -> dict[str, float]:
    """A first run with 5 ms more on the way."""
    wanted = roster(users)
    site.roster(wanted)
    with Delay(server) as relay:
        site.connect(engine.section(server) | {"port": relay.port})
        found = _seconds("first, 5 ms away", site.run())
    site.connect(engine.section(server))
    raw.remove(engine, server, list(wanted), raw.SESSIONS)
    raw.settle(engine, server)
    return found


def _seconds(kind: str, run: Run) -> dict[str, float]:
    return {kind: run.seconds}
