"""The command: `python -m benchmarks`; measures, prints the tables, and writes docs/performance.md and its plots."""

import argparse
import sys

from benchmarks import beside, fleet, life, many, page, peer, plot
from benchmarks.engines import ENGINES
from benchmarks.results import Results

TEMPLATES = ["tools", "web", "analytics"]
ONE_TEMPLATE = {"postgresql": 1000, "mongodb": 5000}
"""From so many users on: a database takes 7.3 MB of PostgreSQL's disk, and two of the files that mongod may open."""

PARTS = ("beside", "life", "growth", "many", "fleet", "peer", "page")


def tell(text: str) -> None:
    """Say what was measured just now; the tables come at the end."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"default: {', '.join(ENGINES)}")
    parser.add_argument("--parts", default="beside,page", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=14, help="no round begins after them (default: 14)")
    parser.add_argument("--places", default=",".join(beside.PLACES), help="where servers have their files")
    parser.add_argument("--users", default="10,100,1000", help="beside a raw script (default: 10,100,1000)")
    parser.add_argument("--life", default="20,100", help="users for the life of a roster (default: 20,100)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--growth", default="1000,5000", help="users, one round each (default: 1000,5000)")
    parser.add_argument("--many", type=int, default=10_000, help="accounts for the large no-op (default: 10000)")
    parser.add_argument("--peer", action="store_true", help="run Ansible's playbooks as well (installs them; slow)")
    given = parser.parse_args()
    results, parts = Results(), given.parts.split(",") + ["peer"] * given.peer
    if "beside" in parts:
        users = [int(count) for count in given.users.split(",")]
        cells = beside.cells(given.engines or list(ENGINES), given.places.split(","), users)
        beside.measure(list(cells), given.rounds, given.minutes, results, tell)
    for name in given.engines or ENGINES:
        _engine(name, given, parts, results)
    if "fleet" in parts:
        results.keep("fleet", "postgresql", "50", fleet.measure(given.rounds, tell))
    if "page" in parts:
        if "life" in parts:
            plot.draw(results)
        print(page.write(results))
    return 0


def _engine(name: str, given: argparse.Namespace, parts: list[str], results: Results) -> None:
    if "life" in parts:
        for users in map(int, given.life.split(",")):
            _life(name, users, given.rounds, results)
    if "growth" in parts:
        for users in map(int, given.growth.split(",")):
            _life(name, users, 1, results)
    if "many" in parts:
        results.keep("many", name, str(given.many), many.measure(name, given.many, given.rounds, tell))
    if "peer" in parts and name in peer.PLAYBOOKS:
        for users, mitogen in ((20, False), (100, False), (100, True)):
            found = peer.measure(ENGINES[name](TEMPLATES), users, tell, mitogen=mitogen)
            results.keep("peer", name, f"{'mitogen' if mitogen else 'ansible'} {users}", found)


def _life(name: str, users: int, rounds: int, results: Results) -> None:
    """One template instead of three where a machine can't carry more: see ONE_TEMPLATE."""
    templates = TEMPLATES[:1] if users >= ONE_TEMPLATE.get(name, users + 1) else TEMPLATES
    samples = life.rounds(ENGINES[name](templates), users, rounds, tell, delayed=users == 100)
    kept = [{**found, "templates": float(len(templates))} for found in samples.rounds]
    results.keep("life", name, str(users), kept)


if __name__ == "__main__":
    sys.exit(main())
