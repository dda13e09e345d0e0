"""What somebody who was once an owner of his database (dbOwner) can make, so that a run fails: it does not."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS as RAW
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.mongodb.access.admin_privileges import needed
from dbroster.errors import DbrosterError, OperationError
from dbroster.model.connection import Connection, Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import PASSWORD, Site
from tests.support.archiving import archive, archiving, there_and_back
from tests.support.waiting import wait_until

LONG = "r" * 1_000_000


@contextmanager
def raw_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a client whose `oAAo` is no UTF-8; the driver sends none such."""
    send = socket.socket.sendall
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "sendall", lambda s, data: send(s, bytes(data).replace(b"oAAo", b"o\xff\xfeo")))
        yield


def locked(handler: Handler, user: str) -> str:
    """Lock an account, and return what was noted."""
    (outcome,) = handler.perform_all([Action(Verb.LOCK_USER, user)])
    assert outcome.status is Status.DONE, outcome.error
    return outcome.note or ""


def roles(site: Site, user: str, database: str = "admin") -> list[dict[str, str]]:
    found: list[dict[str, str]] = site.dba[database].command("usersInfo", user)["users"][0]["roles"]
    return found


def removed(handler: Handler, site: Site) -> None:
    handler.drop_database(site.bob, site.web)
    handler.drop_user(site.bob)
    assert site.web not in site.dba.list_database_names()


def test_a_role_that_can_not_be_named_is_taken(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Z1, W8, B3: granted to others, it kept the lock from ending, and so his database and those inside for ever."""
    ann, web = f"{site.bob}ann", site.dba[site.web]
    odd = {"role": "oAAo", "db": site.web}
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        handler.create_user(ann, Secret(PASSWORD))
        handler.grant_privileges(ann, f"{ann}_web")
        web.command("createUser", "inside", pwd=PASSWORD, roles=["readWrite"])
        with raw_names(monkeypatch):
            web.command("createRole", "oAAo", privileges=[], roles=["readWrite"])
            web.command("grantRolesToUser", "inside", roles=[odd])
            site.dba.admin.command("grantRolesToUser", ann, roles=[odd])
        handler.grant_privileges(site.bob, site.web)  # takes what others have
        assert {role["db"] for role in roles(site, ann)} == {f"{ann}_web"}
        with raw_names(monkeypatch):
            site.dba.admin.command("grantRolesToUser", ann, roles=[odd])
        locked(handler, site.bob)
        assert roles(site, "inside", site.web) == []
        assert {role["db"] for role in roles(site, ann)} == {f"{ann}_web"}
        with raw_names(monkeypatch):
            site.dba.admin.command("grantRolesToUser", ann, roles=[odd])
        archive(handler, site.bob, site.web)
        assert {role["db"] for role in roles(site, ann)} == {f"{ann}_web"}
        removed(handler, site)
        handler.drop_user(ann)


def test_what_is_given_meanwhile_stays(site: Site) -> None:
    """Z1: others are looked at once for many databases; what they got since must not go with what they have to lose."""
    ann = f"{site.bob}ann"
    with site.handler() as handler:
        site.make(handler)
        handler.create_user(ann, Secret(PASSWORD))
        site.dba.admin.command("grantRolesToUser", ann, roles=[{"role": "read", "db": site.web}])
        grants = [Action(Verb.GRANT_PRIVILEGES, site.bob, database) for database in (site.web, f"{site.bob}_new")]
        with handler.reading_ahead(grants):
            site.dba.admin.command("grantRolesToUser", ann, roles=[{"role": "read", "db": f"{ann}_web"}])
            handler.perform(*grants)
        assert roles(site, ann) == [{"role": "read", "db": f"{ann}_web"}]
        locked(handler, site.bob)
        removed(handler, site)
        handler.drop_user(ann)


def test_what_only_looks_like_a_marker_is_none(site: Site) -> None:
    """Z2, W1: in an account of somebody else's database it was a defect; its owner could never be removed."""
    elsewhere = site.dba[f"{site.web}-else"]
    forged = {"dbroster": {"v": 2, "roster": "default", "user": "guest", "roles": [1]}}
    with site.handler() as handler:
        site.make(handler)
        role = {"role": "readWrite", "db": site.web}
        elsewhere.command("createUser", "guest", pwd=PASSWORD, roles=[role], customData=forged)
        assert f"guest@{elsewhere.name} may do so" in locked(handler, site.bob)
        removed(handler, site)
        elsewhere.command("dropAllUsersFromDatabase")


def test_the_lock_is_seen_after_any_other_session_has_ended(site: Site) -> None:
    """Z2, W1: after a defect, whose session is closed, nobody else was removed any more: "the lock was lost"."""
    with site.handler() as first:
        first.acquire_sync_lock()
        with site.handler():
            assert first.still_holds_sync_lock()
        assert first.still_holds_sync_lock()


@pytest.fixture
def least(site: Site) -> Iterator[Connection]:
    """The admin of docs/engines.md."""
    name = f"{site.bob}-admin"
    privileges = [{"resource": where, "actions": list(may)} for where, may in needed("admin")]
    site.dba.admin.command("createRole", name, privileges=privileges, roles=[])
    site.dba.admin.command("createUser", name, pwd=PASSWORD, roles=[name, "readAnyDatabase"])
    yield site.connection()._replace(username=name, password=Secret(PASSWORD))
    site.dba.admin.command("dropUser", name)
    site.dba.admin.command("dropRole", name)


def test_roles_that_an_owner_gives_to_the_admin_end_no_run(site: Site, least: Connection, tmp_path: Path) -> None:
    """Z3: the server can't list them in one answer, and breaks the connection off; so ended each run of everybody."""
    web = site.dba[site.web]
    with connect(least) as handler:
        site.make(handler)
    for chain in range(2):
        names = [f"{chain}-{number}{LONG}" for number in range(10)]
        for name in names:
            web.command("createRole", name, privileges=[], roles=[])
        web.command("createRole", f"chain{chain}", privileges=[], roles=names)
        given = [{"role": f"chain{chain}", "db": site.web}]
        site.dba.admin.command("grantRolesToUser", least.username, roles=given)
    with connect(archiving(least, tmp_path)) as handler:
        assert handler.missing_privileges(["web"]) == []
        assert handler.archiver().missing() == []
        (warning,) = [problem.text for problem in handler.warnings() if "too many roles" in problem.text]
        assert f"chain0@{site.web}" in warning
        locked(handler, site.bob)
        removed(handler, site)
        assert handler.missing_privileges(["web"]) == []
        assert not [problem.text for problem in handler.warnings() if "too many roles" in problem.text]


def test_too_much_for_usersinfo_is_told_with_the_cure(site: Site) -> None:
    """Z7: an admin with viewUser reads accounts by answers that have no room for what an owner may give to others."""
    name, web = f"{site.bob}-view", site.dba[site.web]
    privileges = [{"resource": where, "actions": list(may)} for where, may in needed("admin") if "find" not in may]
    privileges.append({"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser"]})
    site.dba.admin.command("createRole", name, privileges=privileges, roles=[])
    site.dba.admin.command("createUser", name, pwd=PASSWORD, roles=[name])
    with site.handler() as handler:
        site.make(handler)
        others = [f"{site.bob}{number}" for number in range(2)]
        for other in others:
            handler.create_user(other, Secret(PASSWORD))
            for number in range(9):
                role = f"{other}{number}{LONG}"
                web.command("createRole", role, privileges=[], roles=[])
                site.dba.admin.command("grantRolesToUser", other, roles=[{"role": role, "db": site.web}])
        as_view = site.connection()._replace(username=name, password=Secret(PASSWORD))
        told = pytest.raises(DbrosterError, match=r"let it find in admin\.system\.users")
        with connect(as_view) as view, told:
            view.get_existing_users()
        locked(handler, site.bob)
        removed(handler, site)
        for other in others:
            handler.drop_user(other)
    site.dba.admin.command("dropUser", name)
    site.dba.admin.command("dropRole", name)


def test_a_collection_whose_name_can_not_be_sent_is_told_with_the_cure(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z5, B4: it can't be archived, so its owner stayed for ever, without a word of what ends that."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob, raw_names(monkeypatch):
            bob[site.web].oAAo.insert_one({})
        locked(handler, site.bob)
        with pytest.raises(OperationError, match="no UTF-8") as told:
            archive(handler, site.bob, site.web)
        found = re.search(r'db\.getSiblingDB\("(.*)"\)\.dropDatabase\(\)', str(told.value))
        assert found
        site.dba.drop_database(found[1])
        removed(handler, site)


def test_an_index_whose_name_is_no_utf_8_comes_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z9, A8, L5: it kept everything that came after it from being restored."""

    def indexes() -> list[bytes]:
        found: Any = site.dba[site.web].cursor_command("listIndexes", "odd", codec_options=RAW)
        return sorted(each.raw for each in found)

    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob, raw_names(monkeypatch):
            bob[site.web].odd.create_index("oAAo", name="noAAo")
            bob[site.web].zzz.insert_one({"_id": 1})
        before = indexes()
        there_and_back(handler, site.bob, PASSWORD, site.web)
        assert indexes() == before
        assert site.dba[site.web].zzz.count_documents({}) == 1


def test_who_was_opened_by_hand_is_locked_again(site: Site) -> None:
    """Z6, B3: each run said that he was locked, and he was in."""
    grace = site.connection()._replace(removals=Removals(grace_days=7))
    with connect(grace) as handler:
        site.make(handler)
        locked(handler, site.bob)
        role = {"role": "readWrite", "db": site.web}
        site.dba.admin.command("updateUser", site.bob, roles=[role], authenticationRestrictions=[])
        found = handler.get_existing_users()[site.bob]
        assert (found.lock, found.locked_since) == (Lock.OURS, None)  # so it is locked again
        locked(handler, site.bob)
        assert roles(site, site.bob) == []
        assert site.account()["authenticationRestrictions"]
        assert handler.get_existing_users()[site.bob].locked_since
        handler.update_user_password(site.bob, Secret(PASSWORD))
        with site.login(site.bob, PASSWORD) as bob:
            bob[site.web].note.insert_one({})


def test_operations_of_accounts_with_long_names_are_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Z4, B4: the list of what they do was too long for one answer, so their owner could never be removed."""
    long = "x" * 900_000
    sleep = {"find": "note", "filter": {"$where": "sleep(300000) || true"}}
    mine: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True}},
        {"$match": {"effectiveUsers.db": site.web}},
        {"$project": {"opid": 1}},
    ]
    monkeypatch.setattr(MongoClient, "_ensure_session", lambda *_: None)  # sessions are not for such names
    with site.handler() as handler, ExitStack() as stack, ThreadPoolExecutor(20) as pool:
        site.make(handler)
        site.dba[site.web].note.insert_one({})
        site.dba[site.web].command("createUser", long, pwd=PASSWORD, roles=["readWrite"], mechanisms=["SCRAM-SHA-1"])
        login = {"authSource": site.web, "authMechanism": "SCRAM-SHA-1"}
        clients = [stack.enter_context(site.login(long, PASSWORD, **login)) for _ in range(20)]
        running = [pool.submit(client[site.web].command, sleep) for client in clients]
        try:
            wait_until(lambda: len(list(site.dba.admin.aggregate(mine))) == len(clients))
            locked(handler, site.bob)
            assert all(isinstance(each.exception(timeout=30), PyMongoError) for each in running)
        finally:
            for operation in site.dba.admin.aggregate(mine):
                site.dba.admin.command("killOp", op=operation["opid"])
        removed(handler, site)
