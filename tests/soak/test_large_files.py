"""Large files: what they cost in memory and time, measured in a child process."""

from pathlib import Path

import pytest

from tests.conftest import Figure
from tests.support.measured import measured


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("line", "code", "most"),
    [
        (b"u%06d:Correct-horse-7\n", 0, 750),
        (b"x%06d\n", 1, 450),
        (b"u%06d:short\n", 1, 700),
        (b"same:%06d\n", 1, 600),
    ],
    ids=["good lines", "no colon", "bad passwords", "one user"],
)
def test_a_million_lines(line: bytes, code: int, most: int, tmp_path: Path, figure: Figure) -> None:
    run = measured(tmp_path, users=b"".join(line % number for number in range(1_000_000)))
    figure(f"a million of {line.decode().strip()}: {run.seconds:.0f} s, {run.megabytes} MiB")
    assert run.code == code
    assert run.megabytes < most
    assert run.seconds < 400
