"""Medians, ratios, exponents, and how they are written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Samples:
    """Seconds of each kind of run, one per round; what was taken in the same round belongs together."""

    rounds: list[dict[str, float]] = field(default_factory=list)

    def seconds(self, kind: str) -> float | None:
        """The median, None when this kind was not run."""
        found = [each[kind] for each in self.rounds if kind in each]
        return median(found) if found else None

    def ratio(self, kind: str, other: str) -> float | None:
        """The median of the ratios within each round, so that a busy machine hits both sides."""
        found = [each[kind] / each[other] for each in self.rounds if kind in each and other in each]
        return median(found) if found else None


def exponent(seconds: Mapping[int, float]) -> float | None:
    """Slope of log(seconds) against log(users), by least squares: 1 is linear."""
    points = [(math.log(users), math.log(value)) for users, value in seconds.items()]
    if len(points) < 2:
        return None
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    slope: float = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return slope


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits, or a dash."""
    if value is None:
        return "-"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
    return f"{value:.{min(digits, 3)}f}{unit}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
