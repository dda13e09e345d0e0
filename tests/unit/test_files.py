"""Files of a config directory: whatever stands at the path, the answer is content or one problem."""

import os
import socket
from pathlib import Path

import pytest

from dbroster.files import MAX_BYTES, mode_problem, read_file
from tests.unit.samples import private


def test_a_file_gives_its_bytes_and_its_mode(tmp_path: Path) -> None:
    path = private(tmp_path / "users.txt", b"a:b\n\xff")
    content = read_file(path)
    assert (content.name, content.data, content.mode) == ("users.txt", b"a:b\n\xff", 0o600)
    assert content.problem is None


def test_a_symlink_is_followed_as_secrets_are_mounted_so(tmp_path: Path) -> None:
    private(tmp_path / "real", b"x")
    (tmp_path / "users.txt").symlink_to("real")
    assert read_file(tmp_path / "users.txt").data == b"x"


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


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440, 0o700])
def test_safe_modes(mode: int) -> None:
    assert mode_problem(Path("users.txt"), mode) is None


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o660, 0o620, 0o666, 0o777])
def test_unsafe_modes_name_file_mode_and_remedy(mode: int) -> None:
    problem = mode_problem(Path("/etc/roster/users.txt"), mode)
    assert problem is not None
    assert f"/etc/roster/users.txt holds passwords and has mode {mode:04o}" in problem.text
    assert "chmod 600 /etc/roster/users.txt" in problem.text
    assert problem.file == "users.txt"
