"""`dbroster encrypt`: users.txt goes only when users.txt.age is on disk and, if that can be tried, opens again."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from dbroster.cli.main import main
from dbroster.files import write
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import IDENTITY_VARIABLE, RECIPIENTS_FILE
from dbroster.roster.editing.judge import judge
from tests.support.samples import CONNECTIONS, PASSWORD, config, full_disk, private
from tests.support.vault import Key, age_key, files, holding, opened, ssh_key

PLAIN = f"ann:{PASSWORD}\n"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return age_key(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    site = tmp_path / "config"
    site.mkdir()
    return config(site, PLAIN)


def encrypt(directory: Path, *options: str) -> int:
    return main(["encrypt", "--config", str(directory), *options])


def refused(directory: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Encrypt, see that nothing came of it, and return what is said."""
    before = files(directory)
    assert encrypt(directory, *options) == 2
    assert files(directory) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert PASSWORD not in err
    return err


def test_a_file_that_may_have_been_cut_is_not_encrypted(
    directory: Path, key: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    """A7: the rest of it would be lost with the plain file."""
    private(directory / "users.txt", PLAIN + "bob:Corr")
    assert f"echo >> {directory}/users.txt" in refused(directory, capsys, "--recipient", key.public)


# --- it works -------------------------------------------------------------------------------------------------------


def test_the_roster_is_encrypted_and_the_plain_one_goes(
    directory: Path, tmp_path: Path, key: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encrypt(directory, "--recipient", key.public) == 0
    assert opened(directory / AGE_FILE, key) == PLAIN.encode()
    assert stat.S_IMODE((directory / AGE_FILE).stat().st_mode) == 0o600
    assert (directory / RECIPIENTS_FILE).read_text() == f"{key.public}\n"
    assert holding(PASSWORD, tmp_path) == []
    assert sorted(files(directory)) == ["connections.yaml", "postgresql_databases.txt", AGE_FILE, RECIPIENTS_FILE]
    out = capsys.readouterr().out
    assert "users.txt.age was written for 1 recipient (not opened again: no identity at hand)" in out
    assert "users.txt was removed" in out


def test_it_is_opened_again_when_an_identity_is_at_hand(
    directory: Path, key: Key, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, str(key.path))
    assert encrypt(directory, "--recipient", key.public) == 0
    assert f"(opened again with {key.path})" in capsys.readouterr().out


def test_many_recipients_of_all_kinds(directory: Path, tmp_path: Path, key: Key) -> None:
    other, ssh = age_key(tmp_path, "other"), ssh_key(tmp_path, "ed25519")
    listed = private(tmp_path / "listed", f"# ops\n{other.public}\n{key.public}\n")
    given = ("--recipient", key.public, "--recipient", f"{ssh.public} ann@host", "--recipients-file", str(listed))
    assert encrypt(directory, *given, "--identity", str(ssh.path)) == 0
    assert opened(directory / AGE_FILE, other) == opened(directory / AGE_FILE, key) == PLAIN.encode()
    assert (directory / RECIPIENTS_FILE).read_text().splitlines() == [
        key.public,
        f"{ssh.public} ann@host",
        other.public,
    ]


def test_recipients_are_remembered(directory: Path, key: Key) -> None:
    assert encrypt(directory, "--recipient", key.public) == 0
    (directory / AGE_FILE).unlink()
    config(directory, PLAIN)
    assert encrypt(directory) == 0
    assert opened(directory / AGE_FILE, key) == PLAIN.encode()


def test_the_disk_is_overwritten_before_the_name_goes(directory: Path, key: Key) -> None:
    with (directory / "users.txt").open("rb") as held:
        assert encrypt(directory, "--recipient", key.public) == 0
        assert held.read() == bytes(len(PLAIN))


# --- it does not ----------------------------------------------------------------------------------------------------


def test_for_nobody(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "for whom?" in refused(directory, capsys)


def test_for_nobody_that_is_known(directory: Path, key: Key, capsys: pytest.CaptureFixture[str]) -> None:
    assert "recipient 2 is no public key" in refused(
        directory, capsys, "--recipient", key.public, "--recipient", "age1typo"
    )
    assert "does not exist" in refused(directory, capsys, "--recipients-file", "/nowhere/listed")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("broken", "users.txt line 2: no colon"),
        ("bob:short", "users.txt line 2: bob: the password has 5 characters"),
        (f"ANN:{PASSWORD}", "differ only in case"),
    ],
)
def test_a_roster_that_no_sync_would_take(
    directory: Path, key: Key, capsys: pytest.CaptureFixture[str], line: str, expected: str
) -> None:
    private(directory / "users.txt", f"{PLAIN}{line}\n")
    assert expected in refused(directory, capsys, "--recipient", key.public)


def test_a_roster_that_others_may_read(directory: Path, key: Key, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "users.txt").chmod(0o644)
    assert "chmod 600" in refused(directory, capsys, "--recipient", key.public)


def test_an_identity_that_would_not_open_it(
    directory: Path, tmp_path: Path, key: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    other = age_key(tmp_path, "other")
    text = refused(directory, capsys, "--recipient", key.public, "--identity", str(other.path))
    assert "holds no identity that it was encrypted for" in text


def test_an_encrypted_roster_is_there_already(directory: Path, key: Key, capsys: pytest.CaptureFixture[str]) -> None:
    private(directory / AGE_FILE, "old")
    assert "users.txt and users.txt.age are both there" in refused(directory, capsys, "--recipient", key.public)


def test_nothing_to_encrypt(directory: Path, key: Key, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "users.txt").unlink()
    assert "users.txt does not exist" in refused(directory, capsys, "--recipient", key.public)
    private(directory / "connections.yaml", f"users_command: [echo, 'ann:x']\n{CONNECTIONS}")
    assert "comes from users_command already" in refused(directory, capsys, "--recipient", key.public)


@pytest.mark.parametrize("tie", ["link", "name"])
def test_a_roster_that_would_stay_in_clear_elsewhere(
    directory: Path, tmp_path: Path, key: Key, capsys: pytest.CaptureFixture[str], tie: str
) -> None:
    users, elsewhere = directory / "users.txt", tmp_path / "elsewhere"
    if tie == "link":
        users.rename(elsewhere)
        users.symlink_to(elsewhere)
    else:
        elsewhere.hardlink_to(users)
    assert tie in refused(directory, capsys, "--recipient", key.public)
    assert elsewhere.read_text() == PLAIN


def test_a_full_disk(directory: Path, key: Key, capsys: pytest.CaptureFixture[str]) -> None:
    with full_disk(10):
        text = refused(directory, capsys, "--recipient", key.public)
    assert "can't be written: File too large" in text


@pytest.mark.parametrize(("name", "expected"), [("users.txt", "was changed meanwhile"), (AGE_FILE, "File exists")])
def test_what_somebody_else_writes_meanwhile_is_kept(
    directory: Path,
    key: Key,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    expected: str,
) -> None:
    def judged(directory: Path, data: bytes, file: str) -> list[Problem]:
        private(directory / name, "theirs")
        return judge(directory, data, file)

    monkeypatch.setattr("dbroster.roster.editing.encrypt.judge", judged)
    assert encrypt(directory, "--recipient", key.public) == 2
    assert expected in capsys.readouterr().err
    assert (directory / name).read_text() == "theirs"
    assert (directory / "users.txt").exists()
    assert not list(directory.glob(".*.tmp"))


def test_nobody_writes_while_it_is_encrypted(
    directory: Path, key: Key, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: what was written between the last look and the removal of the plain file would be lost."""
    monkeypatch.setattr(write, "PATIENCE", 0.1)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as `dbroster add` does
        assert encrypt(directory, "--recipient", key.public) == 2
    finally:
        os.close(descriptor)
    assert "another process holds" in capsys.readouterr().err
    assert (directory / "users.txt").read_text() == PLAIN
    assert not (directory / AGE_FILE).exists()
