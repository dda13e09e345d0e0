"""Privileges of the admin, replica sets, and the way to the server."""

import json
from dataclasses import replace

import pytest

from dbroster.config import Tls
from dbroster.engines import connect
from dbroster.engines.mongodb_session import Session, open_session
from dbroster.errors import ConnectError, LockHeld, OperationError, UnsupportedServer
from dbroster.secret import Secret
from servers import MongoReplicaSet, Server
from tests.engines.mongodb.conftest import OTHER, PASSWORD, Site, opened


def test_the_commands_for_missing_privileges_are_enough_for_everything(site: Site) -> None:
    dba = f"{site.bob}dba"
    site.dba.admin.command("createUser", dba, pwd=PASSWORD, roles=[])
    connection = replace(site.connection(), username=dba, password=Secret(PASSWORD))
    with connect(connection) as handler:
        missing = handler.missing_privileges(["web"])
        assert len(missing) == 2
    for text in missing:
        body = json.loads(text.split("runCommand(")[1].removesuffix(")"))
        site.dba.admin.command(body)
    with connect(connection) as handler:
        assert handler.missing_privileges(["web"]) == []
        handler.acquire_lock()
        site.make(handler)
        assert handler.get_existing_users()[site.bob].managed
        handler.update_user_password(site.bob, Secret(OTHER))
        handler.lock_user(site.bob)
        handler.update_user_password(site.bob, Secret(OTHER))
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
        assert handler.warnings() == []


def test_a_replica_set_is_found_from_one_member_and_from_a_uri(set_site: Site) -> None:
    uri = f"mongodb://{set_site.server.host}:{set_site.server.port}/?replicaSet=rs1"
    with set_site.handler() as handler, set_site.handler(uri=uri) as other:
        set_site.make(handler)
        assert other.get_existing_databases()[set_site.web].granted
        handler.acquire_lock()
        with pytest.raises(LockHeld, match="dbroster lock"):
            other.acquire_lock()


def test_a_change_that_no_majority_confirms_is_an_error(set_site: Site) -> None:
    session = open_session(set_site.connection())
    try:
        session.change("admin", {"createUser": set_site.bob, "pwd": PASSWORD, "roles": []})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dbroster.engines.mongodb_session.WRITE_CONCERN", {"w": 5, "wtimeout": 100})
            with pytest.raises(OperationError, match="majority"):
                session.change("admin", {"dropUser": set_site.bob})
    finally:
        session.close()


class _Client:
    """A server that says it is elsewhere."""

    address = ("192.0.2.1", 27017)

    def __getitem__(self, name: str) -> "_Client":
        return self

    def command(self, body: dict[str, object]) -> dict[str, object]:
        return {"ok": 1.0, "version": "7.0.1"}


def test_passwords_are_not_sent_to_another_machine_without_tls(site: Site) -> None:
    plain = replace(site.connection(), tls=Tls())
    with pytest.raises(UnsupportedServer, match="tls"):
        Session(_Client(), plain)  # type: ignore[arg-type]
    assert Session(_Client(), site.connection()).version == "7.0.1"  # type: ignore[arg-type]
    allowed = replace(plain, options={"allow_plaintext_transport": True})
    assert Session(_Client(), allowed).version == "7.0.1"  # type: ignore[arg-type]


def test_a_new_primary_is_followed(mongodb_server: Server) -> None:
    with MongoReplicaSet(members=3) as server, opened(server) as site:
        hosts = ",".join(server.hosts)
        uri = f"mongodb://{hosts}/?replicaSet=rs1"
        with site.handler(uri=uri) as handler:
            site.make(handler)
            before = handler.server().host
            server.primary().kill()
            with pytest.raises(ConnectError):
                handler.lock_user(site.bob)
        with site.handler(uri=uri) as handler:
            assert handler.server().host != before
            assert handler.get_existing_databases()[site.web].granted
            handler.lock_user(site.bob)
            handler.drop_database(site.bob, site.web)
            handler.drop_user(site.bob)
