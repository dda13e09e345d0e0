"""C9: whatever stands where dbroster keeps a file of its own, it is told by its name, and never as a defect."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.samples import CONNECTIONS, PASSWORD, config, full_disk, private

OURS = [".postgresql-default.lock", ".postgresql-default.cache", "audit.jsonl", "audit.jsonl.head", "archives"]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


KINDS: dict[str, Callable[[Path], object]] = {
    "directory": lambda path: path.mkdir(mode=0o700),
    "FIFO": lambda path: os.mkfifo(path, 0o600),
    "socket": _socket,
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a device": lambda path: path.symlink_to("/dev/full"),
    "file": lambda path: private(path, "?"),
}


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    connections = f"{CONNECTIONS}  removals: {{archive_dir: archives}}\n"
    return Command(config(tmp_path, f"ann:{PASSWORD}\n", connections=connections), capsys)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OURS)
@pytest.mark.timeout(20)  # a FIFO must not block
def test_something_else_in_the_place_of_a_file(name: str, kind: str, command: Command) -> None:
    """C9: the run goes on, where the file is a help only, or ends with exit 2 before it has changed anything."""
    KINDS[kind](command.directory / name)
    for verb in ("plan", "sync", "sync"):
        code = command(verb)
        assert "a defect" not in command.out + command.err
        assert code in (0, 2), command.out
        assert code == 0 or name in command.out, command.out
        assert code == 0 or "ann" not in command.server().accounts


@pytest.mark.parametrize("size", [0, 1, 40, 100, 400, 900, 1500])
def test_a_disk_that_gets_full(size: int, command: Command) -> None:
    """C9: at whatever file and byte; the next run converges."""
    with full_disk(size):
        code = command("sync")
    assert code in (0, 2), command.out
    assert "a defect" not in command.out + command.err
    assert command("sync") == 0, command.out
    assert "ann_web" in command.server().databases
