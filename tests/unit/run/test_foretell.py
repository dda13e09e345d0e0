"""What a dry run says of actions that must fail; a run says the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dbroster.errors import OperationError
from dbroster.model.connection import Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.report.exit_codes import Exit, exit_code
from dbroster.run.reading.check import Check
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.fake_archive import FakeArchiver
from tests.support.samples import roster

STUCK = "bob_old has prepared transactions: ROLLBACK PREPARED 'x'"


class Foreseeing(FakeHandler):
    """A fake whose catalogs show that bob_old can't be dropped."""

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        return [STUCK if (a.verb, a.database) == (Verb.DROP_DATABASE, "bob_old") else None for a in actions]


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    with FakeHandler.open(fake_connection(server)) as handler:
        for user in ("bob", "eve", "ann"):
            handler.create_user(user, roster("x").users["x"].password)
            for template in ("old", "web"):
                handler.create_database(user, f"{user}_{template}")
                handler.grant_privileges(user, f"{user}_{template}")
    return server


def run(server: FakeServer, tmp_path: Path, *, dry_run: bool) -> Result:
    options = Options(tmp_path, dry_run, max_removals="all")
    return Sync(fake_connection(server), roster("ann"), options, connect=Foreseeing.open).run()


def told(outcomes: Sequence[Outcome]) -> list[tuple[str, Verb, str, str | None]]:
    """With one word for what was done and what is planned."""
    return [
        (o.status.value.replace("planned", "done"), o.action.verb, o.action.database or o.action.user, o.error)
        for o in outcomes
        if o.action.user != "ann"
    ]


def test_what_must_fail_is_not_tried_and_a_dry_run_says_the_same(server: FakeServer, tmp_path: Path) -> None:
    """C7: the user is locked, the rest of the own databases goes, the account stays, and others leave as planned."""
    dry = run(server, tmp_path, dry_run=True)
    tried = len(server.changes())
    real = run(server, tmp_path, dry_run=False)
    assert told(dry.outcomes) == told(real.outcomes)
    by_name = {(o.action.verb, o.action.database or o.action.user): o for o in real.outcomes}
    assert by_name[Verb.DROP_DATABASE, "bob_old"].status is Status.FAILED
    assert by_name[Verb.DROP_DATABASE, "bob_old"].error == STUCK
    assert by_name[Verb.DROP_DATABASE, "bob_web"].status is Status.DONE
    assert by_name[Verb.DROP_USER, "bob"].status is Status.SKIPPED
    assert by_name[Verb.DROP_USER, "eve"].status is Status.DONE
    assert not [change for change in server.changes()[tried:] if change.text == "drop_database bob_old"]
    assert exit_code(dry, detailed=False) is Exit.INCOMPLETE


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_can_not_be_dropped_is_not_archived(server: FakeServer, tmp_path: Path, dry_run: bool) -> None:
    """B4: else every run would archive all of the user's databases again, until the disk is full."""
    connection = fake_connection(server, removals=Removals(max=None, archive_dir=tmp_path / "archives"))
    options = Options(tmp_path, dry_run, max_removals="all")
    outcomes = Sync(connection, roster("ann"), options, connect=Foreseeing.open).run().outcomes
    archived = {o.action.database: o for o in outcomes if o.action.verb is Verb.ARCHIVE_DATABASE}
    reason = f"nothing of bob is archived, since bob_old can't be dropped: {STUCK}"
    assert {archived[f"bob_{template}"].error for template in ("old", "web")} == {reason}
    assert archived["eve_old"].status is (Status.PLANNED if dry_run else Status.DONE)
    assert not list(tmp_path.rglob("bob_*"))
    dropped = [o.status for o in outcomes if o.action.user == "bob" and o.action.verb is Verb.DROP_DATABASE]
    assert set(dropped) == {Status.SKIPPED}


class Refusing(FakeHandler):
    """A fake whose catalogs show that the user carl can't have carl_web."""

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        return [STUCK if (a.verb, a.database) == (Verb.CREATE_DATABASE, "carl_web") else None for a in actions]


def test_who_would_be_taken_back_is_not_created(server: FakeServer, tmp_path: Path) -> None:
    """C7: a dry run said that the account would be made; the run made it and took it back."""
    wanted, found = roster("ann", "bob", "carl", "eve"), []
    for dry_run in (True, False, True):
        options = Options(tmp_path, dry_run, max_removals="all")
        outcomes = Sync(fake_connection(server), wanted, options, connect=Refusing.open).run().outcomes
        own = [o for o in outcomes if o.action.user == "carl"]
        found.append([(o.action.verb, o.action.database, o.status, o.error) for o in own])
    assert found[0] == found[1] == found[2]
    first, *rest = found[0]
    why = f"carl is not created, since create_database carl_web must fail: {STUCK}"
    assert first == (Verb.CREATE_USER, None, Status.FAILED, why)
    assert {status for _, _, status, _ in rest} == {Status.SKIPPED}
    assert not [change for change in server.changes() if "carl" in change.text]


def test_a_connected_check_tells_what_must_fail(server: FakeServer, tmp_path: Path) -> None:
    """C7: before anybody plans anything."""
    options = Options(tmp_path, dry_run=True)
    result = Check(fake_connection(server), roster("ann"), options, connect=Foreseeing.open).of_server()
    assert [p.text for p in result.problems if not p.warning] == [f"drop_database bob_old can't be done: {STUCK}"]


class Hidden(FakeHandler):
    """A fake into whose databases nobody can look."""

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        raise OperationError("lock wait timeout")

    def archiver(self) -> FakeArchiver:
        return HiddenArchiver(self.connection, self._fake, self._owned)


class HiddenArchiver(FakeArchiver):
    """An archiver that can't say of bob_web beforehand what it will lose."""

    def losses(self, database: str) -> list[str]:
        if database == "bob_web":
            raise OperationError("lock wait timeout")
        return ["a view"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_nobody_stops_a_run_by_hiding_what_it_looks_at(server: FakeServer, tmp_path: Path, dry_run: bool) -> None:
    """B4: an owner's locks keep dbroster from looking into a database beforehand, and from nothing else.

    What is said of it is true, too, when the lock has ended these locks, and the archive is made.
    """
    archives = tmp_path / "archives"
    connection = fake_connection(server, removals=Removals(max=None, archive_dir=archives))
    options = Options(tmp_path, dry_run, max_removals="all")
    result = Sync(connection, roster("ann"), options, connect=Hidden.open).run()
    assert result.fatal is None
    assert {o.status for o in result.outcomes} == {Status.PLANNED if dry_run else Status.DONE}
    told = {problem.text for problem in result.problems if problem.warning and "an archive of" in problem.text}
    others = ("ann_old", "bob_old", "eve_old", "eve_web")
    assert told == {
        "dbroster can't look into bob_web now, to say what an archive of it will not hold: lock wait timeout. "
        "If it can't be read after its user is locked, either, it is not dropped",
        *(f"an archive of {database} does not hold: a view" for database in others),
    }
