"""TLS, at the server's HTTPS port; and a server that somebody else runs, by https."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection, Tls
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from servers import ClickHouse, GivenServer
from servers.given import variable
from tests.contract.conftest import ADAPTERS
from tests.contract.world import World
from tests.engines.clickhouse.adapter import ClickHouseAdapter
from tests.support.archiving import archiving, there_and_back
from tests.support.proxy import Proxy

GOOD = Secret("Correct-horse-7")
OTHER_HOST = "0.0.0.0"
Describe = Callable[..., Connection]


@pytest.fixture
def ca(adapter: ClickHouseAdapter) -> str:
    return str(adapter.server.ca)


@pytest.fixture
def relay(adapter: ClickHouseAdapter) -> Iterator[Proxy]:
    """A relay to the HTTPS port, which can't look into what it relays."""
    if not isinstance(adapter.server, ClickHouse):
        pytest.skip("the HTTPS port of this server is not known")
    with Proxy(adapter.server.host, adapter.server.https_port, None) as relay:
        yield relay


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_everything_goes_through_tls(
    adapter: ClickHouseAdapter, relay: Proxy, ca: str, describe: Describe, prefix: str, host: str
) -> None:
    """Statements, the lock, and logins: a server behind TLS gets none of them in any other way."""
    tls = Tls("verify-full", ca)
    bob = prefix + "bob"
    with connect(describe(host=host, port=relay.port, tls=tls)) as handler:
        handler.acquire_sync_lock()
        handler.prepare()
        handler.create_user(bob, GOOD)
        handler.create_database(bob, f"{bob}_web")
        handler.grant_privileges(bob, f"{bob}_web")
        existing = handler.get_existing_users()
        assert handler.check_passwords([User(bob, GOOD, 1)], existing)[bob] is PasswordCheck.SAME
        assert handler.check_passwords([User(bob, Secret("Wrong-1"), 1)], existing)[bob] is PasswordCheck.DIFFERENT
    assert relay.messages > 10
    assert adapter.can_write(bob, GOOD.reveal(), f"{bob}_web")


def test_a_certificate_of_an_unknown_authority_is_refused(
    adapter: ClickHouseAdapter, relay: Proxy, describe: Describe
) -> None:
    since = adapter._do("SELECT toUnixTimestamp64Micro(now64(6))").strip()
    with pytest.raises(ConnectError, match="certificate verify failed") as caught:
        connect(describe(host="localhost", port=relay.port, tls=Tls("verify-full")))
    assert adapter.statements(since) == [], "the password has not been sent"
    assert caught.value.__cause__ is None


def test_a_certificate_for_another_host_is_refused(relay: Proxy, ca: str, describe: Describe) -> None:
    tls = Tls("verify-full", ca)
    with pytest.raises(ConnectError, match=r"certificate|hostname"):
        connect(describe(host=OTHER_HOST, port=relay.port, tls=tls))
    with connect(describe(host=OTHER_HOST, port=relay.port, tls=Tls("verify-ca", ca))):
        pass


def test_an_archive_takes_the_certificate_that_all_else_takes(
    adapter: ClickHouseAdapter, relay: Proxy, ca: str, describe: Describe, prefix: str, tmp_path: Path
) -> None:
    """E9: by verify-ca, to a host that is not in the certificate."""
    bob = prefix + "bob"
    connection = archiving(describe(host=OTHER_HOST, port=relay.port, tls=Tls("verify-ca", ca)), tmp_path)
    with connect(connection) as handler:
        handler.prepare()
        handler.create_user(bob, GOOD)
        handler.create_database(bob, f"{bob}_web")
        handler.grant_privileges(bob, f"{bob}_web")
        adapter.put(bob, GOOD.reveal(), f"{bob}_web", "his")
        there_and_back(handler, bob, GOOD.reveal(), f"{bob}_web")
    assert adapter.get(bob, GOOD.reveal(), f"{bob}_web") == ["his"]


def test_tls_to_a_server_without_it_is_told(
    adapter: ClickHouseAdapter, ca: str, relay: Proxy, describe: Describe
) -> None:
    del relay  # it only tells whether the server is one without TLS
    tls = Tls("verify-full", ca)
    with pytest.raises(ConnectError, match="no answer from ClickHouse"):
        connect(describe(port=adapter.server.port, tls=tls, connect_timeout=1))


def test_the_contracts_adapter_works_with_a_server_given_by_https(
    adapter: ClickHouseAdapter, relay: Proxy, ca: str, tmp_path: Path, prefix: str
) -> None:
    """What $DBROSTER_TEST_CLICKHOUSE=https://... does to every test: relay, login, scripts and native client."""
    url = adapter.server.url.replace("clickhouse://", "https://")
    url = url.replace(f":{adapter.server.port}", f":{relay.port}")
    given = GivenServer("clickhouse", url)
    assert given.secure
    assert GivenServer("clickhouse", "https://default:x@db.example").port == 8443
    assert given.admin("SELECT 1") == "1"
    theirs = ADAPTERS["clickhouse"](given)
    world = World(theirs, prefix + "tls", tmp_path)
    try:
        bob = world.user()
        world.database(bob)
        assert theirs.can_write(bob, "Correct-horse-7-battery", f"{bob}_web")
        with connect(theirs.connection(tmp_path, world.prefix)) as direct:
            assert direct.get_existing_users()[bob].managed
        with theirs.doomed(None) as immortal, immortal.connect(world.handler.connection) as handler:
            assert handler.get_existing_databases()[f"{bob}_web"].granted
            assert 4 < immortal.messages() < 20, "whole requests are counted, not pieces of TLS"
    finally:
        world.close()
        theirs.close()
    assert variable("clickhouse") == "DBROSTER_TEST_CLICKHOUSE"
