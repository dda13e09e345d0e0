"""A12: a new name with the password of an account that goes is a possible rename, and needs a permission."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbroster.model.connection import Removals
from dbroster.model.plan import Action, Plan, Verb
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingUser, PasswordCheck
from dbroster.plan.possible_renames import MOST_PAIRS, renamed, reservations
from tests.fake import fake_connection
from tests.fake_server import FakeServer
from tests.support.fake_site import Site, code, short
from tests.support.samples import OTHER_PASSWORD, PASSWORD, roster, user


def with_users(**passwords: str) -> Roster:
    users = {name: user(name, password, line) for line, (name, password) in enumerate(passwords.items(), start=1)}
    return Roster(users, templates=("web", "tools"))


TEAM = with_users(ann=PASSWORD, bob=OTHER_PASSWORD, eve=PASSWORD + "-3", zoe=PASSWORD + "-4")
RENAMED = with_users(ann=PASSWORD, robert=OTHER_PASSWORD, eve=PASSWORD + "-3", zoe=PASSWORD + "-4")


def test_a_rename_is_refused_and_named(site: Site) -> None:
    """A12: one of four accounts is within the guard's limit, and yet his data would be gone."""
    site.run(TEAM)
    for dry_run in (True, False):
        result = site.run(RENAMED, dry_run=dry_run)
        assert code(result) == 3
        (refusal,) = result.refusals
        assert "robert seems to be bob under a new name" in refusal
        assert "bob_tools, bob_web would be dropped" in refusal
        assert "put the line of bob back, and then: dbroster rename bob robert" in refusal
        assert "dbroster restore fake ARCHIVE --database robert_tools --from-another" in refusal
        assert "--max-removals 1" in refusal
    assert {"bob_tools", "bob_web"} <= site.server.databases.keys()
    assert "robert" not in site.server.accounts


def test_a_new_name_that_can_not_be_used_is_a_rename_all_the_same(site: Site) -> None:
    """A12: otherwise bob would go, and nobody would come."""
    site.run(TEAM)
    result = site.sync(RENAMED, connection={"protected": frozenset({"robert"})}).run()
    assert "robert seems to be bob" in result.refusals[0]


def test_a_foreign_account_of_the_new_name(site: Site) -> None:
    """A12: the DBA has made it by hand."""
    site.run(TEAM)
    site.server.accounts["robert"] = replace(site.server.accounts["bob"], roster=None)
    assert "robert seems to be bob" in site.run(RENAMED).refusals[0]


def test_a_rename_that_is_permitted(site: Site) -> None:
    """A12: the permission for one run; the report says once more what goes."""
    site.run(TEAM)
    result = site.run(RENAMED, max_removals="1")
    assert (code(result), result.refusals) == (0, ())
    assert ("done", "drop_user", "bob") in short(result)
    assert any("robert seems to be bob" in problem.text for problem in result.problems)
    assert site.run(RENAMED).outcomes == ()


def test_a_new_user_with_a_password_of_the_own_is_no_rename(site: Site) -> None:
    """A12: who leaves and who comes on the same day."""
    site.run(TEAM)
    result = site.run(with_users(ann=PASSWORD, robert=PASSWORD + "-5", eve=PASSWORD + "-3", zoe=PASSWORD + "-4"))
    assert result.refusals == ()


def test_without_databases_and_with_an_archive(tmp_path: Path) -> None:
    """A12: the text fits what would be lost."""
    connection = fake_connection(FakeServer())
    lock = Action(Verb.LOCK_USER, "bob")
    (text,) = reservations({"bob": "robert"}, Plan((lock,)), connection)
    assert "bob is an account of its own, which would be removed" in text
    (text,) = reservations({"bob": "robert"}, Plan((lock,)), connection._replace(removals=Removals(grace_days=14)))
    assert "bob is locked, and dropped with its databases after 14 days of grace" in text
    connection = connection._replace(removals=Removals(archive_dir=tmp_path))
    (text,) = reservations({"bob": "robert"}, Plan((lock, Action(Verb.DROP_DATABASE, "bob", "bob_web"))), connection)
    assert "they are archived first, then dbroster restore" in text


@pytest.mark.parametrize(("gone", "new"), [(1, 500), (500, 1), (30, 30), (500, 500)])
def test_no_more_passwords_are_tried_than_it_takes(gone: int, new: int) -> None:
    """A12: each may be a login."""
    tried = 0

    def check(users: object, _: object) -> dict[str, PasswordCheck]:
        nonlocal tried
        tried += len(users)  # type: ignore[arg-type]
        return {}

    leavers = {f"gone{number}": ExistingUser(f"gone{number}", managed=True) for number in range(gone)}
    plan = Plan(tuple(Action(Verb.LOCK_USER, name) for name in leavers))
    assert renamed(plan, roster(*(f"new{number}" for number in range(new))), Actual(leavers), check) == {}
    assert 0 < tried <= MOST_PAIRS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("web", "analytics"), ("web", "analyt")), (("web", "tools"), ("webtools",)),
        (("web", "tools"), ("web", "toolsx")), (("tools", "web"), ("toolsweb",)), (("web",), ("webmobile",)),
    ],
)  # fmt: skip
def test_a_template_that_is_a_part_of_another(before: tuple[str, ...], after: tuple[str, ...], site: Site) -> None:
    """A7: a cut line, or two lines in one; also where one user has it, and one database is within the limit."""
    users = {f"u{number}": user(f"u{number}", f"{PASSWORD}-{number}") for number in range(1)}
    site.run(Roster(users, templates=before))
    result = site.run(Roster(users, templates=after))
    assert code(result) == 3
    assert any("one is a part of the other" in refusal for refusal in result.refusals)
    assert site.server.databases.keys() >= {f"u0_{template}" for template in before}


def test_a_template_of_another_name(site: Site) -> None:
    """A7: a new template beside an old one that stays, and one for another."""
    users = {"ann": user("ann", PASSWORD)}
    site.run(Roster(users, templates=("web", "tools")))
    assert code(site.run(Roster(users, templates=("web", "tools", "webtools")))) == 0
    assert code(site.run(Roster(users, templates=("web", "tools", "mobile")))) == 0
