"""What an owner, or somebody who shares his database, can do to stay: nothing, or it is said how to end it."""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from dbroster.engines import connect
from dbroster.engines.mongodb.access.admin_privileges import needed
from dbroster.engines.mongodb.removal import drop_database as mongodb_drop
from dbroster.errors import OperationError
from dbroster.model.connection import Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import PASSWORD, Client, Site
from tests.support.waiting import wait_until


def can_write(site: Site, user: str, **more: Any) -> bool:
    with site.login(user, PASSWORD, **more) as client:
        try:
            client[site.web].note.insert_one({})
        except PyMongoError:
            return False
    return True


@contextmanager
def writing(site: Site, user: str, **more: Any) -> Iterator[None]:
    """Four connections that write all the time, many documents with each command."""
    stop = Event()

    def write(client: Client) -> None:
        while not stop.is_set():
            with suppress(PyMongoError):
                client[site.web].note.insert_many([{} for _ in range(500)])

    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        clients = [stack.enter_context(site.login(user, PASSWORD, **more)) for _ in range(4)]
        running = [pool.submit(write, client) for client in clients]
        while not site.dba[site.web].note.estimated_document_count():
            assert not any(each.done() for each in running)
        try:
            yield
        finally:
            stop.set()


def make_insider(site: Site) -> None:
    """As an owner to whom a DBA once gave dbOwner."""
    site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "dbOwner", "db": site.web}])
    with site.login(site.bob, PASSWORD) as bob:
        bob[site.web].command("createUser", "evil", pwd=PASSWORD, roles=["readWrite"])


def do_as_told(site: Site, text: str) -> None:
    statement = text.partition("take that away: ")[2]
    database, body = statement.removeprefix('db.getSiblingDB("').split('").runCommand(')
    site.dba[database].command(json.loads(body.removesuffix(")")))


def remove(site: Site) -> None:
    with site.handler() as handler:
        handler.lock_user(site.bob)
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
    assert site.web not in site.dba.list_database_names()
    assert not list(site.dba.admin["system.users"].find({"roles.db": site.web}))


def test_accounts_inside_his_databases_are_locked_and_opened_with_their_owner(site: Site) -> None:
    """B3: locked means that nothing of his runs; opened again, it runs again."""
    with site.handler() as handler:
        site.make(handler)
        make_insider(site)
        with writing(site, "evil", authSource=site.web):
            handler.lock_user(site.bob)
            before = site.dba[site.web].note.count_documents({})
            assert not can_write(site, "evil", authSource=site.web)
            assert site.dba[site.web].note.count_documents({}) == before
        handler.lock_user(site.bob)  # again, as after a lost answer
        handler.update_user_password(site.bob, Secret(PASSWORD))
        assert can_write(site, "evil", authSource=site.web)
        assert can_write(site, site.bob)
        assert handler.get_existing_databases()[site.web].granted
        handler.lock_user(site.bob)
        handler.update_user_password(site.bob, Secret(PASSWORD))
        assert can_write(site, "evil", authSource=site.web)
    with writing(site, "evil", authSource=site.web):
        remove(site)
    assert site.dba.admin["system.users"].count_documents({"db": site.web}) == 0


def test_accounts_inside_lose_their_roles_on_his_other_databases_too(site: Site) -> None:
    """P2, B3: an account inside one database of his that had a role on another one went on in that for days."""
    other = f"{site.bob}_other"
    with site.handler() as handler:
        site.make(handler)
        handler.grant_privileges(site.bob, other)
        roles = [{"role": "read", "db": site.web}, {"role": "readWrite", "db": other}]
        site.dba[site.web].command("createUser", "evil", pwd=PASSWORD, roles=roles)
        handler.lock_user(site.bob)
        assert site.dba[site.web].command("usersInfo", "evil")["users"][0]["roles"] == []
        handler.update_user_password(site.bob, Secret(PASSWORD))
        given = site.dba[site.web].command("usersInfo", "evil")["users"][0]["roles"]
        assert sorted(given, key=lambda role: role["role"]) == roles
    site.dba.drop_database(other)


def test_nothing_that_an_owner_makes_is_too_much_for_a_lock(site: Site) -> None:
    """W6, W7, B3: the notes of the lock had no room for accounts inside, so he stayed; to look ended each run."""
    with site.handler() as handler:
        site.make(handler)
        for number in range(17):  # a message has room for 16
            name = f"{number}{'x' * 1_000_000}"
            site.dba[site.web].command("createUser", name, pwd=PASSWORD, roles=["readWrite"])
        assert len("".join(handler.archiver().losses(site.web))) < 10_000
        (lock,) = handler.perform_all([Action(Verb.LOCK_USER, site.bob)])
        assert lock.status is Status.DONE
        assert lock.note
        assert (
            f"roles that {site.bob} had elsewhere, and those of accounts in his databases, don't come back" in lock.note
        )
        assert not can_write(site, site.bob)
        assert not site.dba.admin["system.users"].count_documents({"db": site.web, "roles": {"$ne": []}})
        handler.drop_database(site.bob, site.web)


def test_names_that_are_no_utf_8_stop_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """W8, B3: of an account and a role that an owner has made; each run ended, and others inside kept their roles."""
    send = socket.socket.sendall
    roles, web = [{"role": "readWrite", "db": site.web}], site.dba[site.web]
    with site.handler() as handler:
        site.make(handler)
        web.command("createUser", "inside", pwd=PASSWORD, roles=roles)
        with monkeypatch.context() as patch:
            patch.setattr(
                socket.socket, "sendall", lambda s, data: send(s, bytes(data).replace(b"oAAo", b"o\xff\xfeo"))
            )
            web.command("createUser", "oAAo", pwd=PASSWORD, roles=roles, mechanisms=["SCRAM-SHA-1"])
            web.command("createRole", "oAAo", privileges=[], roles=[])
            site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "oAAo", "db": site.web}])
        assert site.bob in handler.get_existing_users()
        (lock,) = handler.perform_all([Action(Verb.LOCK_USER, site.bob)])
        assert lock.status is Status.DONE
        assert f'db.getSiblingDB("{site.web}").dropAllUsers()' in (lock.note or "")
        assert web.command("usersInfo", "inside")["users"][0]["roles"] == []
        handler.drop_database(site.bob, site.web)
        assert not site.dba.admin["system.users"].count_documents({"db": site.web})


def test_others_leave_a_locked_users_databases_or_are_told(site: Site) -> None:
    """T15, B3: they kept their roles for all days of grace; so did the leaver's account in another database."""
    ann, elsewhere, role = f"{site.bob}ann", site.dba[f"{site.web}-else"], {"role": "readWrite", "db": site.web}
    with site.handler() as handler:
        site.make(handler)
        handler.create_user(ann, Secret(PASSWORD))
        site.dba.admin.command("grantRolesToUser", ann, roles=[role])
        elsewhere.command("createUser", site.bob, pwd=PASSWORD, roles=[role])
        assert can_write(site, ann)
        (lock,) = handler.perform_all([Action(Verb.LOCK_USER, site.bob)])
        assert not can_write(site, ann)
        assert can_write(site, site.bob, authSource=elsewhere.name)
        assert lock.note
        assert f"{site.bob}@{elsewhere.name} may do so; take that away: " in lock.note
        found = re.search(r"runCommand\((.*)\)$", lock.note)
        assert found
        elsewhere.command(json.loads(found[1]))
        assert not can_write(site, site.bob, authSource=elsewhere.name)
        elsewhere.command("dropAllUsersFromDatabase")
        handler.drop_user(ann)


def test_an_admin_who_can_not_see_accounts_inside_is_told(site: Site) -> None:
    """T16, B3: with `viewUser` instead of `find` they keep their roles while their user is locked."""
    role = f"{site.bob}view"
    rest = [{"resource": where, "actions": list(may)} for where, may in needed("admin") if "find" not in may]
    view = {"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser"]}
    site.dba.admin.command("createRole", role, privileges=[*rest, view], roles=[])
    site.dba.admin.command("createUser", role, pwd=PASSWORD, roles=[role])
    grace = site.connection()._replace(username=role, password=Secret(PASSWORD), removals=Removals(grace_days=7))
    with connect(grace) as handler:
        site.make(handler)
        (lock,) = handler.perform_all([Action(Verb.LOCK_USER, site.bob)])
        assert lock.note
        assert "let it find in admin.system.users" in lock.note
    site.dba.admin.command("dropUser", role)
    site.dba.admin.command("dropRole", role)


def test_what_somebody_else_keeps_locked_is_left_alone_in_days_of_grace(site: Site) -> None:
    """B3: accounts inside keep what dbroster could not give back."""
    grace = site.connection()._replace(removals=Removals(grace_days=7))
    with connect(grace) as handler:
        site.make(handler)
        make_insider(site)
        site.dba.admin.command("updateUser", site.bob, authenticationRestrictions=[{"clientSource": ["0.0.0.0"]}])
        handler.lock_user(site.bob)
        assert can_write(site, "evil", authSource=site.web)
        assert site.account()["roles"]


def test_roles_on_other_databases_come_back_with_the_line(site: Site) -> None:
    """B3: a DBA had shared a database with bob; the lock takes that, too, and the way back gives it."""
    shared = {"role": "read", "db": f"x{site.web}"}
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin.command("grantRolesToUser", site.bob, roles=[shared])
        for _ in range(2):
            handler.lock_user(site.bob)
            handler.lock_user(site.bob)
            assert site.account()["roles"] == []
            handler.update_user_password(site.bob, Secret(PASSWORD))
            assert shared in site.account()["roles"]
        assert "roles" not in site.account()["customData"]["dbroster"]


def test_an_owner_who_stays_can_not_bring_a_dropped_database_back(site: Site) -> None:
    """M1: its template has left; commands of his that run at this moment are ended, and it is looked again."""
    with site.handler() as handler:
        site.make(handler)
        for _ in range(3):
            with writing(site, site.bob):
                handler.drop_database(site.bob, site.web)
            assert site.web not in site.dba.list_database_names()
            site.make(handler)
        handler.drop_database(site.bob, site.web)


def test_another_user_of_the_roster_can_not_bring_it_back(site: Site) -> None:
    """M1, B4: whoever was given a role on it by hand loses that before the drop."""
    alice = f"{site.bob}alice"
    with site.handler() as handler:
        site.make(handler)
        handler.create_user(alice, Secret(PASSWORD))
        site.dba.admin.command("grantRolesToUser", alice, roles=[{"role": "readWrite", "db": site.web}])
        with writing(site, alice):
            remove(site)
        assert site.web not in site.dba.list_database_names()
        handler.drop_user(alice)


@pytest.mark.parametrize("where", ["admin", "ops"])
def test_a_foreign_account_that_brings_it_back_is_named_with_the_cure(site: Site, where: str) -> None:
    """M1, B4: its role is a DBA's decision; the user stays locked, and the message says what to do."""
    app = f"{site.bob}app"
    site.dba[where].command("createUser", app, pwd=PASSWORD, roles=[{"role": "readWrite", "db": site.web}])
    with site.handler() as handler:
        site.make(handler)
        with writing(site, app, authSource=where):
            handler.lock_user(site.bob)
            with pytest.raises(OperationError, match=f"comes back.*{app}@{where} may write") as caught:
                handler.drop_database(site.bob, site.web)
            with pytest.raises(OperationError, match="still has databases"):
                handler.drop_user(site.bob)
            do_as_told(site, str(caught.value))
        remove(site)
    site.dba[where].command("dropUser", app)


def test_an_open_transaction_of_a_foreign_account_is_named(set_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """B4: the drop does not wait for ever, and says who is in the way."""
    site = set_site
    monkeypatch.setattr(mongodb_drop, "FIRST_LIMIT", 1)
    app = f"{site.bob}app"
    site.dba.admin.command("createUser", app, pwd=PASSWORD, roles=[{"role": "readWrite", "db": site.web}])
    with connect(site.connection()._replace(timeout=2)) as handler:
        site.make(handler)
        with site.login(app, PASSWORD) as client, client.start_session() as session:
            client[site.web].note.insert_one({})
            session.start_transaction()
            client[site.web].note.insert_one({}, session=session)
            handler.lock_user(site.bob)
            with pytest.raises(OperationError, match=f"takes longer than 2 s: {app}@admin may write") as caught:
                handler.drop_database(site.bob, site.web)
        do_as_told(site, str(caught.value))
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
    assert site.web not in site.dba.list_database_names()


def slow(steps: float) -> dict[str, object]:
    """An expression that takes so many million steps, in which nothing is broken off; the field n has to be there."""
    numbers = {"$range": [0, int(1000 * steps**0.5)]}
    inner = {"$reduce": {"input": numbers, "initialValue": "$$value", "in": {"$mod": [{"$add": ["$$value", "$n"]}, 7]}}}
    return {"$expr": {"$eq": [{"$reduce": {"input": numbers, "initialValue": 0, "in": inner}}, 99]}}


def test_an_update_that_can_not_be_broken_off_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """J3, B4: the drop does not wait for ever; it said that somebody who may write everywhere was in the way."""
    monkeypatch.setattr(mongodb_drop, "FIRST_LIMIT", 1)
    busy: list[dict[str, object]] = []

    def work() -> None:
        with site.login(site.bob, PASSWORD) as bob, suppress(PyMongoError):
            bob[site.web].note.update_many(busy[0], {"$set": {"seen": 1}})

    def is_at_work() -> bool:
        own = {"effectiveUsers.user": site.bob, "op": "update", "secs_running": {"$gte": 1}}
        return bool(site.dba.admin.command({"currentOp": 1, "$all": True, **own})["inprog"])

    with connect(site.connection()._replace(timeout=2)) as handler:
        site.make(handler)
        site.dba[site.web].note.insert_one({"n": 3})
        began = time.monotonic()
        site.dba[site.web].note.count_documents(slow(1))
        busy.append(slow(12 / (time.monotonic() - began)))  # seconds
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work)
            wait_until(is_at_work)
            handler.lock_user(site.bob)
            told = rf"takes longer than 2 s: operation \d+ of {site.bob}, at work since \d+ s, which the server can't"
            with pytest.raises(OperationError, match=told):
                handler.drop_database(site.bob, site.web)
        remove(site)


def test_nothing_that_an_owner_makes_stops_the_removal(site: Site) -> None:
    """B4: the profiler, cursors without end, views, validators, capped and many collections, odd names."""
    with site.handler() as handler:
        site.make(handler)
    with site.login(site.bob, PASSWORD) as bob:
        web = bob[site.web]
        web.note.insert_many({"n": number} for number in range(500))
        web.command("profile", 2, slowms=0)
        cursor = web.note.find(no_cursor_timeout=True, batch_size=2, session=bob.start_session())
        next(cursor)
        web.command("create", "seen", viewOn="note", pipeline=[])
        web.command("create", "nowhere", viewOn="no such thing", pipeline=[])
        web.command("create", "strict", validator={"$expr": False})
        web.command("create", "ring", capped=True, size=4096)
        web.command("create", "weather", timeseries={"timeField": "t"})
        web["weird/name %x"].insert_one({})
        web["system.js"].insert_one({"_id": "f", "value": 1})
        for number in range(100):
            web[f"many{number}"].insert_one({})
        web.note.create_index("n", name="slow")
        remove(site)
        with suppress(PyMongoError):
            cursor.close()
