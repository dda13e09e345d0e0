"""Plain text that killed edits have left is wiped by the next one, and nothing else is."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbroster.roster.editing.scratch import private_file
from tests.support.samples import PASSWORD, config
from tests.support.vault import files, holding
from tests.support.waiting import running, wait_for_word

LEFT = "dbroster-edit-abcdefgh"


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    memory = tmp_path / "memory"
    memory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(memory))
    return memory


def left_behind(place: Path, name: str = LEFT) -> Path:
    """A directory as a killed edit leaves it, with what an editor has put there."""
    directory = place / name
    directory.mkdir(mode=0o700)
    (directory / "users.txt").write_text(PASSWORD)
    (directory / "undo" / "deep").mkdir(parents=True)
    (directory / "undo" / "deep" / "users.txt~").write_text(PASSWORD)
    (directory / "undo" / "link").symlink_to(directory)
    os.mkfifo(directory / "fifo")
    return directory


def edit() -> None:
    with private_file("users.txt", b"mine"):
        pass


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "config"
    site.mkdir()
    return config(site, f"ann:{PASSWORD}\n")


def command(site: Path) -> list[str]:
    return [sys.executable, "-m", "dbroster", "edit", "--config", str(site)]


@contextmanager
def at_work(site: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[str]]":
    """Run `dbroster edit`, from when the editor is at work until both are killed; then the editor does nothing."""
    editor, ready, number = (site.parent / name for name in ("editor", "ready", "number"))
    os.mkfifo(ready)
    editor.write_text(f"#!/bin/sh\necho $$ > {number}; echo > {ready}; exec sleep 100\n")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", shlex.quote(str(editor)))
    with running(command(site)) as process:
        wait_for_word(ready, process)
        yield process
        process.kill()
        os.kill(int(number.read_text()), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    monkeypatch.setenv("VISUAL", "true")


def test_what_sigkill_leaves_is_wiped_by_the_next_edit(
    site: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(site, monkeypatch):
        pass
    assert len(holding(PASSWORD, memory)) == 1
    subprocess.run(command(site), timeout=60, check=True)
    assert list(memory.iterdir()) == []


def test_an_edit_that_is_at_work_is_left_alone(site: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_work(site, monkeypatch):
        edit()
        assert len(holding(PASSWORD, memory)) == 1


def test_everything_that_an_editor_left_goes(memory: Path) -> None:
    left_behind(memory)
    edit()
    assert list(memory.iterdir()) == []


def _link(memory: Path, target: Path) -> None:
    (memory / LEFT).symlink_to(target)


def _open_to_others(memory: Path, _: Path) -> None:
    left_behind(memory).chmod(0o755)


def _of_somebody_else(memory: Path, _: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    os.chown(left_behind(memory), 1234, 2345)


def _another_name(memory: Path, _: Path) -> None:
    left_behind(memory, f"{LEFT}i")
    left_behind(memory, "dbroster-abcdefgh")


def _just_made(memory: Path, _: Path) -> None:
    (memory / LEFT).mkdir(mode=0o700)


def _a_file(memory: Path, _: Path) -> None:
    (memory / LEFT).write_text("a file")


@pytest.mark.parametrize("make", [_link, _open_to_others, _of_somebody_else, _another_name, _just_made, _a_file])
def test_what_is_not_ours_is_left_alone(memory: Path, tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    target = left_behind(tmp_path, "target")
    make(memory, target)
    before = sorted(tmp_path.rglob("*")), files(tmp_path)
    edit()
    assert (sorted(tmp_path.rglob("*")), files(tmp_path)) == before


def test_links_lead_nowhere(memory: Path, tmp_path: Path) -> None:
    target = left_behind(tmp_path, "target")
    before = files(target)
    directory = left_behind(memory)
    (directory / "directory").symlink_to(target)
    (directory / "file").symlink_to(target / "users.txt")
    edit()
    assert list(memory.iterdir()) == []
    assert files(target) == before


def test_a_session_directory_that_others_may_enter_is_not_used(memory: Path) -> None:
    memory.chmod(0o755)
    with private_file("users.txt", b"mine") as path:
        assert path.is_relative_to("/dev/shm")
