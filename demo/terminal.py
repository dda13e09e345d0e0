"""A terminal: what is typed, what the programs answer, and a picture of it."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH = 100
_STYLES = (
    (r"# ", "1;36", "#7dcfff"),
    (r"\$ ", "1", "#ffffff"),
    (r" +- |.*refused", "31", "#f7768e"),
    (r" +\+ |  works|.*hello from", "32", "#9ece6a"),
    (r" +~ ", "33", "#e0af68"),
    (r"", "0", "#a9b1d6"),
)
"""How lines that begin so look: in a terminal, and in the picture."""
_CHANGING = ((r"\b20\d\d-\d\d-\d\d\b", "today     "), (r"(?<=PostgreSQL) [\d.]+", ""))
"""What differs from run to run, and what the picture shows for it."""


class Terminal:
    """Runs what is typed in one directory, and keeps what the picture shall show."""

    def __init__(self, home: Path) -> None:
        self.drawn: list[str] = []
        """What the picture shows."""
        self._draws = False
        self._home = home
        ours = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        self._environment = {name: text for name, text in os.environ.items() if not name.startswith("DBROSTER_")} | ours
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show(self, text: str) -> None:
        """Print lines, the long ones folded."""
        for line in folded(text):
            self.drawn += [line] * self._draws
            print(f"\x1b[{style(line)[1]}m{line}\x1b[0m" if self._colours else line, flush=True)

    def heading(self, text: str, *, drawn: bool = True) -> None:
        """Say what comes now, and whether the picture shows it."""
        self._draws = drawn
        self.show(f"# {text}")

    def type(self, command: str, expect: int = 0, most: int = 99) -> None:
        """Run a command in a shell, and show both, of the answer so many lines; any other exit code ends the demo."""
        self.show(f"$ {command}")
        code, answer = self.run(command)
        if code != expect:
            sys.exit(f"the demo failed: exit code {code}, {expect} was expected\n{answer}")
        lines = folded(answer)
        self.show("\n".join(lines[:most]) + " ..." * (len(lines) > most) + f" (exit code {code})" * bool(code))

    def run(self, command: str) -> tuple[int, str]:
        """Run a command in a shell, and show nothing."""
        done = subprocess.run(
            ["sh", "-c", command], cwd=self._home, env=self._environment, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout


def folded(text: str) -> list[str]:
    """Fold what is too wide."""
    fold = textwrap.TextWrapper(WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [line for whole in text.splitlines() for line in fold.wrap(whole) or [""]]


def style(line: str) -> tuple[str, str, str]:
    """How a line looks."""
    return next(found for found in _STYLES if re.match(found[0], line))


def steady(line: str, ports: dict[str, str]) -> str:
    """Take out of a line what would differ in the next run."""
    for pattern, text in (*_CHANGING, *((rf"\b{port}\b", usual) for port, usual in ports.items())):
        line = re.sub(pattern, text, line)
    return line.rstrip()


def picture(lines: Iterable[str]) -> str:
    """Draw a terminal as SVG, with a gap before each heading."""
    drawn, y = [], 16
    for line in lines:
        y += 28 if line.startswith("# ") else 18
        kept = escape(line).replace("  ", "\N{NO-BREAK SPACE}" * 2)
        drawn.append(f'<text x="16" y="{y}" fill="{style(line)[2]}">{kept}</text>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * 8 + 32} {y + 20}" font-size="13" '
        'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" rx="10" fill="#1a1b26"/>', *drawn, "</svg>\n"])
