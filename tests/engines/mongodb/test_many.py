"""More accounts than one reply can carry."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from bson.binary import Binary

from dbroster.engines import connect
from dbroster.engines.mongodb.accounts import PART
from dbroster.engines.mongodb.state import PAGE
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import PASSWORD, Site
from tests.support.proxy import Proxy

MANY = 21_000


@pytest.fixture
def crowd(site: Site) -> Iterator[Site]:
    """Accounts that are written straight into the server's collection: no other way is fast enough."""
    with site.handler() as handler:
        site.make(handler)
    pattern = site.account()
    users = site.dba.admin["system.users"]
    names = [f"{site.bob}{number}" for number in range(MANY)]
    marker = pattern["customData"]["dbroster"]
    users.insert_many(
        {
            **pattern,
            "_id": f"admin.{name}",
            "user": name,
            "userId": Binary(uuid4().bytes, 4),
            "customData": {"dbroster": {**marker, "user": name, "databases": []}},
        }
        for name in names
    )
    users.update_one({"user": names[0]}, {"$unset": {"userId": 1}})  # as old versions wrote them
    yield site
    users.delete_many({"user": {"$regex": f"^{site.bob}"}})
    site.dba.drop_database(site.web)


def messages_for_reading(site: Site, connection: Connection) -> int:
    """Read all accounts, and return how many messages that took."""
    with Proxy(site.server.host, site.server.port, None) as proxy:
        with connect(connection._replace(port=proxy.port)) as handler:
            before = proxy.messages - proxy.of_first
            found = handler.get_existing_users()
            messages = proxy.messages - proxy.of_first - before
        assert sum(name.startswith(site.bob) and user.managed for name, user in found.items()) == MANY + 1
        assert all(user.verifiers for user in found.values() if user.managed)
    return messages


def test_a_cursor_reads_a_page_per_message(crowd: Site) -> None:
    """Beside the pages there is the beginning, the end, and a question for the mechanisms that the server offers."""
    assert messages_for_reading(crowd, crowd.connection()) <= MANY // PAGE + 3


def test_an_admin_with_view_user_reads_in_parts(crowd: Site) -> None:
    admin = f"x{crowd.bob}"
    privilege = {"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser"]}
    crowd.dba.admin.command("createRole", admin, privileges=[privilege], roles=[])
    crowd.dba.admin.command("createUser", admin, pwd=PASSWORD, roles=[admin])
    connection = crowd.connection()._replace(username=admin, password=Secret(PASSWORD))
    messages = messages_for_reading(crowd, connection)
    assert 8 < messages < 3 * MANY // PART
