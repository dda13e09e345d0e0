"""Writing what was measured into docs/performance.md, between its marks."""

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import beside_page
from benchmarks.engines import ENGINES
from benchmarks.figures import Samples, exponent, number, table
from benchmarks.results import Results
from benchmarks.targets import targets

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
KINDS = (
    "raw", "raw parallel", "first", "no-op, cold cache", "no-op", "no-op, processor", "one password", "raw removal",
    "raw parallel removal", "removal of half",
)  # fmt: skip
GROWING = ("raw", "raw parallel", "first", "no-op", "raw removal", "raw parallel removal", "removal of half")


def write(results: Results) -> str:
    """Replace the tables of the page; the new ones are returned."""
    beside = beside_page.found(results)
    parts = {
        "machine": results.machine + "\n",
        "first": beside_page.first(beside),
        "idle": beside_page.idle(beside),
        "checks": beside_page.checks(beside),
        "targets": targets(results),
        "seconds": _seconds(results),
        "growth": _growth(results),
        "many": _many(results),
        "fleet": _fleet(results),
    }
    text = PAGE.read_text()
    for name, content in parts.items():
        if name not in ("machine", "first", "idle", "checks") and content.count("\n") < 3:
            continue  # not measured here: what is on the page stays
        marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marks.sub(lambda found, content=content: f"{found[1]}\n{content}\n{found[2]}", text)  # type: ignore[misc]
    PAGE.write_text(text)
    return "\n".join(f"{name}\n\n{content}" for name, content in parts.items())


def _seconds(results: Results) -> str:
    rows = []
    for name in ENGINES:
        for users, samples in results.life(name).items():
            templates = f" x {int(samples.rounds[0].get('templates', 3))}"
            cells = [number(samples.seconds(kind)) for kind in KINDS]
            rows.append([name, f"{users}{templates}", str(len(samples.rounds)), *cells])
    return table(["engine", "users", "rounds", *KINDS], rows)


def _growth(results: Results) -> str:
    rows = []
    for name in ENGINES:
        life = {users: samples for users, samples in results.life(name).items() if users >= 100}
        if len(life) > 1:
            cells = [number(exponent(_points(life, kind))) for kind in GROWING]
            rows.append([name, ", ".join(map(str, life)), *cells])
    return table(["engine", "users", *GROWING], rows)


def _points(life: dict[int, Samples], kind: str) -> dict[int, float]:
    """Seconds by number of databases, since not every roster has as many templates."""
    templates = {users: int(samples.rounds[0].get("templates", 3)) for users, samples in life.items()}
    return {users * templates[users]: s for users, samples in life.items() if (s := samples.seconds(kind))}


def _many(results: Results) -> str:
    rows = [
        [name, key, *(number(median(found[kind])) for kind in ("warm", "cold", "bare")), number(found["megabytes"])]
        for name in ENGINES
        for key, found in results.figures("many", name).items()
        if key.isdigit()
    ]
    return table(["engine", "users", "no-op, warm", "no-op, cold", "bare computation", "MB"], rows)


def _fleet(results: Results) -> str:
    found = results.figures("fleet", "postgresql").get("50")
    return table(["what", "seconds"], list(_fleet_rows(found)) if found else [])


def _fleet_rows(found: dict[str, list[float]]) -> Iterator[list[str]]:
    names = {
        "one": "one server, no-op",
        "real": "24 servers, no-op",
        "refusing": "and 20 that refuse the connection",
        "silent": "and 6 that never answer (connect_timeout 2)",
        "first": "24 servers, first run of 3 users",
    }
    for kind, words in names.items():
        yield [words, number(median(found[kind]))]
