"""How an archive is written, whole or not at all, and read again; what the plan and the run make of it."""

import errno
import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from dbroster.archive import MANIFEST, PARTIAL, drafting, read_archive
from dbroster.config.connections import read_connections
from dbroster.errors import ConfigError, OperationError
from dbroster.files.read import Files
from dbroster.model.connection import Connection, Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser
from dbroster.plan.diff import Differ
from tests.fake import FakeHandler, FakeOptions, FakeServer, Killed, fake_connection
from tests.support.fake_site import Site, code, short
from tests.support.samples import PASSWORD, config, full_disk, roster


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    return fake_connection(FakeServer(), removals=Removals(archive_dir=tmp_path / "archives"))


def archiving(site: Site) -> dict[str, object]:
    return {"removals": Removals(None, 100, site.directory / "archives")}


def write(connection: Connection, data: bytes = b"content", database: str = "bob_web") -> Path:
    with drafting(connection, "Fake 1.0", "bob", database, "rows", "json") as draft:
        draft.file.write(data)
    return next(path for path in files(connection) if path.suffix == ".rows")


def files(connection: Connection) -> list[Path]:
    assert connection.removals.archive_dir
    return sorted(path for path in connection.removals.archive_dir.rglob("*") if path.is_file())


# --- one archive ------------------------------------------------------------------------------------------------------


def test_an_archive_is_read_as_it_was_written(connection: Connection) -> None:
    path = write(connection)
    archive = read_archive(path)
    assert (archive.path.read_bytes(), archive.manifest.size) == (b"content", 7)
    assert path.parent.name == "fake-default"
    assert [p.name for p in files(connection)] == [path.name, path.name + MANIFEST]


def test_a_draft_that_fails_leaves_nothing(connection: Connection) -> None:
    def fail() -> None:
        with drafting(connection, "Fake 1.0", "bob", "bob_web", "rows", "json") as draft:
            draft.file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files(connection) == []


def test_a_full_disk_leaves_nothing(connection: Connection) -> None:
    with full_disk(1000), pytest.raises(OperationError, match="can't be written"):
        write(connection, b"x" * 100_000)
    assert files(connection) == []


@pytest.mark.timeout(20)
def test_what_has_no_end_is_never_waited_for(connection: Connection) -> None:
    """C1, C9: a FIFO in the place of an archive, of its manifest, or of a draft that a dead run left; a device."""
    path = write(connection)
    manifest = path.with_name(path.name + MANIFEST)
    for place in (path, manifest):
        kept = place.read_bytes()
        place.unlink()
        os.mkfifo(place)
        with pytest.raises(OperationError, match="is not a regular file"):
            read_archive(path)
        place.unlink()
        place.write_bytes(kept)
    assert read_archive(path).path == path
    with pytest.raises(OperationError, match="can't be used as an archive"):
        read_archive(Path("/dev/zero"))
    draft = path.with_name(f"bob_web-20240229T120000.000000Z.rows{PARTIAL}")
    os.mkfifo(draft)
    write(connection)
    assert not draft.exists()


def test_what_a_dead_run_left_is_removed_and_what_another_writes_is_not(connection: Connection) -> None:
    first = write(connection)
    dead = first.with_name(f"bob_web-20240229T120000.000000Z.rows{PARTIAL}")
    alive = first.with_name(f"bob_web-20240229T120001.000000Z.rows{PARTIAL}")
    orphan = first.with_name(f"bob_web-20240229T120002.000000Z.rows{MANIFEST}")
    neighbour = first.with_name(f"bob_web-x-20240229T120003.000000Z.rows{PARTIAL}")
    for path in (dead, alive, orphan, neighbour):
        path.write_text("")
    with alive.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(connection, b"another")
    assert {path.exists() for path in (dead, orphan)} == {False}
    assert {path.exists() for path in (first, alive, neighbour)} == {True}
    assert len(files(connection)) == 6


def test_what_a_dead_run_left_is_removed_where_only_a_writer_may_lock(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q14, C9: NFS makes a lock of a range of bytes of it, which it refuses to a descriptor that only reads."""
    archive = write(connection)
    stale = archive.with_name("bob_web-20260101T000000.000000Z.fake" + PARTIAL)
    stale.write_bytes(b"half")
    flock = fcntl.flock

    def as_nfs_does(descriptor: int, how: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", as_nfs_does)
    write(connection, b"more content")
    assert not stale.exists()


def test_an_archive_is_kept_once_as_long_as_it_is_whole(connection: Connection) -> None:
    """B4: who makes each drop fail does not fill the disk; a damaged or another user's archive does not count."""
    first = write(connection)
    os.utime(first, (0, 0))
    assert write(connection) == first
    assert first.stat().st_mtime > 0
    first.write_bytes(b"damaged")
    assert len([write(connection), *files(connection)]) == 1 + 4
    manifest = max(files(connection))
    manifest.write_text(manifest.read_text().replace('"bob"', '"eve"'))
    write(connection)
    assert len(files(connection)) == 6
    max(files(connection)).unlink()
    write(connection)
    assert len(files(connection)) == 7


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_directory_that_others_may_enter_is_refused(connection: Connection, mode: int) -> None:
    write(connection)
    for path in (files(connection)[0].parent, files(connection)[0].parents[1]):
        path.chmod(mode)
        with pytest.raises(OperationError, match="chmod 700"):
            write(connection)
        path.chmod(0o700)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"Content"),
        lambda path: path.write_bytes(b"conten"),
        lambda path: path.unlink(),
        lambda path: path.with_name(path.name + MANIFEST).unlink(),
        lambda path: path.with_name(path.name + MANIFEST).write_text("{}"),
        lambda path: path.with_name(path.name + MANIFEST).write_text("["),
        lambda path: path.with_name(path.name + MANIFEST).write_bytes(b"\xff"),
    ],
)
def test_a_damaged_archive_is_no_archive(connection: Connection, damage: object) -> None:
    path = write(connection)
    damage(path)  # type: ignore[operator]
    with pytest.raises(OperationError):
        read_archive(path)


def test_a_manifest_of_another_version_is_refused(connection: Connection) -> None:
    path = write(connection)
    manifest = path.with_name(path.name + MANIFEST)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "dbroster_archive": 2}))
    with pytest.raises(OperationError, match="another version"):
        read_archive(path)


# --- configuration ----------------------------------------------------------------------------------------------------

SECTION = "postgresql:\n  {host: h, username: u, password_env: HOME, removals: {archive_dir: old}}\n"


def test_the_directory_is_found_from_the_config_directory(tmp_path: Path) -> None:
    config(tmp_path, connections=SECTION)
    (connection,) = read_connections(Files(tmp_path), "postgresql")
    assert connection.removals.archive_dir == tmp_path / "old"
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(mode=0o755), "chmod 700"),
        (lambda path: path.write_text(""), "not a directory"),
        (lambda path: path.symlink_to(path), "can't be used"),
    ],
)
def test_a_directory_that_can_not_serve_is_a_problem(tmp_path: Path, make: object, words: str) -> None:
    config(tmp_path, connections=SECTION)
    make(tmp_path / "old")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=words):
        read_connections(Files(tmp_path), "postgresql")


# --- plan and run -----------------------------------------------------------------------------------------------------


def test_each_drop_has_its_archive_but_what_was_never_finished_has_none() -> None:
    databases = {
        "bob_web": ExistingDatabase("bob_web", "bob", granted=True),
        "bob_new": ExistingDatabase("bob_new", "bob", usable=False),
        "ann_old": ExistingDatabase("ann_old", "ann", granted=True),
        "ann_web": ExistingDatabase("ann_web", "ann", granted=True),
    }
    users = {name: ExistingUser(name, managed=True, roster="default") for name in ("ann", "bob")}
    plan = Differ(roster("ann"), Actual(users, databases), archive=True).plan()
    named = [(action.verb, action.database) for action in plan.actions if action.database]
    assert named == [
        (Verb.ARCHIVE_DATABASE, "ann_old"), (Verb.ARCHIVE_DATABASE, "bob_web"),
        (Verb.DROP_DATABASE, "ann_old"), (Verb.DROP_DATABASE, "bob_new"), (Verb.DROP_DATABASE, "bob_web"),
    ]  # fmt: skip


def test_a_failed_archive_keeps_that_users_databases_and_no_others(site: Site) -> None:
    site.run(roster("ann", "bob", "eve"), connection=archiving(site))
    site.server.fail(Verb.ARCHIVE_DATABASE, "bob")
    result = site.run(roster("ann"), connection=archiving(site), max_removals="all")
    assert code(result) == 1
    assert ("failed", "archive_database", "bob_web") in short(result)
    assert ("skipped", "drop_database", "bob_web") in short(result)
    assert ("skipped", "drop_user", "bob") in short(result)
    assert site.server.databases.keys() == {"system", "ann_web", "bob_web"}
    assert site.server.accounts["bob"].lock.value == "ours"
    assert site.server.accounts["bob"].roster == "default"


def test_a_defect_that_one_database_brings_out_stops_no_other(site: Site) -> None:
    """B4: whatever a leaver has put into it; it ended the run, and so all removals, in every run."""
    site.run(roster("ann", "bob", "eve"), connection=archiving(site))
    site.server.databases["bob_web"].rows.append(b"what JSON can't carry")  # type: ignore[arg-type]
    result = site.run(roster("ann"), connection=archiving(site), max_removals="all")
    assert code(result) == 1
    failed = next(outcome for outcome in result.outcomes if outcome.status is Status.FAILED)
    assert (failed.action.database, failed.action.verb) == ("bob_web", Verb.ARCHIVE_DATABASE)
    assert failed.error
    assert "a defect in dbroster, please report it: TypeError" in failed.error
    assert site.server.databases.keys() == {"system", "ann_web", "bob_web"}


def test_what_can_not_be_archived_is_found_before_anything_is_changed(site: Site) -> None:
    site.server.missing_tools = ["fake_dump is not installed"]
    before = len(site.server.changes())
    for dry_run in (True, False):
        result = site.run(roster("ann"), connection=archiving(site), dry_run=dry_run)
        assert (code(result), len(site.server.changes())) == (2, before)
        assert "fake_dump is not installed" in (result.fatal or "")
    assert code(site.run(roster("ann"))) == 0


def test_killed_at_any_statement_nothing_is_lost(site: Site) -> None:
    """Either the database is there, or its archive."""
    for statement in range(1, 40):
        assert code(site.run(roster("ann", "bob"), connection=archiving(site))) == 0
        with site.server.login("bob", PASSWORD) as number:
            site.server.open_database(number, "bob_web").rows[:] = [f"row {statement}"]
        site.server.kill(statement)
        with suppress(Killed):
            site.run(roster("ann"), connection=archiving(site), max_removals="all", jobs=1)
        site.server.revive()
        archived = [path.read_text() for path in (site.directory / "archives").rglob("*.rows")]
        kept = site.server.databases.get("bob_web")
        assert (kept and kept.rows == [f"row {statement}"]) or f'["row {statement}"]' in archived
        assert code(site.run(roster("ann"), connection=archiving(site), max_removals="all")) == 0
        assert site.server.databases.keys() == {"system", "ann_web"}
        assert not list((site.directory / "archives").rglob(f"*{PARTIAL}"))


def test_a_database_that_is_not_the_users_is_never_archived(connection: Connection) -> None:
    server = FakeOptions.of(connection).server
    server.add_account("bob", PASSWORD, roster="default")
    server.add_database("bob_web")
    with FakeHandler.open(connection) as handler, pytest.raises(OperationError, match="not proven"):
        handler.perform(Action(Verb.ARCHIVE_DATABASE, "bob", "bob_web"))
    assert not (connection.removals.archive_dir or Path()).exists()
