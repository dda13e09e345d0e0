"""ON CLUSTER, as far as it can be seen without a cluster: the real engine parses it and then looks for the cluster."""

from collections.abc import Callable, Iterator

import pytest

from dbroster.config import Connection
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse_facts import replicates_accounts
from dbroster.errors import OperationError
from dbroster.secret import Secret
from tests.contract.adapter_clickhouse import ClickHouseAdapter, quoted

GOOD = Secret("Correct-horse-7")
Describe = Callable[..., Connection]


@pytest.fixture
def clustered(describe: Describe) -> Iterator[Handler]:
    with connect(describe({"cluster": "now-here"})) as handler:
        yield handler


@pytest.fixture
def bob(handler: Handler, prefix: str) -> str:
    """A user with a database, made without a cluster."""
    name = prefix + "bob"
    handler.create_user(name, GOOD)
    handler.create_database(name, f"{name}_web")
    handler.grant_privileges(name, f"{name}_web")
    return name


CHANGES: dict[str, tuple[Callable[[Handler, str], object], str]] = {
    "create_user": (lambda h, bob: h.create_user(bob + "2", GOOD), "CREATE USER `{bob}2`{on} IDENTIFIED"),
    "update_user_password": (lambda h, bob: h.update_user_password(bob, GOOD), "ALTER USER `{bob}`{on} IDENTIFIED"),
    "create_database": (
        lambda h, bob: h.create_database(bob, bob + "_more"),
        "CREATE DATABASE `{bob}_more`{on} COMMENT 'dbroster/2",
    ),
    "grant_privileges": (lambda h, bob: h.grant_privileges(bob, bob + "_web"), "GRANT{on} SELECT, "),
    "lock_user": (lambda h, bob: h.lock_user(bob), "REVOKE{on} ALL ON *.* FROM `{bob}`"),
    "drop_database": (
        lambda h, bob: h.drop_database(bob, bob + "_web"),
        "REVOKE{on} ALL ON `{bob}_web`.* FROM `{bob}`",
    ),
    "drop_user": (lambda h, bob: h.drop_user(bob), "DROP USER IF EXISTS `{bob}`{on}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_goes_to_the_cluster(
    adapter: ClickHouseAdapter, clustered: Handler, bob: str, change: str
) -> None:
    act, statement = CHANGES[change]
    with adapter.changes() as sent, pytest.raises(OperationError) as caught:
        act(clustered, bob)
    assert caught.value.code == "701"  # there is no such cluster
    (line,) = sent
    # the server writes statements with secrets anew, and quotes only what it must
    assert bare(statement.format(bob=bob, on=" ON CLUSTER `now-here`")) in bare(line)
    assert adapter.can_write(bob, GOOD.reveal(), f"{bob}_web"), "nothing was done"


def bare(statement: str) -> str:
    return statement.replace("`", "")


def test_what_comes_after_a_lock_or_a_revoke_goes_there_too(
    adapter: ClickHouseAdapter, handler: Handler, clustered: Handler, bob: str
) -> None:
    handler.lock_user(bob)
    adapter.revoke_by_hand(bob, f"{bob}_web")
    adapter.ask("default", adapter.server.admin_password, f"REVOKE ALL ON {quoted(f'{bob}_web')}.* FROM {quoted(bob)}")
    with adapter.changes() as sent:
        with pytest.raises(OperationError):
            clustered.lock_user(bob)
        with pytest.raises(OperationError):
            clustered.drop_database(bob, f"{bob}_web")
        with pytest.raises(OperationError):
            clustered.update_user_password(bob, GOOD)
    assert sent[0] == f"KILL QUERY ON CLUSTER `now-here` WHERE user = '{bob}' ASYNC"
    assert sent[1] == f"DROP DATABASE IF EXISTS `{bob}_web` ON CLUSTER `now-here` SYNC"
    assert " HOST ANY DEFAULT ROLE ALL ADD SETTING" in sent[2]


def test_the_marker_role_is_made_on_the_cluster(adapter: ClickHouseAdapter, clustered: Handler, prefix: str) -> None:
    with adapter.changes() as sent, pytest.raises(OperationError):
        clustered.prepare()
    assert sent == [f"CREATE ROLE IF NOT EXISTS `dbroster:{prefix}` ON CLUSTER `now-here`"]


def test_an_admin_of_a_cluster_needs_the_privilege_for_it(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str
) -> None:
    """E6: also one that may not even see how accounts are stored."""
    adapter.create_account_by_hand(prefix + "admin", GOOD.reveal())
    with connect(describe({"cluster": "c"}, username=prefix + "admin", password=GOOD)) as handler:
        wanted = handler.missing_privileges([])
    assert "CLUSTER ON *.*" in wanted[0]
    assert wanted[-1].startswith("GRANT ON CLUSTER `c` `dbroster:")


@pytest.mark.parametrize(
    ("directories", "answer"),
    [
        ([("users_xml", 0), ("local_directory", 0)], False),
        ([("users_xml", 0), ("replicated", 0), ("local_directory", 0)], True),
        ([("users.xml", 0), ("local directory", 0), ("replicated", 0)], False),
        ([("users_xml", 0), ("local_directory", 1), ("ldap", 0), ("replicated", 0)], True),
        ([("users_xml", 0)], False),
    ],
)
def test_accounts_go_into_the_first_directory_that_can_be_written(
    directories: list[tuple[str, int]], answer: bool
) -> None:
    """Where that one replicates by itself, ON CLUSTER would create every account twice (493)."""
    assert replicates_accounts(directories) is answer
