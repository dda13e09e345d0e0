"""The local lock: one holder at a time, in whatever process, freed by the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbroster.errors import ServerError, SyncLockHeld
from dbroster.files.lock import lock_file
from tests.support.samples import full_disk

HOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from dbroster.files.lock import lock_file
with lock_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
SOURCE = Path(__file__).parents[3] / "src"


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(SOURCE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(SyncLockHeld, match=f"another sync is at work: process {holder.pid}, since 2"),
            lock_file(path),
        ):
            pass
        holder.kill()
    with lock_file(path):
        pass


def test_one_holder_in_one_process_too(tmp_path: Path) -> None:
    with lock_file(tmp_path / "lock"), pytest.raises(SyncLockHeld), lock_file(tmp_path / "lock"):
        pass


def test_it_is_freed_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_file(tmp_path / "lock"):
        raise ZeroDivisionError
    with lock_file(tmp_path / "lock"):
        pass


def test_it_is_private_and_names_its_holder_afresh(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("an old holder with a very, very, very long text in the file\n")
    with lock_file(path):
        assert path.read_text().startswith("process ")
        assert path.read_text().count("\n") == 1
    path.unlink()
    with lock_file(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(ServerError, match="can't be opened"), lock_file(tmp_path / "lock"):
        pass
    assert target.read_text() == "precious"


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="can't be opened: No such file"), lock_file(tmp_path / "no" / "lock"):
        pass


def test_a_full_disk(tmp_path: Path) -> None:
    """C9: it is told as such, and leaves nothing that stops the next run."""
    path = tmp_path / "lock"
    with full_disk(0), pytest.raises(ServerError, match="can't be written: File too large"), lock_file(path):
        pass
    with lock_file(path):
        pass


@pytest.mark.parametrize("kind", ["FIFO", "directory", "device"])
@pytest.mark.timeout(10)  # a FIFO must not block
def test_what_is_no_lock_file(kind: str, tmp_path: Path) -> None:
    """C9: whatever stands at the path, the message names it."""
    path = tmp_path / "lock"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/full")
    with pytest.raises(ServerError, match=str(path)), lock_file(path):
        pass


def test_a_lock_file_that_is_another_file_as_well(tmp_path: Path) -> None:
    """C9: in a directory where others may make links, it could be one that must not be emptied."""
    precious = tmp_path / "precious"
    precious.write_text("data")
    (tmp_path / "lock").hardlink_to(precious)
    with pytest.raises(ServerError, match="hard link"), lock_file(tmp_path / "lock"):
        pass
    assert precious.read_text() == "data"
