"""One plot per engine: seconds against users, dbroster beside the raw script."""

from pathlib import Path

from benchmarks.engines import ENGINES
from benchmarks.results import Results

DOCS = Path(__file__).resolve().parent.parent / "docs"
LINES = {
    "raw": ("raw script", "#888888", "--"),
    "raw parallel": ("raw script, 4 sessions", "#bbbbbb", "--"),
    "first": ("dbroster, first run", "#1f77b4", "-"),
    "no-op": ("dbroster, no-op", "#2ca02c", "-"),
}


def draw(results: Results) -> list[Path]:
    """Draw what there is, as SVG without anything that changes from one drawing to the next."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "dbroster", "svg.fonttype": "none"})
    from matplotlib import pyplot

    drawn = []
    for name in ENGINES:
        life = results.life(name)
        if len(life) < 2:
            continue
        figure, axes = pyplot.subplots(figsize=(6, 4))
        for kind, (label, colour, style) in LINES.items():
            points = [(users, s) for users, samples in life.items() if (s := samples.seconds(kind)) is not None]
            axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=label)
        axes.set(xscale="log", yscale="log", xlabel="users", ylabel="seconds", title=name)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        path = DOCS / f"performance-{name}.svg"
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)
        drawn.append(path)
    return drawn
