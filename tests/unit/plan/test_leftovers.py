"""What removals leave on a server is told in every run, and the audit log is read only if there is such a thing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbroster.audit.history import History
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser
from dbroster.plan.diff import Differ
from dbroster.plan.leftovers import Leftovers
from dbroster.report.plain.text import as_text
from tests.fake_server import Database
from tests.support.fake_site import Site, code
from tests.support.samples import roster

REMOVED = History(standing={"bob_web": "bob"}, dropped={("bob", None): datetime(2026, 11, 20, tzinfo=UTC)})


def told(
    *databases: ExistingDatabase,
    wanted: Roster = roster("ann"),
    users: tuple[str, ...] = ("ann",),
    unmarked: ExistingUser | None = None,
    log: History | None = None,
    spared: frozenset[str] = frozenset(),
) -> list[str]:
    """Without a log, nobody may ask for it."""

    def read() -> History:
        assert log is not None, "the log was read for nothing"
        return log

    accounts = {name: ExistingUser(name, managed=True, roster="default") for name in users}
    accounts |= {unmarked.name: unmarked} if unmarked else {}
    actual = Actual(accounts, {d.name: d for d in databases})
    plan = Differ(wanted, actual).plan()
    found = list(Leftovers(wanted, actual, plan, spared, "DROP DATABASE `{}`;", read))
    assert all(problem.warning for problem in found)
    return [problem.text for problem in found]


def test_what_carries_a_leaver_s_marker() -> None:
    """A10: what a removal has left is said in every run, with the statement that drops it."""
    (text,) = told(ExistingDatabase("bob_old", left_by="bob"))
    assert "the database bob_old is what was left when the account bob was removed; drop it:" in text
    assert "DROP DATABASE `bob_old`;" in text
    assert "--adopt bob" in text


@pytest.mark.parametrize("left_by", ["bob", None])
def test_an_account_that_lost_its_marker_is_told_and_its_database_not_called_left(left_by: str | None) -> None:
    """A10: a DBA took the marker from an account; when its line went, nothing was said, or "drop" its database."""
    web, log = ExistingDatabase("bob_web", left_by=left_by), None if left_by else History(standing={"bob_web": "bob"})
    (text,) = told(web, users=("ann",), unmarked=ExistingUser("bob"), log=log)
    assert "the account bob stays with its database bob_web, although it is not in users.txt" in text
    assert "DROP" not in text
    for known in (ExistingUser("bob", protected="it has CREATEROLE"), ExistingUser("bob", roster="other")):
        assert told(web, unmarked=known) == []


def test_what_the_audit_log_knows() -> None:
    """A10: a database whose proof has gone with its account is told by the audit log."""
    (text,) = told(ExistingDatabase("bob_web"), log=REMOVED)
    assert "left when the account bob was removed on 2026-11-20" in text


@pytest.mark.parametrize(
    "log", [History(), History(standing=REMOVED.standing), History(dropped=REMOVED.dropped)], ids=["", "made", "gone"]
)
def test_what_the_audit_log_does_not_know_is_somebody_s_own(log: History) -> None:
    assert told(ExistingDatabase("bob_web"), log=log) == []


def test_the_log_is_not_read_where_nothing_looks_like_it() -> None:
    assert told(
        ExistingDatabase("bob_data"),
        ExistingDatabase("web"),
        ExistingDatabase("_web"),
        ExistingDatabase("ann_web", owner="ann", granted=True),
        ExistingDatabase("sys_web", protected="a system database"),
        ExistingDatabase("cy_web"),
        ExistingDatabase("dan_web", marked_for="dan_old"),
        users=("ann", "cy"),
        wanted=roster("ann", "cy"),
    ) == []  # fmt: skip
    assert told(ExistingDatabase("bob_web"), spared=frozenset({"bob_web"})) == []


def test_who_is_back_gets_a_conflict_instead() -> None:
    """C8: it says whose data it may be, as after a DBA's RENAME USER."""
    assert told(ExistingDatabase("bob_web", left_by="bob"), wanted=roster("ann", "bob")) == []
    wanted = roster("bob")
    (conflict,) = Differ(wanted, Actual({}, {"bob_web": ExistingDatabase("bob_web", left_by="bob")})).plan().conflicts
    data = "--adopt bob, with the data of an earlier account bob, which was removed or renamed"
    assert data in conflict.text
    renamed = Actual({}, {"bob_web": ExistingDatabase("bob_web", left_by="bob", holder="robert")})
    (conflict,) = Differ(wanted, renamed).plan().conflicts
    assert f"{data}, and robert has it now" in conflict.text


def test_what_stays_when_somebody_goes() -> None:
    """A10: the run that removes an account says which database stays."""
    texts = told(
        ExistingDatabase("bob_web"), ExistingDatabase("misc", holder="bob"), ExistingDatabase("other"),
        users=("ann", "bob"),
    )  # fmt: skip
    assert [text.split(" since")[0] for text in texts] == [
        "the database bob_web stays when bob is removed,",
        "the database misc stays when bob is removed,",
    ]
    assert ["DROP" in text or "drop it" in text for text in texts] == [True, False], "who may read misc does not own it"
    assert texts[0].endswith("; if nobody needs it: DROP DATABASE `bob_web`;"), "a DBA may have made it"


def test_a_database_that_lost_its_proof_is_told_for_as_long_as_it_stands(tmp_path: Path) -> None:
    """A10: in the run that removes the user, and in every later one, until it is dropped or taken over."""
    site = Site(tmp_path)
    site.run(roster("ann", "bob"))
    site.server.databases["bob_web"] = Database()
    gone = site.run(roster("ann"))
    assert code(gone) == 0
    assert "the database bob_web stays when bob is removed" in as_text(gone)
    for dry_run in (True, False, False):
        later = site.run(roster("ann"), dry_run=dry_run)
        assert "the database bob_web is what was left when the account bob was removed on" in as_text(later)
        assert (code(later), later.outcomes) == (0, ())
    adopted = site.run(roster("ann", "bob"), adopt=frozenset({"bob"}))
    assert code(adopted) == 0
    assert "was left" not in as_text(site.run(roster("ann", "bob")))
