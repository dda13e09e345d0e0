"""What of a server could become a roster: whose each database is, which endings become templates, who is left out."""

from collections.abc import Mapping, Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.names import is_name
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Holdings, Lock
from dbroster.plan.proposal import SHARED_BY, Proposal, Survey

Held = Mapping[str, Set[str]]


def server(held: Held, *more: ExistingUser | ExistingDatabase, users: str = "") -> Actual:
    """A server whose accounts are those that have something, and some others; what is given more replaces them."""
    names = {*users.split(), *(user for holders in held.values() for user in holders)}
    accounts = {name: ExistingUser(name) for name in names}
    databases = {name: ExistingDatabase(name) for name in held}
    accounts |= {found.name: found for found in more if isinstance(found, ExistingUser)}
    databases |= {found.name: found for found in more if isinstance(found, ExistingDatabase)}
    return Actual(accounts, databases)


def proposed(held: Held, *more: ExistingUser | ExistingDatabase, users: str = "", wanted: str = "") -> Proposal:
    return Survey(server(held, *more, users=users), Holdings(held)).propose({}, wanted.split())


def own(*databases: str) -> dict[str, set[str]]:
    """Databases of the users whose names are before the first `_`."""
    return {name: {name.partition("_")[0]} for name in databases}


def why(proposal: Proposal) -> dict[str, str]:
    return {misfit.name: misfit.reason for misfit in proposal.misfits}


TEAM = own("ann_web", "ann_tools", "bob_web", "bob_tools", "cyd_web")


def test_endings_that_two_accounts_share_become_templates() -> None:
    found = proposed(TEAM | own("cyd_old"))
    assert dict(found.templates) == {"web": 3, "tools": 2}
    assert [(fit.name, fit.there, fit.missing) for fit in found.fits] == [
        ("ann", ("ann_web", "ann_tools"), ()),
        ("bob", ("bob_web", "bob_tools"), ()),
        ("cyd", ("cyd_web",), ("cyd_tools",)),
    ]
    assert "at least 2 accounts" in why(found)["cyd_old"]


def test_who_is_left_out_changes_no_template_of_those_who_stay() -> None:
    survey = Survey(server(TEAM), Holdings(TEAM))
    found = survey.propose({"bob": "a reason", "cyd": "another"})
    assert dict(found.templates) == {"web": 1, "tools": 1}
    assert [fit.name for fit in found.fits] == ["ann"]
    assert why(found) == {"bob": "a reason", "cyd": "another"}
    assert survey.propose(dict.fromkeys(("ann", "bob"), "a reason")).templates == {"web": 1}


def test_templates_that_are_named_are_all_that_there_are() -> None:
    found = proposed(TEAM | own("cyd_old"), wanted="old new")
    assert dict(found.templates) == {"old": 1, "new": 0}
    assert [(fit.name, fit.there, fit.missing) for fit in found.fits] == [("cyd", ("cyd_old",), ("cyd_new",))]
    assert {"ann", "bob", "ann_web", "cyd_web"} <= why(found).keys()


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (ExistingUser("cyd", protected="it has SUPERUSER: NO"), "it has SUPERUSER: NO"),
        (ExistingUser("cyd", roster="others"), "it belongs to the roster 'others'"),
        (ExistingUser("cyd", lock=Lock.FOREIGN), "nobody can log in to it: it is locked"),
        (ExistingUser("cyd", unusable="it expired: ALTER ..."), "it expired: ALTER ..."),
    ],
)
def test_accounts_that_are_not_proposed(account: ExistingUser, reason: str) -> None:
    found = proposed(TEAM, account)
    assert [fit.name for fit in found.fits] == ["ann", "bob"]
    assert why(found)["cyd"].startswith(reason)
    assert why(found)["cyd_web"] == "its account cyd is not proposed"


def test_an_account_of_ours_is_counted_and_its_databases_are_not_told() -> None:
    found = proposed(TEAM, ExistingUser("cyd", managed=True), ExistingDatabase("cyd_web", owner="cyd"))
    assert found.ours == ("cyd",)
    assert why(found) == {}


def test_what_the_server_needs_itself_is_left_out() -> None:
    found = proposed(TEAM, ExistingDatabase("template0", protected="it is a system database"), users="pg_monitor root")
    assert (found.system_accounts, found.protected) == (2, 1)
    assert why(found) == {}


def test_an_account_without_a_database_of_its_name_may_be_no_person_s() -> None:
    assert "may be no person's" in why(proposed(TEAM, users="backup"))["backup"]


@pytest.mark.parametrize("name", ["cyd:x", "Müller", "-x", "two words", "cyd\n", "\x1b[2J", ""])
def test_a_name_that_no_line_can_have(name: str) -> None:
    found = proposed({**TEAM, f"{name}_web": {name}})
    assert "not a user name" in why(found)[name]
    assert [fit.name for fit in found.fits] == ["ann", "bob", "cyd"]


def test_a_database_that_somebody_else_has() -> None:
    survey = Survey(server(TEAM | {"cyd_tools": {"ann"}}), Holdings(TEAM | {"cyd_tools": {"ann"}}))
    reason = why(survey.propose({}))["cyd_tools"]
    assert reason.startswith("by its name it belongs to cyd, who does not have it (privileges on it: ann)")
    assert survey.stray("cyd_tools") == reason
    assert survey.stray("cyd_web") is None


def test_a_database_that_nobody_has() -> None:
    assert "no account that could be managed" in why(proposed(TEAM | {"cyd_tools": set()}))["cyd_tools"]


def test_others_who_may_enter_do_not_matter() -> None:
    found = proposed(TEAM | {"cyd_tools": {"cyd", "reader"}})
    assert set(found.fits[2].there) == {"cyd_web", "cyd_tools"}


def test_a_name_that_could_be_of_two_is_nobody_s_if_both_have_it() -> None:
    held = {**own("a_web", "b_web"), "a_x_web": {"a", "a_x"}}
    assert "it could be a database of a or of a_x" in why(proposed(held))["a_x_web"]
    held["a_x_web"] = {"a_x"}
    assert [fit.name for fit in proposed(held).fits] == ["a", "a_x", "b"]


def test_names_that_the_server_takes_for_the_same() -> None:
    held = {"ann_web": {"ann"}, "bob_web": {"Bob"}}
    survey = Survey(server(held, ExistingDatabase("Bob_Web")), Holdings({**held, "bob_web": {"Bob"}}), str.lower)
    assert survey.propose({}).templates.keys() <= {"web"}
    assert Survey(server(held), Holdings(held), str.lower).propose({}).fits[0].name == "Bob"


def test_a_grant_on_a_database_that_is_not_there_is_nothing() -> None:
    actual = Actual({"ann": ExistingUser("ann"), "bob": ExistingUser("bob")}, {"ann_web": ExistingDatabase("ann_web")})
    found = Survey(actual, Holdings(own("ann_web", "bob_web") | {"shop": {"ann"}})).propose({}, ["web"])
    assert [fit.name for fit in found.fits] == ["ann"]
    assert why(found).keys() == {"bob"}


def test_accounts_that_no_roster_could_have_are_told() -> None:
    """Such at other hosts, or in other authentication databases."""
    unfit = {"cyd@localhost": "its host", "bob": "bob@10.% is there, too"}
    found = Survey(server(TEAM), Holdings(TEAM, unfit)).propose({})
    assert [fit.name for fit in found.fits] == ["ann", "cyd"]
    assert (why(found)["cyd@localhost"], why(found)["bob"]) == ("its host", "bob@10.% is there, too")


def test_a_database_that_is_protected_or_broken_is_no_reason_for_a_template() -> None:
    broken = ExistingDatabase("bob_tools", usable=False)
    found = Survey(server(TEAM, broken), Holdings(TEAM), str, {"ann_tools"}).propose({})
    assert dict(found.templates) == {"web": 3}
    assert "interrupted drop" in why(found)["bob_tools"]


NAMES = st.sampled_from(["a", "a_b", "b", "B", "c", "a_", "pg_x", "é", "root"])
ENDINGS = st.sampled_from(["web", "b_web", "tools", "_", "", "é", "b"])
DATABASES = st.builds(lambda user, ending: f"{user}_{ending}", NAMES, ENDINGS) | st.sampled_from(["shop", "_", "a"])
HELD = st.dictionaries(DATABASES, st.frozensets(NAMES, max_size=2), max_size=14)
ACCOUNTS = st.frozensets(NAMES)
FOLDS = st.sampled_from([str, str.lower])


@given(HELD, ACCOUNTS, ACCOUNTS, st.frozensets(DATABASES, max_size=2), FOLDS)
def test_whatever_stands_there(
    held: Held, users: Set[str], out: Set[str], protected: Set[str], fold: type[str]
) -> None:
    """Nobody gets what is another's, each template is shared, and everything is either proposed or told."""
    held = {fold(name): holders for name, holders in held.items()}
    actual = server(held, users=" ".join(users))
    survey = Survey(actual, Holdings(held), fold, protected)
    everybody, found = survey.propose({}), survey.propose(dict.fromkeys(out, "out"))
    assert found.templates.keys() <= everybody.templates.keys()
    assert all(count >= SHARED_BY for count in everybody.templates.values())
    fits = {fit.name: fit for fit in found.fits}
    taken = [database for fit in found.fits for database in fit.there]
    assert len(taken) == len(set(taken))
    for name, fit in fits.items():
        assert is_name(name)
        assert name not in out
        assert [fold(wanted) for wanted in (*fit.there, *fit.missing)]
        assert {fold(f"{name}_{template}") for template in found.templates} == {
            fold(database) for database in (*fit.there, *fit.missing)
        }
        assert all(name in held[database] and database not in protected for database in fit.there)
    for template, count in found.templates.items():
        assert is_name(template)
        assert count == sum(fold(f"{name}_{template}") in map(fold, fit.there) for name, fit in fits.items())
        assert count
    told = {(misfit.kind, misfit.name) for misfit in found.misfits}
    system = {"pg_x", "root"}
    assert {name for kind, name in told if kind == "account"} | fits.keys() >= actual.users.keys() - system
    of_out = {name for name in held if any(name.startswith(fold(f"{user}_")) for user in out)}
    silent = {name for name in held if ("database", name) not in told and name not in taken}
    assert silent <= protected | of_out
