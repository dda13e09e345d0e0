"""Accounts that nobody can log in to, and passwords that the server would not keep."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from servers import MongoDB, Server
from tests.contract.team import Team
from tests.contract.world import World
from tests.engines.mongodb.adapter import MongoDBAdapter
from tests.engines.mongodb.conftest import PASSWORD, Site, opened

OLD_ONLY = {"setParameter.authenticationMechanisms": "SCRAM-SHA-1"}


@pytest.fixture
def old(mongodb_server: Server) -> Iterator[MongoDB]:
    """A server that offers SCRAM-SHA-1 only; its root was made when it offered both."""
    with MongoDB(options=OLD_ONLY) as server:
        yield server


def logs_in(site: Site) -> bool:
    with site.login(site.bob, PASSWORD) as client:
        try:
            client.admin.command("connectionStatus")
        except OperationFailure:
            return False
    return True


def test_passwords_that_the_server_would_refuse_are_told_before(old: MongoDB, tmp_path: Path) -> None:
    """C7, M2: by the dry run, the run and the check, with the key to change; nothing is tried."""
    adapter = MongoDBAdapter(old)
    team = Team(World(adapter, "old", tmp_path))
    team.write_users({"bob": PASSWORD})
    dry, real = team.run(dry_run=True), team.run()
    for result in (dry, real):
        states = [outcome.status for outcome in result.outcomes]
        assert states[0] is Status.FAILED
        assert set(states[1:]) == {Status.SKIPPED}
        reason = result.outcomes[0].error or ""
        assert "SCRAM-SHA-256" in reason
        assert "mechanisms: [SCRAM-SHA-1]" in reason
    assert team.world.name("bob") not in adapter.accounts()
    adapter.close()


def test_a_wanted_mechanism_that_is_offered_stands_in_nobodys_way(old: MongoDB) -> None:
    """C7: the key that the message names is the cure."""
    with opened(old) as site, site.handler(mechanisms=("SCRAM-SHA-1",)) as handler:
        handler.get_existing_users()
        action = Action(Verb.CREATE_USER, site.bob, None, Secret(PASSWORD))
        assert handler.foresee([action]) == [None]
        site.make(handler)
        assert logs_in(site)
        assert handler.get_existing_users()[site.bob].unusable is None


def test_a_server_of_which_no_account_tells_the_mechanisms_is_tried(old: MongoDB) -> None:
    """C7: what can't be known is no obstacle; the server's own words come then."""
    with opened(old) as site:
        site.dba.admin.command("updateUser", "root", pwd=old.admin_password, mechanisms=["SCRAM-SHA-1"])
        with site.handler() as handler:
            handler.get_existing_users()
            action = Action(Verb.CREATE_USER, site.bob, None, Secret(PASSWORD))
            assert handler.foresee([action]) == [None]
            (outcome,) = handler.perform_all([action])
            assert "SCRAM-SHA-256 not supported" in (outcome.error or "")


def test_an_account_whose_mechanism_is_off_is_named(mongodb_server: Server, old: MongoDB) -> None:
    """C6: its password is right, and nobody can log in by it."""
    with MongoDB() as server, opened(server) as site:
        with site.handler() as handler:
            site.make(handler)
            assert handler.get_existing_users()[site.bob].unusable is None
        document = site.account()
    with opened(old) as site:
        site.dba.admin["system.users"].insert_one(document)
        with site.handler() as handler:
            found = handler.get_existing_users()[document["user"]]
            assert found.managed
            assert "SCRAM-SHA-256" in (found.unusable or "")
        login: MongoClient[Any] = site.login(document["user"], PASSWORD)
        with login, pytest.raises(OperationFailure):
            login.admin.command("connectionStatus")


def test_an_account_without_a_password_is_named(site: Site) -> None:
    """C6: it could not be checked, and the reason is told."""
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin["system.users"].update_one({"user": site.bob}, {"$set": {"credentials": {}}})
        users = handler.get_existing_users()
        assert users[site.bob].unusable == "the account has no password"
        assert handler.check_passwords([User(site.bob, Secret(PASSWORD), 1)], users) == {
            site.bob: PasswordCheck.UNKNOWN
        }
        site.dba.admin["system.users"].delete_one({"user": site.bob})


def test_a_password_that_is_kept_for_another_mechanism_says_so(site: Site) -> None:
    """M2: the reason for the change is the mechanism, not the password."""
    with site.handler(mechanisms=("SCRAM-SHA-1", "SCRAM-SHA-256")) as handler:
        site.make(handler)
    site.dba.admin.command("updateUser", site.bob, mechanisms=["SCRAM-SHA-1"])
    users = [User(site.bob, Secret(PASSWORD), 1)]
    with site.handler() as handler:
        assert handler.check_passwords(users, handler.get_existing_users()) == {site.bob: PasswordCheck.DIFFERENT}
        assert handler.doubts == {site.bob: "the password is kept for SCRAM-SHA-1, not for SCRAM-SHA-256"}
        handler.update_user_password(site.bob, Secret(PASSWORD))
        assert handler.check_passwords(users, handler.get_existing_users()) == {site.bob: PasswordCheck.SAME}
        assert handler.doubts == {}


NOBODY, HERE = ["255.255.255.255"], ["127.0.0.1"]


@pytest.mark.parametrize(
    ("restrictions", "lock"),
    [
        ([{"clientSource": NOBODY}], Lock.FOREIGN),
        ([{"serverAddress": NOBODY}], Lock.FOREIGN),
        ([{"clientSource": HERE, "serverAddress": NOBODY}], Lock.FOREIGN),
        ([{"clientSource": NOBODY}, {"serverAddress": NOBODY}], Lock.FOREIGN),
        ([{"clientSource": NOBODY}, {"clientSource": HERE}], Lock.OPEN),
        ([{"clientSource": NOBODY + HERE}], Lock.OPEN),
        ([{"clientSource": HERE}], Lock.OPEN),
        ([], Lock.OPEN),
    ],
)
def test_restrictions_are_read_as_the_server_reads_them(site: Site, restrictions: list[Any], lock: Lock) -> None:
    """C6: one restriction that can be fulfilled is enough; within one, all of it has to be."""
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin.command("updateUser", site.bob, authenticationRestrictions=restrictions)
        assert handler.get_existing_users()[site.bob].lock is lock
    assert logs_in(site) is (lock is Lock.OPEN)
