"""Files of a config directory: whatever stands at the path, the answer is content or one problem."""

import os
import socket
from pathlib import Path

import pytest

from dbroster.files.read import MAX_BYTES, read_file
from tests.support.samples import private


def test_a_file_gives_its_bytes_and_its_mode(tmp_path: Path) -> None:
    path = private(tmp_path / "users.txt", b"a:b\n\xff")
    content = read_file(path)
    assert (content.name, content.data, content.mode) == ("users.txt", b"a:b\n\xff", 0o600)
    assert content.problem is None


def test_a_symlink_is_followed_as_secrets_are_mounted_so(tmp_path: Path) -> None:
    private(tmp_path / "real", b"x")
    (tmp_path / "users.txt").symlink_to("real")
    assert read_file(tmp_path / "users.txt").data == b"x"


def test_a_secret_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    """Links to links, in a directory that is open to all but sticky."""
    (tmp_path / "..2026_11_24").mkdir()
    private(tmp_path / "..2026_11_24" / "users.txt", b"x")
    (tmp_path / "..data").symlink_to("..2026_11_24")
    (tmp_path / "users.txt").symlink_to("..data/users.txt")
    tmp_path.chmod(0o1777)
    assert read_file(tmp_path / "users.txt").data == b"x"


@pytest.mark.parametrize(("mode", "safe"), [(0o777, False), (0o702, False), (0o1777, True), (0o775, True)])
def test_a_link_into_a_directory_where_everybody_may_put_another_file(mode: int, safe: bool, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    private(tmp_path / "open" / "real", b"x")
    (tmp_path / "open").chmod(mode)
    (tmp_path / "users.txt").symlink_to("open/real")
    content = read_file(tmp_path / "users.txt")
    assert content.data == (b"x" if safe else b"")
    assert safe or (content.problem and "where everybody may put another one" in content.problem.text)


@pytest.mark.parametrize("part", ["link", "target"])
def test_a_link_that_belongs_to_somebody_else(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private(tmp_path / "real", b"x")
    (tmp_path / "users.txt").symlink_to("real")
    if os.geteuid() == 0:
        os.chown(tmp_path / ("users.txt" if part == "link" else "real"), 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    content = read_file(tmp_path / "users.txt")
    assert content.problem is not None
    assert "belongs neither to root nor to the user that dbroster runs as" in content.problem.text
    assert content.data == b""


# --- changed meanwhile ------------------------------------------------------------------------------------------------


def changing(path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let somebody else write to the file so many times, each time after it was looked at and before it is read."""
    left = iter(range(times))
    fstat = os.fstat

    def look(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if status.st_ino == path.stat().st_ino and next(left, None) is not None:
            with path.open("ab") as file:
                file.write(b"more\n")
        return status

    monkeypatch.setattr(os, "fstat", look)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private(tmp_path / "users.txt", b"ann:x\n")
    changing(path, 1, monkeypatch)
    assert read_file(path).data == b"ann:x\nmore\n"


def test_a_file_that_does_not_stop_changing_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private(tmp_path / "users.txt", b"ann:x\n")
    changing(path, 100, monkeypatch)
    content = read_file(path)
    assert content.problem is not None
    assert "changes while it is read" in content.problem.text
    assert (content.data, content.missing) == (b"", False)


def test_a_file_that_is_rewritten_in_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size: only the times tell."""
    path = private(tmp_path / "users.txt", b"ann:x\n")
    fstat, left = os.fstat, iter([1])

    def look(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if status.st_ino == path.stat().st_ino and next(left, None):
            path.write_bytes(b"bob:y\n")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        return status

    monkeypatch.setattr(os, "fstat", look)
    assert read_file(path).data == b"bob:y\n"


def test_a_file_that_is_exchanged_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private(tmp_path / "users.txt", b"ann:x\n")
    before = path.stat().st_ino
    private(tmp_path / "next", b"bob:y\n")
    fstat = os.fstat

    def look(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if status.st_ino == before and (tmp_path / "next").exists():
            (tmp_path / "next").rename(path)
        return status

    monkeypatch.setattr(os, "fstat", look)
    assert read_file(path).data == b"bob:y\n"


def test_a_missing_file_is_told_from_an_unusable_one(tmp_path: Path) -> None:
    content = read_file(tmp_path / "users.txt")
    assert content.missing
    assert content.problem is not None
    assert "does not exist" in content.problem.text


def test_a_dangling_symlink_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "users.txt").symlink_to("nowhere")
    assert read_file(tmp_path / "users.txt").missing


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


@pytest.mark.parametrize("make", [_directory, _fifo, _device, _socket, _loop, _too_large])
@pytest.mark.timeout(10)  # a FIFO without a writer must not block
def test_what_is_no_file_is_a_problem(make: object, tmp_path: Path) -> None:
    make(tmp_path / "users.txt")  # type: ignore[operator]
    content = read_file(tmp_path / "users.txt")
    assert content.problem is not None
    assert str(tmp_path) in content.problem.text
    assert not content.missing
    assert content.data == b""


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_what_can_be_no_file_name_is_a_problem(name: str, tmp_path: Path) -> None:
    assert read_file(tmp_path / name).problem is not None


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    private(tmp_path / "file", b"x")
    before = open_descriptors()
    for _ in range(5):
        read_file(tmp_path)
        read_file(tmp_path / "file")
    assert open_descriptors() == before
