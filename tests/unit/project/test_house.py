"""A folder of src is a concept that can be seen at once."""

from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[3] / "src"
MOST = 12
ROOMS = sorted(path for path in SRC.rglob("*") if path.is_dir() and any(path.glob("*.py")))


def test_every_room_is_looked_at() -> None:
    assert SRC / "dbroster" / "engines" / "postgresql" / "removal" in ROOMS


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(SRC)))
def test_no_folder_holds_more_than_can_be_seen_at_once(room: Path) -> None:
    files = sorted(path.name for path in room.glob("*.py"))
    assert len(files) <= MOST, files
