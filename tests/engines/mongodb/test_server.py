"""Replica sets, and the way to the server."""

import pytest
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription

from dbroster.engines.mongodb import sync_lock as mongodb_lock
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mongodb.session import Session, open_session
from dbroster.errors import ConnectError, OperationError, SyncLockHeld, UnsupportedServer
from dbroster.model.connection import Tls
from servers import MongoDB
from tests.engines.mongodb.conftest import PASSWORD, Site, opened


def test_a_replica_set_is_found_from_one_member_and_from_a_uri(set_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_lock, "PATIENCE", 0.0)
    uri = f"mongodb://{set_site.server.host}:{set_site.server.port}/?replicaSet=rs1"
    with set_site.handler() as handler, set_site.handler(uri=uri) as other:
        set_site.make(handler)
        assert other.get_existing_databases()[set_site.web].granted
        handler.acquire_sync_lock()
        with pytest.raises(SyncLockHeld, match="dbroster lock"):
            other.acquire_sync_lock()


def test_who_does_not_see_its_own_lock_has_none(site: Site, set_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_lock, "PATIENCE", 0.0)
    session = open_session(site.connection())
    try:
        with pytest.raises(ConnectError):
            mongodb_lock.acquire_sync_lock(session, set_site.connection())
        with (
            MongoDB() as other,
            opened(other) as elsewhere,
            pytest.raises(SyncLockHeld, match="does not show the connection"),
        ):
            mongodb_lock.acquire_sync_lock(session, elsewhere.connection())
        mongodb_lock.acquire_sync_lock(session, site.connection()).close()
    finally:
        session.close()


def test_a_change_that_no_majority_confirms_is_an_error(set_site: Site) -> None:
    session = open_session(set_site.connection())
    try:
        session.change("admin", {"createUser": set_site.bob, "pwd": PASSWORD, "roles": []})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dbroster.engines.mongodb.session.WRITE_CONCERN", {"w": 5, "wtimeout": 100})
            with pytest.raises(OperationError, match="majority"):
                session.change("admin", {"dropUser": set_site.bob})
    finally:
        session.close()


class _Client:
    """A server that says it is elsewhere, or that another member of its set is."""

    def __init__(self, host: str, *members: str) -> None:
        of_a_set = {"setName": "rs1", "hosts": list(members)} if members else {}
        said = Hello({"ok": 1, "isWritablePrimary": True, "maxWireVersion": 21, **of_a_set})
        self.known = {(host, 27017): ServerDescription((host, 27017), said)}

    def __getitem__(self, name: str) -> "_Client":
        return self

    @property
    def topology_description(self) -> "_Client":
        return self

    def server_descriptions(self) -> dict[tuple[str, int], ServerDescription]:
        return self.known

    codec_options = None

    def command(self, body: dict[str, object], **_: object) -> dict[str, object]:
        return {"ok": 1.0, "version": "7.0.1"}


@pytest.mark.parametrize(
    "client",
    [
        _Client("192.0.2.1"),
        _Client("127.0.0.1", "127.0.0.1:27017", "192.0.2.1:27018"),
        _Client("::1", "[2001:db8::1]:1"),
    ],
    ids=["primary", "another member", "IPv6"],
)
def test_passwords_are_not_sent_to_another_machine_without_tls(site: Site, client: _Client) -> None:
    plain = site.connection()._replace(tls=Tls())
    with pytest.raises(UnsupportedServer, match="tls"):
        Session(client, plain)  # type: ignore[arg-type]
    assert Session(client, site.connection()).in_clear is None  # type: ignore[arg-type]
    allowed = plain._replace(options=MongoDBOptions(allow_plaintext_transport=True))
    assert Session(client, allowed).in_clear  # type: ignore[arg-type]


def test_a_set_on_this_machine_needs_no_tls(site: Site) -> None:
    client = _Client("127.0.0.1", "localhost:27017", "[::1]:27018")
    assert Session(client, site.connection()._replace(tls=Tls())).version == "7.0.1"  # type: ignore[arg-type]
