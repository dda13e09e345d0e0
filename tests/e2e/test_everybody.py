"""Twenty users with hostile passwords on all servers: one roster, one password each, own databases only."""

from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.contract.adapters import Adapter
from tests.e2e.together import Everything

PASSWORDS = {
    "squote": "It's-a-Secret'1",
    "dquote": 'Say-"Open"-Sesame-1"',
    "backslash": "C:\\Temp\\n\\x41\\",
    "percent": "100%s-%d-%(x)s-%41-A",
    "colon": ":With:Colons:1:",
    "hash": "#Not-a-comment#1",
    "at": "user@host-Word1@",
    "slash": "/etc/Passwd/../1",
    "dollar": "$HOME-${PATH}-$1-Ab",
    "backtick": "`id`-$(id)-Back1",
    "spaces": "Four little words 1",
    "umlaut": "Grüße-aus-Köln-1",
    "combining": "Cafe\u0301-au-Lait-1",
    "cyrillic": "Пароль-Надёжный-1",
    "emoji": "Rocket-\U0001f680-Science-1",
    "sql": "'; DROP USER root; -- 1A",
    "json": '{"$ne": null, "A": [1]}',
    "url": "a%2Fb?c=D&e=f#g+1",
    "long": "Aa1-" * 30,
    "tab": "Tab\tand!~^|<>*?;1A",
}
NEW = {short: f"New-9-{password}" for short, password in PASSWORDS.items()}
REFUSED_BY_MONGODB = {"emoji", "tab"}
"""SASLprep knows no character that is younger than Unicode 3.2, and forbids control characters."""

_numbers = count(1)


@pytest.fixture
def everything(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    everything = Everything(adapters, tmp_path / "config", f"h{next(_numbers)}q")
    yield everything
    everything.wipe()


def carried(everything: Everything, name: str) -> dict[str, str]:
    """The users that a server can carry."""
    out = {everything.prefix + short for short in REFUSED_BY_MONGODB} if name == "mongodb" else set()
    return {user: password for user, password in everything.roster.items() if user not in out}


def roster(everything: Everything, passwords: dict[str, str]) -> dict[str, str]:
    return {everything.prefix + short: password for short, password in passwords.items()}


def clickhouse_login(adapter: Adapter, user: str, password: str, database: str) -> bool:
    """Log in by the vendor's own driver, write and read."""
    server = adapter.server
    where = {"host": server.host, "port": server.port, "database": database, "secure": server.secure}
    try:
        client = clickhouse_connect.get_client(username=user, password=password, ca_cert=server.ca, **where)
    except ClickHouseError:
        return False
    try:
        client.command("CREATE TABLE IF NOT EXISTS driver (n Int32) ENGINE = MergeTree ORDER BY n")
        client.insert("driver", [[1]], column_names=["n"])
        return bool(client.query("SELECT count() FROM driver").result_rows[0][0])
    except ClickHouseError:
        return False
    finally:
        client.close()


def can_work(everything: Everything, name: str, user: str, password: str, database: str) -> bool:
    """By psycopg, PyMySQL, PyMongo, clickhouse-connect."""
    adapter = everything.adapters[name]
    if name == "clickhouse":
        return clickhouse_login(adapter, user, password, database)
    return adapter.can_write(user, password, database)


def everybody_is_at_home(everything: Everything) -> None:
    """Everybody works in own databases, and not in the next user's, with the same password on each server."""
    for name in everything.adapters:
        users = carried(everything, name)
        for user, password in users.items():
            assert can_work(everything, name, user, password, f"{user}_web"), (name, user)
        for (user, password), (neighbour, _) in pairwise(users.items()):
            assert not can_work(everything, name, user, password, f"{neighbour}_web"), (name, user, neighbour)


def sync(everything: Everything, *options: str) -> dict[str, int]:
    """Run on all servers, see that MongoDB alone refuses whom it can't carry, and count the changes of each server."""
    refused = sorted(set(everything.roster) - set(carried(everything, "mongodb")))
    results = everything.results("sync", *options, code=1 if refused else 0)
    for name, result in results.items():
        assert {action["status"] for action in result["actions"]} <= {"done"}, name
        told = [problem["user"] for problem in result["problems"] if not problem["warning"]]
        assert sorted(told) == (refused if name == "mongodb" else []), name
    return {name: len(result["actions"]) for name, result in results.items()}


@pytest.mark.timeout(600)
def test_twenty_users_with_hostile_passwords(everything: Everything) -> None:
    everything.users(roster(everything, PASSWORDS))
    made = sync(everything)
    assert made == {name: 100 if name != "mongodb" else 90 for name in everything.adapters}
    everybody_is_at_home(everything)
    planned = everything.results("plan", code=1)
    assert [result["actions"] for result in planned.values()] == [[]] * len(planned)

    old = everything.roster
    everything.users(roster(everything, NEW))
    changed = sync(everything)
    assert changed == {name: 20 if name != "mongodb" else 18 for name in everything.adapters}
    everybody_is_at_home(everything)
    for name, adapter in everything.adapters.items():
        for user in list(carried(everything, name))[::4]:
            assert not adapter.can_login(user, old[user]), (name, user)

    gone, kept = dict(list(NEW.items())[::2]), dict(list(NEW.items())[1::2])
    everything.users(roster(everything, kept))
    sync(everything, "--max-removals", "all")
    everybody_is_at_home(everything)
    for name, adapter in everything.adapters.items():
        accounts = {user for user in adapter.accounts() if user.startswith(everything.prefix)}
        assert accounts == set(carried(everything, name)), name
        for short in gone:
            assert not any(found.startswith(everything.prefix + short) for found in adapter.databases()), (name, short)
