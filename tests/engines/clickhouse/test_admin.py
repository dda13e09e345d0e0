"""Who may be admin, what is refused, the lock, and what errors say."""

from collections.abc import Callable

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse import sync_lock as clickhouse_lock
from dbroster.engines.clickhouse.beforehand.cluster_checks import replicates_accounts
from dbroster.errors import ConnectError, OperationError, SyncLockHeld, UnsupportedServer
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted

GOOD = Secret("Correct-horse-7")
OTHER = Secret("Another-staple-8")
Describe = Callable[..., Connection]


def check(handler: Handler, user: str, password: Secret) -> PasswordCheck:
    return handler.check_passwords([User(user, password, 1)], handler.get_existing_users())[user]


# --- connecting -------------------------------------------------------------------------------------------------------


def test_wrong_admin_password_is_a_connect_error_without_the_password(describe: Describe) -> None:
    with pytest.raises(ConnectError) as caught:
        connect(describe(password=Secret("not-the-password-1")))
    assert "not-the-password" not in repr(caught.value)
    assert "Authentication failed" in str(caught.value)


def test_nobody_at_home(describe: Describe) -> None:
    with pytest.raises(ConnectError, match=r"no answer from ClickHouse at 127\.0\.0\.1:1"):
        connect(describe(port=1))


def test_too_old(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbroster.engines.clickhouse.beforehand.server_checks.OLDEST", (99, 1))
    with pytest.raises(UnsupportedServer, match=r"99\.1 or newer"):
        connect(describe())


# --- the least-privileged admin ---------------------------------------------------------------------------------------


def test_what_is_missing_is_all_that_an_admin_needs(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str
) -> None:
    """Every statement that is asked for is run as it stands; then the admin does everything that a sync does."""
    admin, bob, al = prefix + "admin", prefix + "bob", prefix + "al"
    adapter.create_account_by_hand(admin, GOOD.reveal())
    mine = describe(username=admin, password=GOOD)
    with connect(mine) as handler:
        wanted = handler.missing_privileges(["web"])
        assert len(wanted) == 4
        for statement in wanted:
            adapter.ask(adapter.server.admin_user, adapter.server.admin_password, statement.rstrip(";"))
    with connect(mine) as handler:
        assert handler.missing_privileges(["web"]) == []
        handler.prepare()
        for user in (bob, al):
            handler.create_user(user, GOOD)
            handler.create_database(user, f"{user}_web")
            handler.grant_privileges(user, f"{user}_web")
        adapter.share_by_hand(al, f"{bob}_web")
        handler.grant_privileges(bob, f"{bob}_web")
        assert adapter.can_write(bob, GOOD.reveal(), f"{bob}_web")
        assert not adapter.can_read(al, GOOD.reveal(), f"{bob}_web")
        assert handler.database_sizes([f"{bob}_web"])[f"{bob}_web"] > 0
        assert handler.get_existing_databases()[f"{bob}_web"].granted
        assert check(handler, bob, OTHER) is PasswordCheck.DIFFERENT
        handler.update_user_password(bob, OTHER)
        assert check(handler, bob, OTHER) is PasswordCheck.SAME
        handler.lock_user(bob)
        handler.update_user_password(bob, GOOD)
        handler.lock_user(bob)
        handler.drop_database(bob, f"{bob}_web")
        handler.drop_user(bob)
        assert "KILL QUERY" in " ".join(problem.text for problem in handler.warnings())
        assert handler.get_existing_users()[admin].protected
        assert not handler.get_existing_users()[admin].managed
    assert bob not in adapter.accounts()


def test_settings_of_the_admin_hide_nothing(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """C10: a profile that limits results, or makes NULLs of joins, as tools for reports ask for."""
    admin = prefix + "admin"
    adapter.create_account_by_hand(admin, GOOD.reveal())
    adapter._do(f"GRANT ALL ON *.* TO {quoted(admin)} WITH GRANT OPTION")
    odd = "limit = 1, max_result_rows = 1, result_overflow_mode = 'break', join_use_nulls = 1, max_execution_time = 1"
    odd += ", aggregate_functions_null_for_empty = 1"
    adapter._do(f"ALTER USER {quoted(admin)} SETTINGS {odd}")
    handler.create_user(prefix + "bob", GOOD)
    with connect(describe(username=admin, password=GOOD)) as other:
        mine, theirs = handler.get_existing_users(), other.get_existing_users()
        assert theirs.keys() == mine.keys()
        assert theirs[prefix + "bob"] == mine[prefix + "bob"]
        assert other.get_existing_databases().keys() == handler.get_existing_databases().keys()


def test_who_has_the_marker_with_admin_option_is_no_account_of_the_roster(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str
) -> None:
    dba = prefix + "dba"
    adapter.create_account_by_hand(dba, GOOD.reveal())
    adapter.ask(
        adapter.server.admin_user,
        adapter.server.admin_password,
        f"GRANT {quoted('dbroster:' + prefix)} TO {quoted(dba)} WITH ADMIN OPTION",
    )
    assert not handler.get_existing_users()[dba].managed


def test_who_manages_accounts_is_never_adopted(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    dba = prefix + "dba"
    adapter.create_account_by_hand(dba, GOOD.reveal())
    adapter.ask(adapter.server.admin_user, adapter.server.admin_password, f"GRANT CREATE USER ON *.* TO {quoted(dba)}")
    assert handler.get_existing_users()[dba].protected == "it may manage accounts"
    with pytest.raises(OperationError, match="may manage accounts"):
        handler.adopt_user(dba, OTHER)


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_names_its_holder(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_lock, "PATIENCE", 0.0)
    with connect(describe()) as first, connect(describe()) as second:
        first.acquire_sync_lock()
        with pytest.raises(SyncLockHeld, match=r"dbroster \d+@\S+ \w+ \(default\) from 127.0.0.1 since \d+ s"):
            second.acquire_sync_lock()


def test_a_users_query_that_looks_like_the_lock_is_none(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1: whoever does not manage accounts is no admin of a sync; an account that does is one, also by a role."""
    bob, role = prefix + "bob", prefix + "admins"
    handler.create_user(bob, GOOD)
    with adapter.hold_lock_as(bob, GOOD.reveal()), connect(describe()) as first:
        first.acquire_sync_lock()
    adapter._do(f"CREATE ROLE {quoted(role)}")
    adapter._do(f"GRANT CREATE USER ON *.* TO {quoted(role)}")
    adapter._do(f"GRANT {quoted(role)} TO {quoted(bob)}")
    monkeypatch.setattr(clickhouse_lock, "PATIENCE", 2.0)
    told = pytest.raises(SyncLockHeld, match="KILL QUERY WHERE query_id = 'dbroster-sync-1'")
    with adapter.hold_lock_as(bob, GOOD.reveal()), connect(describe()) as second, told:
        second.acquire_sync_lock()
    adapter._do(f"DROP ROLE {quoted(role)}")


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_syntax_error_never_quotes_the_statement(describe: Describe) -> None:
    with connect(describe({"database_engine": "Nonsense('tell-tale"})) as handler:
        handler.prepare()
        user = f"{handler.connection.roster}bob"
        handler.create_user(user, GOOD)
        with pytest.raises(OperationError) as caught:
            handler.create_database(user, f"{user}_web")
    assert "tell-tale" not in str(caught.value)
    assert caught.value.code == "62"


def test_an_unknown_cluster_is_named(describe: Describe) -> None:
    """E8: at the start, with those that the server knows."""
    with pytest.raises(UnsupportedServer, match=r"knows no cluster 'nowhere' \(it knows: none\)"):
        connect(describe({"cluster": "nowhere"}))


def test_an_admin_of_a_cluster_needs_the_privileges_for_it(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str
) -> None:
    """E6: also one that may not even see which clusters there are."""
    adapter.create_account_by_hand(prefix + "admin", GOOD.reveal())
    with connect(describe({"cluster": "c"}, username=prefix + "admin", password=GOOD)) as handler:
        wanted = handler.missing_privileges([])
    assert wanted[0].startswith("GRANT ON CLUSTER `c` ")
    assert "CLUSTER, REMOTE ON *.*" in wanted[0]
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
