"""The whole story on the fake server: files, plan, guard, changes, result."""

from pathlib import Path

import pytest

from dbroster.engines import ENGINES
from dbroster.engines.base import Handler
from dbroster.errors import ConfigError, ConnectError, OperationError, UnsupportedServer
from dbroster.files.lock import lock_file
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Status
from dbroster.model.state import ExistingUser
from dbroster.passwords.policy import PasswordRules
from dbroster.report.exit_codes import exit_code
from dbroster.report.json_document import as_json
from dbroster.report.plain.text import as_text
from dbroster.report.report import Report
from dbroster.roster.parse import parse_users
from dbroster.roster.source import UsersSource
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync, configured, load
from tests.fake import FakeHandler, FakeServer, Killed, fake_connection
from tests.fake_server import digest
from tests.support.fake_site import Site, actions, code, short
from tests.support.samples import OTHER_PASSWORD, PASSWORD, config, full_disk, private, roster

# --- the story ------------------------------------------------------------------------------------------------------


def test_create_change_and_remove(site: Site) -> None:
    first = site.run(roster("ann", "bob"))
    assert code(first) == 0
    assert (first.product, first.host, first.users) == ("Fake 1.0", "127.0.0.1", 2)
    assert {"connect", "read", "check passwords", "plan", "apply"} == set(first.stages)
    with site.server.login("bob", PASSWORD) as session:
        site.server.open_database(session, "bob_web")
        with pytest.raises(PermissionError):
            site.server.open_database(session, "ann_web")

    second = site.run(roster("ann", "bob", password=OTHER_PASSWORD))
    assert short(second) == [("done", "update_password", "ann"), ("done", "update_password", "bob")]

    third = site.run(roster("ann", password=OTHER_PASSWORD))
    assert [verb for _, verb, _ in short(third)] == ["lock_user", "drop_database", "drop_user"]
    assert site.server.accounts.keys() == {"admin", "ann"}


def test_invariant_5_a_second_run_sends_no_change(site: Site) -> None:
    site.run(roster("ann", "bob"))
    before, lines = len(site.server.changes()), len(site.audit)
    again = site.run(roster("ann", "bob"))
    assert (again.outcomes, again.unchanged, code(again)) == ((), 2, 0)
    assert len(site.server.changes()) == before
    assert len(site.audit) == lines


def test_invariant_6_a_dry_run_prints_what_the_run_then_does(site: Site) -> None:
    site.run(roster("ann", "bob", "cy", templates=("web", "old")))
    wanted = roster("ann", "dan", password=OTHER_PASSWORD, templates=("web", "new"))
    before = len(site.server.changes())
    dry = site.run(wanted, dry_run=True, max_removals="2")
    assert len(site.server.changes()) == before
    assert {outcome.status for outcome in dry.outcomes} == {Status.PLANNED}
    wet = site.run(wanted, max_removals="2")
    assert actions(dry.outcomes) == actions(wet.outcomes)
    assert {outcome.status for outcome in wet.outcomes} == {Status.DONE}


def test_a_dry_run_writes_nothing_and_needs_no_lock(site: Site) -> None:
    with lock_file(site.directory / ".fake-default.lock"):
        (site.directory / ".fake-default.lock").unlink()
        site.server.lock_holder = site.server.connect("admin")
        assert code(site.run(roster("ann"), dry_run=True)) == 0
    assert list(site.directory.iterdir()) == []


def test_invariant_7_reading_takes_a_fixed_number_of_queries(site: Site) -> None:
    counts = []
    for number in (1, 40):
        wanted = roster(*(f"u{n}" for n in range(number)))
        site.run(wanted, max_removals="all")
        before = len(site.server.log)
        site.run(wanted)
        counts.append(len(site.server.log) - before)
    assert counts[0] == counts[1]


def test_each_change_is_audited_before_and_after(site: Site) -> None:
    site.run(roster("ann"))
    said = [(line["status"], line["action"], line["database"] or line["user"]) for line in site.audit]
    changes = [("create_user", "ann"), ("create_database", "ann_web"), ("grant_privileges", "ann_web")]
    of_changes = [(status, *what) for what in changes for status in ("started", "done")]
    assert said == [("started", "run", None), *of_changes, ("done", "run", None)]


def test_the_audit_log_may_stand_elsewhere(site: Site) -> None:
    elsewhere = site.directory / "elsewhere"
    elsewhere.mkdir()
    site.run(roster("ann"), audit_log=elsewhere / "log")
    assert (elsewhere / "log").stat().st_mode & 0o777 == 0o600
    assert site.audit == []


def test_sessions_are_closed_and_the_lock_is_free(site: Site) -> None:
    site.run(roster("ann", "bob"), jobs=4)
    assert (site.server.sessions, site.server.lock_holder) == ({}, None)


# --- what is in the way ---------------------------------------------------------------------------------------------


def test_invariant_1_foreign_objects_stop_only_their_own_user(site: Site) -> None:
    site.server.add_account("ann", "by hand")
    site.server.add_database("bob_web")
    site.server.add_account("cy", roster="other")
    result = site.run(roster("ann", "bob", "cy", "dan"))
    assert [conflict.user for conflict in result.conflicts] == ["ann", "bob", "cy"]
    assert {o.action.user for o in result.outcomes} == {"dan"}
    assert code(result) == 1
    assert site.server.accounts["ann"].stored == digest("by hand")


def test_two_rosters_on_one_server_never_touch_each_other(site: Site) -> None:
    site.run(roster("ann"), connection={"roster": "a"})
    site.run(roster("bob"), connection={"roster": "b"})
    assert {"ann", "bob"} <= site.server.accounts.keys()
    assert site.run(roster("ann"), connection={"roster": "a"}).outcomes == ()


def test_adopting(site: Site) -> None:
    site.server.add_account("ann", "by hand")
    site.server.add_database("ann_web")
    site.server.databases["ann_web"].rows.append("precious")
    result = site.run(roster("ann"), adopt=frozenset({"ann"}))
    assert short(result) == [("done", "adopt", "ann"), ("done", "adopt", "ann_web")]
    with site.server.login("ann", PASSWORD) as session:
        assert site.server.open_database(session, "ann_web").rows == ["precious"]
    assert site.run(roster("ann")).outcomes == ()


def test_a_mentioned_user_is_left_exactly_as_it_is(site: Site) -> None:
    site.run(roster("ann", "bob", templates=("old",)))
    before = vars(site.server.accounts["bob"]).copy()
    lines = parse_users(f"ann:{PASSWORD}\nbob: spaced\n".encode())
    result = site.run(lines._replace(templates=("web",)))
    assert vars(site.server.accounts["bob"]) == before
    assert "bob_old" in site.server.databases
    assert [(p.line, p.user) for p in result.problems] == [(2, "bob")]
    assert {o.action.user for o in result.outcomes} == {"ann"}


def test_invariant_8_a_broken_line_removes_nothing_and_says_so(site: Site) -> None:
    site.run(roster("ann", "bob", templates=()))
    result = site.run(parse_users(f"ann:{PASSWORD}\nbob\n".encode()))
    assert result.outcomes == ()
    assert code(result) == 1
    assert "nothing is removed in this run: users.txt line 2" in as_text(result)
    assert "bob" in site.server.accounts


def test_a_password_that_can_not_be_checked(site: Site) -> None:
    site.run(roster("ann"))
    site.server.unreadable = {"ann"}
    result = site.run(roster("ann", password=OTHER_PASSWORD))
    assert result.outcomes == ()
    assert code(result) == 1


def test_a_server_s_own_rules_and_notes(site: Site) -> None:
    site.server.rules = [PasswordRules(min_length=99, classes=0, source="the server's rule")]
    site.server.notes = [Problem("statements are logged", warning=True)]
    result = site.run(roster("ann"))
    assert [problem.warning for problem in result.problems] == [False, True]
    assert "the server's rule" in result.problems[0].text
    assert result.outcomes == ()


def test_adopting_what_is_not_there_is_told(site: Site) -> None:
    result = site.run(roster("ann"), adopt=frozenset({"ann", "typo"}))
    assert [(problem.user, problem.warning) for problem in result.problems] == [("ann", True), ("typo", True)]
    assert {o.action.verb for o in result.outcomes} == {
        Verb.CREATE_USER, Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES,
    }  # fmt: skip


# --- the guard ------------------------------------------------------------------------------------------------------


def test_the_guard_refuses_before_anything_is_done(site: Site) -> None:
    names = [f"u{number}" for number in range(10)]
    site.run(roster(*names))
    before = len(site.server.changes())
    for wanted, allowed in ((roster(*names[:6], "new"), None), (roster(), None), (roster(*names[:9]), "0")):
        for dry_run in (True, False):
            result = site.run(wanted, max_removals=allowed, dry_run=dry_run)
            assert (code(result), {outcome.status for outcome in result.outcomes}) == (3, {Status.REFUSED})
    assert len(site.server.changes()) == before
    assert code(site.run(roster(*names[:9]))) == 0
    assert code(site.run(roster(), max_removals="all")) == 0
    assert site.server.accounts.keys() == {"admin"}


def test_users_who_are_only_mentioned_are_no_removal(site: Site) -> None:
    site.run(roster("ann", "bob"))
    result = site.run(roster("ann", "bob", password="short"), connection={"rules": PasswordRules()})
    assert code(result) == 3  # no usable user is left
    assert len(result.problems) >= 2
    assert {"ann", "bob"} <= site.server.accounts.keys()


# --- what keeps a run from starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ConnectError("no route"), UnsupportedServer("a replica")])
def test_a_server_that_can_not_be_used(site: Site, error: Exception) -> None:
    def connect(_: Connection) -> Handler:
        raise error

    site.connect = connect
    result = site.run(roster("ann"))
    assert (code(result), result.fatal) == (2, str(error))
    assert site.check(roster("ann")).of_server().fatal == str(error)


def test_privileges_that_are_missing(site: Site) -> None:
    site.server.lacking = ["GRANT CREATE USER ON *.* TO admin"]
    result = site.run(roster("ann"))
    assert code(result) == 2
    assert "GRANT CREATE USER ON *.* TO admin" in (result.fatal or "")
    assert site.server.changes() == []


def test_a_lock_held_on_the_server(site: Site) -> None:
    holder = site.server.connect("admin")
    site.server.lock_holder = holder
    result = site.run(roster("ann"))
    assert (code(result), result.fatal) == (2, f"session {holder} of the fake server is synchronising")


def test_a_lock_held_on_this_machine(site: Site) -> None:
    with lock_file(site.directory / ".fake-default.lock"):
        result = site.run(roster("ann"))
    assert code(result) == 2
    assert "another sync is at work" in (result.fatal or "")
    assert site.server.log == []


class Unreadable(FakeHandler):
    """A server that refuses to list its accounts."""

    def get_existing_users(self) -> dict[str, ExistingUser]:
        raise OperationError("permission denied for table pg_authid", "42501")


def test_a_state_that_can_not_be_read(site: Site) -> None:
    site.connect = Unreadable.open
    result = site.run(roster("ann"))
    assert (code(result), result.fatal) == (2, "permission denied for table pg_authid")


@pytest.mark.parametrize("statement", range(1, 5))
def test_a_connection_that_breaks_before_the_first_change(site: Site, statement: int) -> None:
    site.server.drop_connection(statement)
    result = site.run(roster("ann"))
    assert code(result) == 2
    assert "broke" in (result.fatal or "")
    assert site.server.changes() == []


def test_an_audit_log_that_can_not_be_opened(site: Site) -> None:
    (site.directory / "audit.jsonl").mkdir()
    result = site.run(roster("ann"))
    assert code(result) == 2
    assert "audit.jsonl" in (result.fatal or "")
    assert site.server.changes() == []


# --- what ends a run on its way -------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_ends_the_run_and_hides_nothing(site: Site) -> None:
    names = [f"u{number}" for number in range(8)]
    with full_disk(4000):  # room for some lines
        result = site.run(roster(*names), jobs=2)
    assert code(result) == 2
    assert "audit.jsonl can't be written" in (result.fatal or "")
    done = [outcome for outcome in result.outcomes if outcome.status is Status.DONE]
    assert 0 < len(done) < len(result.outcomes) == 24
    created = {o.action.user for o in done if o.action.verb is Verb.CREATE_USER}
    assert created == site.server.accounts.keys() - {"admin"}
    assert {o.status for o in result.outcomes} == {Status.DONE, Status.NOT_ATTEMPTED}
    assert code(site.run(roster(*names))) == 0
    assert site.run(roster(*names)).outcomes == ()


def test_a_wish_to_stop(site: Site) -> None:
    site.stop.set()
    result = site.run(roster("ann"))
    assert {outcome.status for outcome in result.outcomes} == {Status.NOT_ATTEMPTED}
    assert code(result) == 1
    assert site.server.changes() == []
    assert [(line["action"], line["status"]) for line in site.audit] == [("run", "started"), ("run", "failed")]


@pytest.mark.parametrize("answer_lost", [True, False])
def test_invariant_3_killed_at_any_statement_the_next_run_converges(site: Site, *, answer_lost: bool) -> None:
    before, after = roster("ann", "bob", templates=("web", "old")), roster("bob", "cy", password=OTHER_PASSWORD)
    for statement in range(1, 40):
        site.server = FakeServer()
        site.run(before)
        site.server.kill(statement, answer_lost=answer_lost)
        try:
            site.run(after, jobs=1, max_removals="1")
        except Killed:
            site.server.revive()
            assert code(site.run(after, max_removals="1")) == 0
        else:
            break
        assert site.run(after).outcomes == ()
        assert site.server.accounts.keys() == {"admin", "bob", "cy"}
        assert site.server.databases.keys() == {"system", "bob_web", "cy_web"}
    assert 8 < statement < 39


# --- secrets --------------------------------------------------------------------------------------------------------


def test_invariant_2_no_password_in_anything_that_is_written(site: Site) -> None:
    site.server.fail(Verb.GRANT_PRIVILEGES, "bob", text="permission denied")
    site.server.fail(Verb.CREATE_USER, "cy")
    result = site.run(roster("ann", "bob", "cy", password="S3cr3t-of-all-users"))
    weak = site.run(roster("ann", password="S3cr3t"), connection={"rules": PasswordRules()})
    told = [
        as_text(each, verbose=True) + as_json(Report([each], [], exit_code(each, detailed=False))) + repr(each)
        for each in (result, weak)
    ]
    files = [path.read_text() for path in site.directory.iterdir()]
    assert len(files) == 3  # the audit log, its head and the lock
    assert all("S3cr3t" not in text for text in told + files)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in site.directory.iterdir())


# --- checks ---------------------------------------------------------------------------------------------------------


def test_check_judges_files_alone_or_with_the_server(site: Site) -> None:
    wanted = roster("ann", "x" * 33)
    alone = site.check(wanted).of_files()
    assert (alone.problems, alone.users, site.server.log) == ((), 2, [])
    connected = site.check(wanted).of_server()
    assert [problem.user for problem in connected.problems] == ["x" * 33]
    assert (connected.product, connected.users) == ("Fake 1.0", 1)
    assert site.server.changes() == []
    assert list(site.directory.iterdir()) == []


def test_a_warning_about_the_way_to_the_server(site: Site) -> None:
    result = site.check(roster("ann"), connection={"host": "db.example.com"}).of_files()
    assert [(problem.file, problem.warning) for problem in result.problems] == [("connections.yaml", True)]
    assert code(result) == 0


# --- files ----------------------------------------------------------------------------------------------------------


def test_load_tells_every_problem_of_every_file(tmp_path: Path) -> None:
    config(tmp_path, "ann:pw\nbroken\n", templates="we b\n", connections="postgresql:\n  prot: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(UsersSource(Files(tmp_path)), "postgresql")
    places = [(problem.file, problem.line) for problem in caught.value.problems]
    assert places[-2:] == [("users.txt", 2), ("postgresql_databases.txt", 1)]
    assert ("connections.yaml", 2) in places


def test_load_lets_broken_lines_pass(tmp_path: Path) -> None:
    (connection,), wanted = load(UsersSource(Files(config(tmp_path, "ann:pw\nbroken\n"))), "postgresql")
    assert connection.engine == "postgresql"
    assert (list(wanted.users), len(wanted.problems)) == (["ann"], 1)


def test_engines_that_are_configured(tmp_path: Path) -> None:
    assert configured(Files(tmp_path)) == [*ENGINES]  # each will say what is missing
    private(tmp_path / "connections.yaml", "postgresql: 5\nmysql:\n")
    assert configured(Files(tmp_path)) == ["mysql", "postgresql"]


def test_a_full_server_is_worked_on_with_the_connection_that_is_there(site: Site) -> None:
    """B1: who holds all other connections can't stop a run."""
    opened: list[Handler] = []

    def connect(connection: Connection) -> Handler:
        if opened:
            raise ConnectError("too many connections")
        opened.append(FakeHandler.open(connection))
        return opened[0]

    options = Options(site.directory)
    result = Sync(fake_connection(site.server), roster("ann"), options, connect=connect).run()
    assert {outcome.status for outcome in result.outcomes} == {Status.DONE}
    assert "ann_web" in site.server.databases
