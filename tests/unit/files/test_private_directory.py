"""A directory with secrets: whole or not there, for nobody else, and never in the place of something."""

import os
from pathlib import Path

import pytest

from dbroster.errors import ConfigError
from dbroster.files.write import refuse_directory, write_private_directory

FILES = {"users.txt": b"bob:secret\n", "adopt.txt": b"bob\n"}


def modes(path: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in (path, *path.iterdir())}


@pytest.mark.parametrize("empty", [True, False])
def test_it_is_made_for_nobody_else(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "new"
    if empty:
        path.mkdir(mode=0o755)
    write_private_directory(path, FILES)
    assert modes(path) == {"new": 0o700, "users.txt": 0o600, "adopt.txt": 0o600}
    assert {each.name: each.read_bytes() for each in path.iterdir()} == FILES
    assert list(tmp_path.iterdir()) == [path]


def refused(path: Path) -> str:
    before = sorted(path.parent.iterdir())
    with pytest.raises(ConfigError) as caught:
        write_private_directory(path, FILES)
    assert sorted(path.parent.iterdir()) == before
    return str(caught.value)


def test_what_stands_there_stays(tmp_path: Path) -> None:
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    (full / "inside").mkdir(parents=True)
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    assert "is not empty" in refused(full)
    assert "is not a directory" in refused(file)
    assert "is a link" in refused(link)
    link.unlink()
    link.symlink_to(full / "inside")
    assert "is a link" in refused(link)
    assert list((full / "inside").iterdir()) == []
    assert file.read_text() == "mine"


def test_where_others_could_exchange_it_nothing_is_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "everybody may put another file into it" in refused(tmp_path / "new")
    tmp_path.chmod(0o700)


def test_another_s_directory_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new"
    path.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert "belongs to another user" in refused(path)


def test_without_a_parent_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        write_private_directory(tmp_path / "a" / "b", FILES)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_file_can_have_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was changed"):
        write_private_directory(tmp_path / "new", {**FILES, "x" * 300: b""})
    assert list(tmp_path.iterdir()) == []


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    """G6: told as one sentence, before the server is asked."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file/new", "loop/new", "x" * 300):
        with pytest.raises(ConfigError, match="nothing was"):
            refuse_directory(tmp_path / name)
