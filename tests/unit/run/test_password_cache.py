"""The password cache: what it spares, what it never answers for, and what its file is."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.model.connection import Connection
from dbroster.model.roster import Roster, User
from dbroster.model.state import ExistingUser, PasswordCheck, StoredVerifier
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm
from dbroster.run.password_cache import Cache
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.fake_server import digest
from tests.support.fake_site import Site, code, short
from tests.support.samples import OTHER_PASSWORD, PASSWORD, full_disk, roster, user

NAMES = ("ann", "bob", "cy")


class Counting(FakeHandler):
    """A fake that counts whose passwords it was asked to check."""

    asked: ClassVar[list[str]] = []

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        self.asked.extend(each.name for each in users)
        return super().check_passwords(users, existing)


class ByLogin(Counting):
    """An engine whose verifiers can't be read: passwords are checked by logging in."""

    def get_existing_users(self) -> dict[str, ExistingUser]:
        return {name: each._replace(verifiers=()) for name, each in super().get_existing_users().items()}

    def _check_password(self, user: User, existing: ExistingUser | None) -> PasswordCheck:
        return super()._check_password(user, super().get_existing_users()[user.name])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three accounts on the server, and a run behind them that has checked and remembered their passwords."""
    site = Site(tmp_path)
    site.connect = Counting.open
    for _ in range(2):
        assert code(site.run(roster(*NAMES))) == 0
    return site


def asked(site: Site, wanted: Roster, **options: Any) -> list[str]:
    """Whose passwords a run of this roster lets the engine check."""
    Counting.asked.clear()
    site.run(wanted, **options)
    return Counting.asked[:]


def cache_file(site: Site) -> Path:
    return site.directory / ".fake-default.cache"


# --- hits and misses --------------------------------------------------------------------------------------------------


def test_a_hit_asks_the_engine_for_nobody(site: Site) -> None:
    Counting.asked.clear()
    result = site.run(roster(*NAMES))
    assert (Counting.asked, result.outcomes, result.unchanged) == ([], (), 3)


def test_the_first_look_at_an_account_is_never_a_hit(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.connect = Counting.open
    assert asked(site, roster("ann")) == []  # there is no account yet
    assert asked(site, roster("ann")) == ["ann"]
    assert asked(site, roster("ann")) == []


def test_a_changed_password_misses_and_is_updated(site: Site) -> None:
    wanted = roster(*NAMES)._replace(users={**roster(*NAMES).users, "bob": user("bob", OTHER_PASSWORD)})
    Counting.asked.clear()
    assert short(site.run(wanted)) == [("done", "update_password", "bob")]
    assert Counting.asked == ["bob"]
    assert site.server.accounts["bob"].stored == digest(OTHER_PASSWORD)


def test_a_password_that_was_changed_on_the_server_misses_and_is_set_back(site: Site) -> None:
    site.server.accounts["bob"].stored = digest(OTHER_PASSWORD)
    Counting.asked.clear()
    assert short(site.run(roster(*NAMES))) == [("done", "update_password", "bob")]
    assert Counting.asked == ["bob"]


def test_an_answer_other_than_same_is_asked_again_each_time(site: Site) -> None:
    site.server.unreadable = {"bob"}
    cache_file(site).unlink()
    assert sorted(asked(site, roster(*NAMES))) == ["ann", "bob", "cy"]
    assert asked(site, roster(*NAMES)) == ["bob"]


@pytest.mark.parametrize(
    "change",
    [
        {"roster": "other"},
        {"options": MongoDBOptions(mechanisms=("SCRAM-SHA-256",))},
        {"options": MongoDBOptions(mechanisms=("SCRAM-SHA-256", "SCRAM-SHA-1"))},
        {"engine": "mysql"},
        {"server": "second"},
    ],
)
def test_what_was_checked_under_other_settings_misses(tmp_path: Path, change: dict[str, Any]) -> None:
    options = MongoDBOptions(mechanisms=("SCRAM-SHA-1",))
    before = fake_connection(FakeServer())._replace(options=options)
    changed = {"options": options, **change}
    remember(tmp_path / "cache", before, "ann")
    assert known(tmp_path / "cache", before, "ann") == {"ann"}
    assert known(tmp_path / "cache", before._replace(**changed), "ann") == set()


def existing(name: str, *verifiers: tuple[str, str]) -> ExistingUser:
    return ExistingUser(name, True, "default", verifiers=tuple(StoredVerifier(a, Secret(v)) for a, v in verifiers))


ONE = (("fake", "stored-verifier"),)


def remember(path: Path, connection: Connection, *names: str, verifiers: tuple[tuple[str, str], ...] = ONE) -> None:
    cache = Cache(path, connection)
    cache.keep(cache.entry(user(name), existing(name, *verifiers)) for name in names)


def known(path: Path, connection: Connection, *names: str, verifiers: tuple[tuple[str, str], ...] = ONE) -> set[str]:
    cache = Cache(path, connection)
    return {name for name in names if cache.knows(cache.entry(user(name), existing(name, *verifiers)))}


@pytest.mark.parametrize(
    "verifiers",
    [
        (),
        (("fake", "another"),),
        (("other", "stored-verifier"),),
        (*ONE, ("fake", "of a second host")),
        (("fake", "stored"), ("fake", "-verifier")),
        (("fakestored", "-verifier"),),
    ],
)
def test_any_other_verifiers_miss(tmp_path: Path, verifiers: tuple[tuple[str, str], ...]) -> None:
    connection = fake_connection(FakeServer())
    remember(tmp_path / "cache", connection, "ann")
    assert known(tmp_path / "cache", connection, "ann", verifiers=ONE) == {"ann"}
    assert known(tmp_path / "cache", connection, "ann", verifiers=verifiers) == set()


def test_one_users_entry_is_nobody_elses(tmp_path: Path) -> None:
    connection = fake_connection(FakeServer())
    remember(tmp_path / "cache", connection, "ann")
    assert known(tmp_path / "cache", connection, "ann", "an", "bob") == {"ann"}


def test_what_a_login_proved_is_never_kept(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.connect = ByLogin.open
    site.run(roster("ann"))
    for _ in range(2):
        assert asked(site, roster("ann")) == ["ann"]
    assert not cache_file(site).exists()


def test_what_is_checked_as_quickly_is_not_kept(tmp_path: Path) -> None:
    fast = ((Algorithm.MYSQL_NATIVE.value, "*" + "0" * 40),)
    remember(tmp_path / "cache", fake_connection(FakeServer()), "ann", verifiers=fast)
    assert not (tmp_path / "cache").exists()


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_private_and_holds_no_name_no_password_and_no_verifier(site: Site) -> None:
    data = cache_file(site).read_bytes()
    assert cache_file(site).stat().st_mode & 0o7777 == 0o600
    stored = digest(PASSWORD)
    for secret in (*NAMES, PASSWORD, stored, stored.upper(), digest(stored), "default", "fake"):
        assert secret.encode() not in data
        # four hex digits are in a random key now and then
        assert len(secret) < 3 or secret.encode().hex().encode() not in data
    assert {path.name for path in site.directory.iterdir()} == {
        "audit.jsonl",
        "audit.jsonl.head",
        ".fake-default.lock", ".fake-default.cache"
    }  # fmt: skip


def test_equal_passwords_do_not_look_equal_and_two_files_have_nothing_in_common(tmp_path: Path) -> None:
    connection = fake_connection(FakeServer())
    lines = []
    for path in (tmp_path / "one", tmp_path / "two"):
        remember(path, connection, *NAMES)
        lines += path.read_text().splitlines()[1:]
    assert len(lines) == len(set(lines)) == 8  # a key and three entries in each


def test_the_object_shows_nothing_of_its_key(site: Site) -> None:
    cache = Cache(cache_file(site), fake_connection(site.server))
    key = cache_file(site).read_text().splitlines()[1]
    assert key not in repr(cache)
    assert repr(bytes.fromhex(key)) not in repr(cache)


def test_it_goes_beside_the_audit_log(site: Site) -> None:
    elsewhere = site.directory / "elsewhere"
    elsewhere.mkdir()
    site.run(roster(*NAMES), audit_log=elsewhere / "log")
    assert (elsewhere / ".fake-default.cache").exists()


def test_only_the_present_roster_is_kept(site: Site) -> None:
    size = cache_file(site).stat().st_size
    site.run(roster("ann", "bob"), max_removals="all")
    assert cache_file(site).stat().st_size == size - 65
    both = {"ann": user("ann"), "bob": user("bob", OTHER_PASSWORD)}
    site.run(roster("ann", "bob")._replace(users=both))  # the old entry goes; the new one is not proven yet
    assert cache_file(site).stat().st_size == size - 2 * 65
    site.run(roster("ann", "bob")._replace(users=both))
    assert cache_file(site).stat().st_size == size - 65
    site.run(roster(), max_removals="all")
    assert not cache_file(site).exists()


def test_a_run_that_learns_nothing_writes_nothing(site: Site) -> None:
    before = cache_file(site).stat()
    site.run(roster(*NAMES))
    after = cache_file(site).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_dry_run_reads_it_and_does_not_write(site: Site) -> None:
    assert asked(site, roster(*NAMES), dry_run=True) == []
    cache_file(site).unlink()
    assert sorted(asked(site, roster(*NAMES), dry_run=True)) == sorted(NAMES)
    assert not cache_file(site).exists()


def test_an_encrypted_roster_has_none_and_leaves_none_behind(site: Site) -> None:
    wanted = roster(*NAMES)._replace(encrypted=True)
    assert sorted(asked(site, wanted, dry_run=True)) == sorted(NAMES)
    assert cache_file(site).exists()  # a dry run changes nothing
    for _ in range(2):
        assert sorted(asked(site, wanted)) == sorted(NAMES)
        assert not cache_file(site).exists()


# --- a file that is not what it should be -----------------------------------------------------------------------------


def wrong_mode(path: Path) -> None:
    path.chmod(0o640)


def a_symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_hard_link(path: Path) -> None:
    path.with_name("elsewhere").hardlink_to(path)


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(300))


def of_another_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def with_more(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"ff\n")


def huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)


ODD = [wrong_mode, a_symlink, a_hard_link, a_fifo, empty, garbage, of_another_version, cut_short, with_more, huge]


@pytest.mark.parametrize("spoil", ODD)
def test_an_odd_file_is_ignored_and_made_anew(site: Site, spoil: Callable[[Path], None]) -> None:
    spoil(cache_file(site))
    assert sorted(asked(site, roster(*NAMES))) == sorted(NAMES)
    assert asked(site, roster(*NAMES)) == []
    status = cache_file(site).lstat()
    assert (status.st_mode, status.st_nlink) == (0o100600, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_file_is_ignored_and_made_anew(site: Site) -> None:
    os.chown(cache_file(site), 65534, 65534)
    assert sorted(asked(site, roster(*NAMES))) == sorted(NAMES)
    assert cache_file(site).stat().st_uid == os.geteuid()


def test_a_link_leads_nobody_astray(site: Site) -> None:
    target = site.directory / "precious"
    target.write_text("precious")
    cache_file(site).unlink()
    cache_file(site).symlink_to(target)
    site.run(roster(*NAMES))
    assert target.read_text() == "precious"


def test_entries_made_with_another_key_prove_nothing(site: Site) -> None:
    head, key, *entries = cache_file(site).read_text().splitlines()
    cache_file(site).write_text("\n".join([head, "00" * 32, *entries, ""]))
    assert sorted(asked(site, roster(*NAMES))) == sorted(NAMES)
    assert key not in cache_file(site).read_text()


def test_a_cache_that_can_not_be_written_is_no_error(site: Site) -> None:
    cache_file(site).unlink()
    cache_file(site).mkdir()
    (cache_file(site) / "in the way").touch()
    for _ in range(2):
        result = site.run(roster(*NAMES))
        assert (code(result), result.problems, result.fatal) == (0, (), None)
    assert not [path for path in site.directory.iterdir() if path.name.endswith(".new")]


def test_a_full_disk_is_no_error_and_leaves_nothing_half_written(site: Site) -> None:
    cache_file(site).unlink()
    with full_disk(100):
        assert code(site.run(roster(*NAMES))) == 0
    assert not [path for path in site.directory.iterdir() if ".cache" in path.name]


# --- two at once ------------------------------------------------------------------------------------------------------

REWRITE = """
import sys
from pathlib import Path
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.run.password_cache import Cache
from tests.fake import FakeServer, fake_connection
from tests.unit.run.test_password_cache import NAMES, existing, ONE, user

path = Path(sys.argv[1])
connection = fake_connection(FakeServer(), options=MongoDBOptions())
for turn in range(200):
    names = NAMES[: 1 + turn % 3]
    cache = Cache(path, connection)
    cache.keep(cache.entry(user(name), existing(name, *ONE)) for name in names)
"""


def test_two_processes_at_once_see_whole_files_only(tmp_path: Path) -> None:
    """Locks keep runs apart; dry runs take none, and may read while a run writes."""
    path = tmp_path / ".fake-default.cache"
    connection = fake_connection(FakeServer(), options=MongoDBOptions())
    remember(path, connection, "ann")
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    with subprocess.Popen([sys.executable, "-c", REWRITE, str(path)], env=environment) as writer:
        seen = set()
        while writer.poll() is None:
            assert known(path, connection, "ann") == {"ann"}
            seen.add(path.read_bytes().count(b"\n"))
    assert writer.returncode == 0
    assert seen <= {3, 4, 5}


def test_thousands_of_users(tmp_path: Path) -> None:
    names = [f"user{number}" for number in range(2000)]
    connection = fake_connection(FakeServer(), options=MongoDBOptions())
    remember(tmp_path / "cache", connection, *names)
    assert known(tmp_path / "cache", connection, *names) == set(names)
