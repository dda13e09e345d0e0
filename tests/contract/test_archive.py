"""Archive before drop, and the way back: the same for every engine."""

import hashlib
import json
import os
import random
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dbroster.archive import MANIFEST, PARTIAL, read_archive
from dbroster.errors import ConnectError, OperationError
from dbroster.files.read import Files
from dbroster.model.connection import Connection, Removals
from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.model.state import Lock
from dbroster.roster.parse import read_roster
from dbroster.roster.source import UsersSource
from dbroster.run.restore import Restore, Wish
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync
from tests.contract.team import Team, assert_well
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

ATTEMPTS = int(os.environ.get("DBROSTER_TAMPER", "12" if os.environ.get("DBROSTER_SOAK") else "4"))
ROW = "Zeile mit ümläut, 'quotes' and \\ 語"


class ArchivingTeam(Team):
    """A team whose databases are archived before they are dropped."""

    @property
    def archives(self) -> Path:
        return self.directory / "archives"

    @property
    def connection(self) -> Connection:
        plain = self.adapter.connection(self.directory, self.world.prefix)
        return plain._replace(removals=Removals(None, 100, self.archives))

    def archiving(self, users: dict[str, str], *, dry_run: bool = False) -> Result:
        """Sync with archives."""
        self.write_users(users)
        roster = read_roster(UsersSource(Files(self.directory)), self.adapter.engine)
        options = Options(self.directory, dry_run, max_removals="all")
        return Sync(self.connection, roster, options, self.adapter.connect).run()

    def restore(self, archive: Path, database: str | None = None, *, from_another: bool = False) -> Result:
        """Restore one archive."""
        roster = read_roster(UsersSource(Files(self.directory)), self.adapter.engine)
        wish = Wish(archive, database, from_another)
        return Restore(self.connection, roster, Options(self.directory), self.adapter.connect, wish=wish).run()

    def files(self) -> list[Path]:
        """Every file and directory below the archive directory."""
        return sorted(self.archives.rglob("*"))

    def archive_of(self, database: str) -> Path:
        """The one archive of a database."""
        (found,) = [p for p in self.files() if p.name.startswith(f"{database}-") and p.suffix != MANIFEST]
        return found


@pytest.fixture
def team(world: World) -> ArchivingTeam:
    return ArchivingTeam(world)


def verbs(result: Result) -> Sequence[tuple[Verb, str | None]]:
    return [(outcome.action.verb, outcome.action.database) for outcome in result.outcomes]


def test_who_leaves_is_archived_before_the_drop_and_can_be_brought_back(team: ArchivingTeam) -> None:
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    planned = team.archiving({"ann": PASSWORD}, dry_run=True)
    assert not team.archives.exists()
    done = team.archiving({"ann": PASSWORD})
    assert_well(done)
    assert verbs(done) == verbs(planned)
    assert [verb for verb, _ in verbs(done)] == [
        Verb.LOCK_USER, *[Verb.ARCHIVE_DATABASE] * 2, *[Verb.DROP_DATABASE] * 2, Verb.DROP_USER,
    ]  # fmt: skip
    team.assert_in_step({"ann": PASSWORD})
    assert {stat.S_IMODE(path.stat().st_mode) for path in team.files() if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in team.files() if path.is_file()} == {0o600}
    assert not [path for path in team.files() if path.suffix == PARTIAL]

    team.sync({"bob": OTHER_PASSWORD, "ann": PASSWORD})
    for template in ("web", "data"):
        restored = team.restore(team.archive_of(f"{bob}_{template}"))
        assert_well(restored)
        assert verbs(restored) == [(Verb.RESTORE_DATABASE, f"{bob}_{template}")]
    assert adapter.get(bob, OTHER_PASSWORD, f"{bob}_web") == [ROW]
    team.assert_in_step({"bob": OTHER_PASSWORD, "ann": PASSWORD})


def test_the_manifest_says_what_it_is(team: ArchivingTeam) -> None:
    bob = team.world.name("bob")
    team.sync({"bob": PASSWORD})
    team.adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    assert_well(team.archiving({"ann": PASSWORD}))
    manifest = read_archive(team.archive_of(f"{bob}_web")).manifest
    assert (manifest.user, manifest.database, manifest.roster) == (bob, f"{bob}_web", team.world.prefix)
    assert manifest.engine == team.adapter.engine
    assert manifest.counts


def test_a_template_that_is_taken_out_is_archived_and_brought_back(team: ArchivingTeam) -> None:
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    team.write_templates("data")
    done = team.archiving({"bob": PASSWORD})
    assert_well(done)
    assert verbs(done) == [(Verb.ARCHIVE_DATABASE, f"{bob}_web"), (Verb.DROP_DATABASE, f"{bob}_web")]
    team.write_templates("web", "data")
    restored = team.restore(team.archive_of(f"{bob}_web"))
    assert_well(restored)
    assert {verb for verb, _ in verbs(restored)} == {
        Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES, Verb.RESTORE_DATABASE,
    }  # fmt: skip
    assert adapter.get(bob, PASSWORD, f"{bob}_web") == [ROW]
    team.assert_in_step({"bob": PASSWORD})


def test_nobody_writes_between_archive_and_drop_and_a_template_that_comes_back_is_opened(team: ArchivingTeam) -> None:
    """As after a kill between the two."""
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    with adapter.connect(team.connection) as handler:
        handler.archive_database(bob, f"{bob}_web")
    if adapter.closes_databases:
        assert not adapter.can_write(bob, PASSWORD, f"{bob}_web")
        assert not adapter.can_read(bob, PASSWORD, f"{bob}_web")
    assert adapter.can_write(bob, PASSWORD, f"{bob}_data")
    assert_well(team.archiving({"bob": PASSWORD}))
    assert adapter.get(bob, PASSWORD, f"{bob}_web") == [ROW]
    team.assert_in_step({"bob": PASSWORD})


def test_a_kill_after_the_archive_is_made_good(team: ArchivingTeam) -> None:
    bob = team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    with team.adapter.connect(team.connection) as handler:
        handler.lock_user(bob)
        handler.archive_database(bob, f"{bob}_web")
    assert_well(team.archiving({"ann": PASSWORD}))
    team.assert_in_step({"ann": PASSWORD})


def test_an_archive_that_fails_means_no_drop(team: ArchivingTeam) -> None:
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    team.archives.mkdir(mode=0o700)
    in_the_way = team.archives / f"{adapter.engine}-default"
    in_the_way.write_text("")
    done = team.archiving({"ann": PASSWORD})
    assert {outcome.status for outcome in done.outcomes if outcome.action.verb is Verb.ARCHIVE_DATABASE} == {
        Status.FAILED
    }
    assert {o.status for o in done.outcomes if o.action.verb in (Verb.DROP_DATABASE, Verb.DROP_USER)} == {
        Status.SKIPPED
    }
    assert {f"{bob}_web", f"{bob}_data"} <= adapter.databases()
    existing = team.world.existing_user(bob)
    assert existing
    assert (existing.managed, existing.lock) == (True, Lock.OURS)
    in_the_way.unlink()
    assert_well(team.archiving({"ann": PASSWORD}))
    team.assert_in_step({"ann": PASSWORD})
    assert len([path for path in team.files() if path.suffix == MANIFEST]) == 2


def stalls(team: ArchivingTeam, connection: Connection, moment: int) -> bool:
    """Archive bob's database from a server that is silent from this message on; false if it was never reached."""
    bob = team.world.name("bob")
    with team.adapter.doomed(None, stalls=True) as program, program.connect(connection) as handler:
        before = program.questions()
        program.arm(moment)
        began = time.monotonic()
        try:
            handler.archive_database(bob, f"{bob}_web")
        except (ConnectError, OperationError):
            assert time.monotonic() - began < 20, moment
            return True
        finally:
            handler.abort()
        assert program.questions() - before <= moment, "an archive was made of what a silent server had not sent"
    return False


def test_invariant_11_a_server_that_stops_answering_ends_an_archive(team: ArchivingTeam) -> None:
    """C1, A8: at any message of it, helper programs and connections of their own included; nothing is dropped."""
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW * 1000)
    with adapter.doomed(None) as program, program.connect(team.connection) as handler:
        before = program.questions()
        handler.archive_database(bob, f"{bob}_web")
        messages = program.questions() - before
    for part in (0.1, 0.5, 0.9) if adapter.death is ConnectError else ():  # the fake has no network
        moment = max(1, int(messages * part))
        while not stalls(team, team.connection._replace(timeout=1, connect_timeout=2), moment):
            moment -= 1  # this archive needed fewer messages than the one that was counted
        assert not [path for path in team.files() if path.suffix == PARTIAL]
    assert f"{bob}_web" in adapter.databases()
    assert_well(team.archiving({"ann": PASSWORD}))
    team.assert_in_step({"ann": PASSWORD})


def test_an_archive_that_was_tampered_with_is_no_defect(team: ArchivingTeam) -> None:
    """A8: bytes changed or cut, with a manifest that fits again: a cut is noticed, and nothing hangs or breaks."""
    adapter, bob = team.adapter, team.world.name("bob")
    rows = [f"{ROW} {number}" for number in range(20)]
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    for row in rows:
        adapter.put(bob, PASSWORD, f"{bob}_web", row)
    assert_well(team.archiving({"ann": PASSWORD}))
    archive = team.archive_of(f"{bob}_web")
    data, chance = archive.read_bytes(), random.Random(adapter.engine)
    for attempt in range(ATTEMPTS):
        team.sync({"bob": PASSWORD, "ann": PASSWORD})
        cut = attempt % 2 == 0
        tamper(archive, data, chance, cut=cut)
        result = team.restore(archive)
        assert "defect" not in (result.fatal or "")
        assert len(result.outcomes) == 1, result.fatal
        if cut:
            assert result.outcomes[-1].status is Status.FAILED, result.outcomes[-1]
        with adapter.connect(team.connection) as handler:
            handler.drop_database(bob, f"{bob}_web")


def tamper(archive: Path, data: bytes, chance: random.Random, *, cut: bool) -> None:
    """Write an archive with a part cut off, or a bit turned, and let its manifest say that this is right."""
    changed = bytearray(data)
    if cut:
        del changed[chance.randrange(len(data)) :]
    else:
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    archive.write_bytes(changed)
    beside = archive.with_name(archive.name + MANIFEST)
    manifest = json.loads(beside.read_bytes())
    manifest["size"], manifest["sha256"] = len(changed), hashlib.sha256(changed).hexdigest()
    beside.write_text(json.dumps(manifest))


def test_nothing_is_restored_over_data(team: ArchivingTeam) -> None:
    adapter, bob = team.adapter, team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    assert_well(team.archiving({"ann": PASSWORD}))
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", "newer")
    (outcome,) = team.restore(team.archive_of(f"{bob}_web")).outcomes
    assert outcome.status is Status.FAILED
    assert "not empty" in (outcome.error or "")
    assert adapter.get(bob, PASSWORD, f"{bob}_web") == ["newer"]


def test_an_archive_of_another_user_is_refused_unless_told(team: ArchivingTeam) -> None:
    adapter, bob, ann = team.adapter, team.world.name("bob"), team.world.name("ann")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    adapter.put(bob, PASSWORD, f"{bob}_web", ROW)
    assert_well(team.archiving({"ann": PASSWORD}))
    archive = team.archive_of(f"{bob}_web")
    assert "no database of the roster" in (team.restore(archive).fatal or "")
    assert "--from-another" in (team.restore(archive, f"{ann}_web").fatal or "")
    told = team.restore(archive, f"{ann}_web", from_another=True)
    if adapter.renames_databases:
        assert_well(told)
        assert adapter.get(ann, PASSWORD, f"{ann}_web") == [ROW]
    else:
        assert f"{bob}_web" in (told.outcomes[-1].error or "")


def test_a_damaged_archive_is_refused(team: ArchivingTeam) -> None:
    bob = team.world.name("bob")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    assert_well(team.archiving({"ann": PASSWORD}))
    archive = team.archive_of(f"{bob}_web")
    archive.write_bytes(archive.read_bytes() + b"x")
    team.sync({"bob": PASSWORD, "ann": PASSWORD})
    result = team.restore(archive)
    assert "damaged" in (result.fatal or "")
    assert result.outcomes == ()


def test_a_foreign_database_is_never_archived(team: ArchivingTeam) -> None:
    bob, eve = team.world.user("bob"), team.world.user("eve")
    database = team.world.database(bob)
    foreign = team.world.name("zoe_web")
    team.adapter.create_database_by_hand(foreign)
    with team.adapter.connect(team.connection) as handler:
        for user, name in ((eve, database), (bob, foreign)):
            with pytest.raises(OperationError, match="not proven"):
                handler.archive_database(user, name)
    assert not team.archives.exists()
    assert team.adapter.can_write(bob, PASSWORD, database)
