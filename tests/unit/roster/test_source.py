"""Where the users come from: one of three places, read once, and lines that are counted in it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from dbroster.errors import ConfigError
from dbroster.files.read import MAX_BYTES, Files
from dbroster.model.roster import AGE_FILE, Roster
from dbroster.roster.age import IDENTITY_VARIABLE
from dbroster.roster.parse import read_roster
from dbroster.roster.source import UsersSource
from dbroster.run.sync import load
from tests.support.samples import CONNECTIONS, PASSWORD, config, private
from tests.support.vault import Key, age_key, files, sealed

PLAIN = f"ann:{PASSWORD}\nbroken\nbob:\n".encode()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A config directory without users."""
    site = tmp_path / "config"
    site.mkdir()
    config(site)
    (site / "users.txt").unlink()
    return site


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    key = age_key(tmp_path)
    monkeypatch.setenv(IDENTITY_VARIABLE, str(key.path))
    return key


def command(directory: Path, text: str) -> None:
    private(directory / "connections.yaml", f"users_command: {text}\n{CONNECTIONS}")


def texts(directory: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(UsersSource(Files(directory)), "postgresql")
    assert PASSWORD not in str(caught.value)
    return [problem.text for problem in caught.value.problems]


# --- three places ---------------------------------------------------------------------------------------------------


def as_expected(roster: Roster, name: str) -> None:
    assert {user.name: user.password.reveal() for user in roster.users.values()} == {"ann": PASSWORD}
    assert [(problem.file, problem.line) for problem in roster.problems] == [(name, 2), (name, 3)]
    assert roster.suspended == (f"{name} line 2: its user can't be told",)
    assert roster.templates == ("web",)


def test_users_txt(directory: Path) -> None:
    private(directory / "users.txt", PLAIN)
    roster = read_roster(UsersSource(Files(directory)), "postgresql")
    as_expected(roster, "users.txt")
    assert not roster.encrypted


def test_an_encrypted_roster(directory: Path, key: Key) -> None:
    (directory / AGE_FILE).write_bytes(sealed(PLAIN, key))
    roster = read_roster(UsersSource(Files(directory)), "postgresql")
    as_expected(roster, "users.txt.age")
    assert roster.encrypted


def test_a_command_that_prints_it(directory: Path) -> None:
    (directory / "users.enc").write_bytes(PLAIN)
    command(directory, "[cat, users.enc]")
    _, roster = load(UsersSource(Files(directory)), "postgresql")
    as_expected(roster, "users_command")
    assert roster.encrypted


def test_nowhere_is_left_to_the_guard(directory: Path) -> None:
    roster = read_roster(UsersSource(Files(directory)), "postgresql")
    assert roster.suspended == ("users.txt is missing",)
    assert roster.users == {}


@pytest.mark.parametrize(
    ("there", "named"),
    [
        (("users.txt", AGE_FILE), "users.txt and users.txt.age"),
        (("users.txt", "command"), "users.txt and users_command"),
        ((AGE_FILE, "command"), "users.txt.age and users_command"),
        (("users.txt", AGE_FILE, "command"), "users.txt and users.txt.age and users_command"),
    ],
)
def test_two_of_them_are_a_problem(directory: Path, key: Key, there: tuple[str, ...], named: str) -> None:
    for name in there:
        if name == "command":
            command(directory, "[touch, ran]")
        else:
            private(directory / name, PLAIN if name == "users.txt" else sealed(PLAIN, key))
    before = files(directory)
    assert texts(directory) == [f"{named} are both there: which one is the truth? Remove the other one"]
    assert files(directory) == before  # the command did not run


def test_a_link_to_nowhere_is_no_missing_roster(directory: Path) -> None:
    (directory / AGE_FILE).symlink_to("nowhere")
    assert "does not exist" in texts(directory)[0]


# --- read once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["cat users.enc", "exit 1"])
def test_the_command_runs_once_for_all(directory: Path, script: str) -> None:
    (directory / "users.enc").write_bytes(PLAIN)
    command(directory, f"[sh, -c, 'echo ran >> runs; {script}']")
    (directory / "mysql_databases.txt").write_text("tools\n")
    source = UsersSource(Files(directory))
    for engine in ("postgresql", "mysql"):
        if script == "exit 1":
            with pytest.raises(ConfigError, match="exit code 1"):
                read_roster(source, engine)
        else:
            assert list(read_roster(source, engine).users) == ["ann"]
    assert (directory / "runs").read_text() == "ran\n"


def test_threads_that_ask_at_once_run_it_once(directory: Path) -> None:
    (directory / "users.enc").write_bytes(PLAIN)
    command(directory, "[sh, -c, 'echo ran >> runs; cat users.enc']")
    source, together = UsersSource(Files(directory)), Barrier(4)

    def ask(_: int) -> bytes:
        together.wait()
        return source.users.data

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [PLAIN] * 4
    assert (directory / "runs").read_text() == "ran\n"


def test_what_was_decrypted_is_not_shown(directory: Path, key: Key) -> None:
    (directory / AGE_FILE).write_bytes(sealed(PLAIN, key))
    source = UsersSource(Files(directory))
    assert source.users.data == PLAIN
    assert PASSWORD not in repr(source) + repr(source.users)


# --- what can't be used ---------------------------------------------------------------------------------------------


def test_an_encrypted_roster_without_an_identity(directory: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / AGE_FILE).write_bytes(sealed(PLAIN, key))
    monkeypatch.delenv(IDENTITY_VARIABLE)
    assert "needs an identity" in texts(directory)[0]


def test_a_plain_text_that_is_no_text(directory: Path, key: Key) -> None:
    (directory / AGE_FILE).write_bytes(sealed(PLAIN + b"eve:\xff\n", key))
    assert texts(directory) == [f"what {directory / AGE_FILE} holds is not UTF-8"]


def test_an_encrypted_roster_that_others_may_write(directory: Path, key: Key) -> None:
    """Everybody can encrypt for a public key, so who writes the file decides who has an account."""
    (directory / AGE_FILE).write_bytes(sealed(PLAIN, key))
    (directory / AGE_FILE).chmod(0o664)
    assert "chmod go-w" in texts(directory)[0]
    (directory / AGE_FILE).chmod(0o644)
    assert list(read_roster(UsersSource(Files(directory)), "postgresql").users) == ["ann"]


def test_an_encrypted_roster_that_is_too_large(directory: Path, key: Key) -> None:
    with (directory / AGE_FILE).open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "more than the" in texts(directory)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sops -d users.enc", "users_command: expected a list of texts"),
        ("[]", "users_command: must not be empty"),
        ("[sops, 5]", "users_command: expected a list of texts"),
        ("{a: b}", "users_command: expected a list of texts"),
        ('["a\\0b"]', "users_command: expected a list of texts"),
        ("[nowhere]", "users_command in connections.yaml: the program nowhere can't be started: "
                      "No such file or directory; nothing was done"),
    ],
)  # fmt: skip
def test_a_command_that_can_t_be_run(directory: Path, text: str, expected: str) -> None:
    command(directory, text)
    assert texts(directory) == [expected]


def test_a_command_that_others_may_write(directory: Path) -> None:
    command(directory, "[touch, ran]")
    (directory / "connections.yaml").chmod(0o664)
    assert "names a program to run and has mode 0664" in texts(directory)[0]
    assert not (directory / "ran").exists()


def test_the_command_is_no_engine(directory: Path) -> None:
    private(directory / "connections.yaml", "users_command: [cat, x]\nroster: a\n")
    assert any("no section 'postgresql'" in text for text in texts(directory))
