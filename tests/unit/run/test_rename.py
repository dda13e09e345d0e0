"""A user gets another name on a server: whatever breaks off, and whenever, no row is lost, and no sync drops one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.renamer import Renamer
from dbroster.model.connection import Removals
from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.model.roster import Roster, User
from dbroster.model.state import ExistingUser, Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from dbroster.roster.parse import parse_users
from dbroster.run.rename import Rename, Wish
from dbroster.run.server_run import Options
from tests.fake import FakeHandler
from tests.fake_server import FakeServer, Killed, digest
from tests.support.fake_site import Site, short
from tests.support.samples import PASSWORD, roster

TEMPLATES = ("tools", "web")
TEAM = roster("ann", "bob", templates=TEMPLATES)
RENAMED = roster("ann", "robert", templates=TEMPLATES)
UNDER_WAY = parse_users(f"ann:{PASSWORD}\nbob>robert:{PASSWORD}\n".encode())._replace(templates=TEMPLATES)


class AtOnce(Renamer):
    """As PostgreSQL: everything at once."""

    renames = True
    _handler: "InPlace"

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        yield from ()

    def rename(self, user: str, new: str, password: Secret) -> None:
        handler = self._handler
        with handler._change(Verb.LOCK_USER, user):
            handler._ours(user).lock = Lock.OURS
        with handler._change(Verb.RENAME_USER, user):
            accounts, databases = handler._fake.accounts, handler._fake.databases
            accounts[new] = accounts.pop(user)
            accounts[new].named, accounts[new].lock = new, Lock.OPEN
            for name in [name for name, database in databases.items() if database.mark == user]:
                database = databases[new + name.removeprefix(user)] = databases.pop(name)
                database.mark, database.named, database.users = new, new + name.removeprefix(user), {new}


class ByTables(Renamer):
    """As ClickHouse: one table after the other."""

    copies = False
    _handler: "Moving"

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        yield from ()

    def move(self, user: str, database: str, receiver: User, name: str) -> None:
        handler = self._handler
        source, target = handler._owned(user, database), handler._owned(receiver.name, name)
        while source.rows:
            with handler._change(Verb.MOVE_DATABASE, user, database):
                target.rows.append(source.rows.pop(0))


class InPlace(FakeHandler):
    """A server that renames."""

    def renamer(self) -> Renamer:
        return AtOnce(self)


class Moving(FakeHandler):
    """A server that moves."""

    def renamer(self) -> Renamer:
        return ByTables(self)


WAYS = (FakeHandler, InPlace, Moving)


class Scene(Site):
    """Ann and bob with rows in their databases."""

    def __init__(self, directory: Path, way: type[FakeHandler] = FakeHandler) -> None:
        super().__init__(directory)
        directory.mkdir(exist_ok=True)
        self.settings: dict[str, object] = {"removals": Removals(archive_dir=directory / "archives")}
        self.connect = way.open
        self.sync_to(TEAM)
        for name, database in self.server.databases.items():
            database.rows = [f"{name.partition('_')[2]} {number}" for number in range(2)] if "_" in name else []

    def sync_to(self, wanted: Roster, **options: str) -> Result:
        return self.sync(wanted, connection=self.settings, **options).run()

    def rename(self, new: str = "robert", *, begun: bool = True, dry_run: bool = False) -> Result:
        connection, wish = self._connection(self.settings), Wish("bob", new, Secret(PASSWORD), begun)
        options = Options(self.directory, dry_run)
        return Rename(connection, UNDER_WAY if begun else TEAM, options, self.connect, stop=self.stop, wish=wish).run()

    def rows(self) -> dict[str, list[str]]:
        return {name: database.rows for name, database in self.server.databases.items() if database.rows}

    def has_everything(self) -> bool:
        """Whether bob is robert, with all rows, and a sync finds nothing to do."""
        expected = {f"{name}_{t}": [f"{t} 0", f"{t} 1"] for name in ("ann", "robert") for t in TEMPLATES}
        robert = self.server.accounts.get("robert")
        at_home = robert is not None and (robert.stored, robert.lock) == (digest(PASSWORD), Lock.OPEN)
        left = [*self.server.accounts, *self.server.databases]
        gone = not any(name.partition("_")[0] == "bob" for name in left)
        return at_home and gone and self.rows() == expected and self.sync_to(RENAMED).outcomes == ()


@pytest.mark.parametrize("way", WAYS)
def test_the_dry_run_says_what_the_run_does(way: type[FakeHandler], tmp_path: Path) -> None:
    """A12: a rename keeps everything; the old name is gone."""
    scene = Scene(tmp_path, way)
    before = len(scene.server.changes())
    planned = scene.rename(begun=False, dry_run=True)
    assert planned.fatal is None
    assert len(scene.server.changes()) == before
    done = scene.rename()
    assert [o.action[:3] for o in done.outcomes] == [o.action[:3] for o in planned.outcomes]
    assert done.plan == planned.plan
    assert {o.status for o in done.outcomes} == {Status.DONE}
    assert scene.has_everything()
    told = {(line["action"], line["user"]) for line in scene.audit if line["status"] == "done"}
    assert {(o.action.verb.value, o.action.user) for o in done.outcomes} <= told
    assert scene.rename().outcomes == ()  # once more, as after a kill before the roster was written


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer_lost", [False, True])
def test_killed_after_any_statement_and_run_again(
    way: type[FakeHandler],
    answer_lost: bool,
    tmp_path: Path,
) -> None:
    """A12: a sync in between changes nothing; the second run ends what the first one began."""
    for moment in count(1):
        scene = Scene(tmp_path / str(moment), way)
        scene.server.kill(moment, answer_lost=answer_lost)
        with suppress(Killed):
            scene.rename()
        if not scene.server.dead:
            break
        scene.server.revive()
        kept = sorted(row for rows in scene.rows().values() for row in rows)
        for template in TEMPLATES:
            assert {f"{template} 0", f"{template} 1"} <= set(kept)
        changes = len(scene.server.changes())
        assert scene.sync_to(UNDER_WAY).outcomes == ()
        assert len(scene.server.changes()) == changes
        again = scene.rename()
        assert again.fatal is None
        assert {o.status for o in again.outcomes} <= {Status.DONE}, short(again)
        assert scene.has_everything(), moment
    assert moment > 3


@pytest.mark.parametrize("way", WAYS)
def test_given_up_in_the_middle(way: type[FakeHandler], tmp_path: Path) -> None:
    """A12: who puts the old line back before anything was dropped, and says so, has everything as it was."""
    dead = True
    for moment in count(1):
        if not dead:
            break
        scene = Scene(tmp_path / str(moment), way)
        before = {name: list(rows) for name, rows in scene.rows().items()}
        scene.server.fail(Verb.DROP_DATABASE, "bob")
        scene.server.fail(Verb.RENAME_USER, "bob")
        scene.server.fail(Verb.MOVE_DATABASE, "bob")
        scene.server.kill(moment)
        with suppress(Killed):
            scene.rename()
        dead = scene.server.dead
        scene.server.revive()
        scene.sync_to(TEAM, max_removals="1")
        assert scene.rows() == before
        assert "robert" not in scene.server.accounts
        assert scene.sync_to(TEAM).outcomes == ()


def test_a_line_that_was_put_back_too_late(tmp_path: Path) -> None:
    """A12: whoever takes the mark out of the roster in the middle loses nothing without a permission."""
    scene = Scene(tmp_path, Moving)
    scene.server.fail(Verb.DROP_DATABASE, "bob")
    scene.rename()
    before = scene.rows()
    result = scene.sync_to(TEAM)
    assert any("robert: databases got another name, or not yet, by a rename" in text for text in result.refusals)
    assert scene.rows() == before
    scene.server.revive()
    scene.rename()
    assert scene.has_everything()
    scene.sync_to(TEAM.without({"bob"}, ()))  # known by now: he may leave like anybody else
    assert "robert" not in scene.server.accounts


@pytest.mark.parametrize("way", [FakeHandler, Moving])
def test_a_line_that_has_the_new_name_too_early(way: type[FakeHandler], tmp_path: Path) -> None:
    """G4: what is still in databases of the old name is not dropped with them, also when a second run has failed."""
    dead = True
    for moment in count(1):
        if not dead:
            break
        scene = Scene(tmp_path / str(moment), way)
        scene.server.kill(moment)
        with suppress(Killed):
            scene.rename()
        dead = scene.server.dead
        scene.server.revive()
        if not any(line["action"] == Verb.MOVE_DATABASE for line in scene.audit) or "bob" not in scene.server.accounts:
            continue
        for _ in range(2):
            before = scene.rows()
            result = scene.sync_to(RENAMED)
            assert any("databases got another name, or not yet" in text for text in result.refusals), moment
            assert scene.rows() == before
            scene.server.fail(Verb.CREATE_DATABASE, "robert")
            scene.rename()
            if "bob" not in scene.server.accounts:
                break
            scene.server.revive()


def _account(server: FakeServer) -> None:
    server.add_account("robert")


def _other_roster(server: FakeServer) -> None:
    server.add_account("robert", roster="other")


def _database(server: FakeServer) -> None:
    server.add_database("robert_web")


def _out_of_step(server: FakeServer) -> None:
    server.databases["bob_web"].users = set()


def _locked(server: FakeServer) -> None:
    server.accounts["bob"].lock = Lock.FOREIGN


def _foreign(server: FakeServer) -> None:
    server.accounts["bob"].roster = None


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_account, "an account robert exists already"),
        (_other_roster, "an account robert exists already"),
        (_database, "a database robert_web exists already"),
        (_out_of_step, "bob is not in step; run a sync first: grant_privileges bob_web"),
        (_locked, "the account bob is locked, but not by dbroster"),
        (_foreign, "an account bob exists that dbroster did not create"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_refused_beforehand(
    prepare: Callable[[FakeServer], None], reason: str, way: type[FakeHandler], tmp_path: Path
) -> None:
    """A12: what is in the way is said before anything is changed."""
    scene = Scene(tmp_path, way)
    prepare(scene.server)
    changes = len(scene.server.changes())
    for dry_run in (True, False):
        assert reason in (scene.rename(begun=False, dry_run=dry_run).fatal or "")
    assert len(scene.server.changes()) == changes


def test_a_name_that_the_server_can_not_carry(tmp_path: Path) -> None:
    """A12: also of a database: template and all."""
    scene = Scene(tmp_path)
    assert "the fake server takes 32" in (scene.rename("r" * 33, begun=False).fatal or "")
    scene.settings["protected"] = frozenset({"robert_web"})
    assert "the database robert_web is listed under `protected`" in (scene.rename(begun=False).fatal or "")


def test_a_copy_needs_an_archive(tmp_path: Path) -> None:
    """A12: where databases can't be renamed."""
    scene = Scene(tmp_path)
    scene.settings["removals"] = Removals()
    assert "set removals: {archive_dir: DIR}" in (scene.rename(begun=False).fatal or "")


def test_who_has_no_account_here_is_renamed_elsewhere(tmp_path: Path) -> None:
    """A12: nothing to do on this server."""
    scene = Scene(tmp_path)
    scene.sync_to(roster("ann", templates=TEMPLATES))
    result = scene.rename(begun=False)
    assert (result.fatal, result.outcomes) == (None, ())


def test_a_name_that_was_taken_meanwhile(tmp_path: Path) -> None:
    """A12: somebody makes the account between the look and the change."""
    for way in WAYS:
        scene = Scene(tmp_path / way.__name__, way)
        scene.server.add_account("robert")
        assert "an account robert exists already" in (scene.rename().fatal or "")
        assert "bob_web" in scene.server.databases


def test_an_open_session_ends(tmp_path: Path) -> None:
    """A12: nobody writes into what is being copied."""
    scene = Scene(tmp_path)
    with scene.server.login("bob", PASSWORD) as session:
        scene.rename()
        assert session not in scene.server.sessions
    assert scene.has_everything()


def test_nobody_gets_in_before_everything_is_there(tmp_path: Path) -> None:
    """A12: what somebody wrote into a copy would be lost when it is made again."""
    scene = Scene(tmp_path)
    scene.server.fail(Verb.ARCHIVE_DATABASE, "bob")
    scene.rename()
    assert "robert" in scene.server.accounts
    with pytest.raises(PermissionError), scene.server.login("robert", PASSWORD):
        pass


def test_a_failure_keeps_the_old_databases(tmp_path: Path) -> None:
    """A12: the rest is skipped, and the next run ends it."""
    scene = Scene(tmp_path)
    scene.server.fail(Verb.ARCHIVE_DATABASE, "bob", times=1)
    result = scene.rename()
    assert Status.SKIPPED in {o.status for o in result.outcomes}
    assert {"bob_tools", "bob_web"} <= scene.server.databases.keys()
    assert not {o.status for o in scene.rename().outcomes} - {Status.DONE}
    assert scene.has_everything()


class WrittenInto(Renamer):
    """Somebody whom nobody can lock out writes into what has just been copied."""

    _handler: "Busy"

    def move(self, user: str, database: str, receiver: User, name: str) -> None:
        super().move(user, database, receiver, name)
        self._handler._fake.databases[database].rows.append("late")


class Busy(FakeHandler):
    """A server with an application of a DBA's."""

    def renamer(self) -> Renamer:
        return WrittenInto(self)


def test_what_is_written_behind_a_copy_is_not_dropped(tmp_path: Path) -> None:
    """G2: the run fails and names the database; when nobody writes any more, the next one ends it with all rows."""
    scene = Scene(tmp_path, Busy)
    result = scene.rename()
    assert any("bob_tools has changed since it was copied" in (outcome.error or "") for outcome in result.outcomes)
    assert scene.rows()["bob_web"] == ["web 0", "web 1", "late"]
    assert scene.sync_to(UNDER_WAY).outcomes == ()
    scene.connect = FakeHandler.open
    assert {o.status for o in scene.rename().outcomes} == {Status.DONE}
    assert {name: rows for name, rows in scene.rows().items() if name.startswith("robert")} == {
        f"robert_{template}": [f"{template} 0", f"{template} 1", "late"] for template in TEMPLATES
    }


class Blind(FakeHandler):
    """A server where nobody can tell the password of an account that is locked."""

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        found = super().check_passwords(users, existing)
        locked = {name for name in found if existing[name].lock is Lock.OURS}
        return found | dict.fromkeys(locked, PasswordCheck.UNKNOWN)


def test_who_is_locked_until_the_copy_is_made_again_has_no_whole_one(tmp_path: Path) -> None:
    """G3: killed behind that lock, when the password can't be checked."""
    scene = Scene(tmp_path, Blind)
    scene.server.fail(Verb.ARCHIVE_DATABASE, "bob", times=1)
    scene.rename()
    scene.server.fail(Verb.UPDATE_PASSWORD, "robert", times=1)
    scene.rename()
    assert scene.server.accounts["robert"].lock is Lock.OURS
    assert {o.status for o in scene.rename().outcomes} == {Status.DONE}
    assert scene.has_everything()


def test_what_is_emptied_goes_before_the_next_one_is(tmp_path: Path) -> None:
    """G2: where tables move, somebody could make another one in a database that waits for its drop."""
    scene = Scene(tmp_path, Moving)
    steps = [(o.action.verb, o.action.database) for o in scene.rename().outcomes]
    assert steps.index((Verb.DROP_DATABASE, "bob_tools")) < steps.index((Verb.MOVE_DATABASE, "robert_web"))
    assert scene.has_everything()


def test_a_database_that_comes_back_takes_no_copy_away(tmp_path: Path) -> None:
    """G3: as at MongoDB, by an INSERT of somebody else; what is in it then is archived."""
    scene = Scene(tmp_path)
    scene.server.fail(Verb.DROP_USER, "bob")
    scene.rename()
    bob_web = replace(scene.server.databases["robert_web"], mark="bob", named="bob_web", users=set(), rows=["stray"])
    scene.server.databases["bob_web"] = bob_web
    scene.server.revive()
    again = scene.rename()
    assert {o.status for o in again.outcomes} == {Status.DONE}
    assert scene.has_everything()
    assert any("stray" in path.read_text() for path in (tmp_path / "archives").rglob("bob_web-*.rows"))


def test_asked_to_stop_it_begins_nothing_more(tmp_path: Path) -> None:
    """A12: and the next run ends it."""
    scene = Scene(tmp_path)
    scene.stop.set()
    assert {o.status for o in scene.rename().outcomes} == {Status.NOT_ATTEMPTED}
    scene.stop.clear()
    scene.rename()
    assert scene.has_everything()


@pytest.mark.parametrize("way", WAYS)
def test_who_has_come_back_is_not_the_truth(way: type[FakeHandler], tmp_path: Path) -> None:
    """A12: another machine's roster has made the old user anew, whose empty databases must replace nothing."""
    scene = Scene(tmp_path, way)
    scene.rename()
    before = scene.rows()
    scene.sync_to(roster("ann", "bob", "robert", templates=TEMPLATES))
    assert "bob_web" in scene.server.databases
    assert scene.rename().fatal
    assert scene.rows() == before


def test_a_template_that_is_not_listed_any_more(tmp_path: Path) -> None:
    """A12: its database would stay behind with an account that goes."""
    scene = Scene(tmp_path)
    connection, wish = scene._connection(scene.settings), Wish("bob", "robert", Secret(PASSWORD), begun=True)
    wanted = UNDER_WAY._replace(templates=("web",))
    run = Rename(connection, wanted, Options(scene.directory), scene.connect, wish=wish)
    assert "no template names bob_tools any more" in (run.run().fatal or "")
    assert _open(scene.connect, scene)


def _open(connect: Callable[..., Handler], scene: Scene) -> bool:
    with connect(scene._connection(scene.settings)) as handler:
        return handler.get_existing_users()["bob"].lock is Lock.OPEN
