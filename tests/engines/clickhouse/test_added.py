"""What a DBA has added to accounts: roles, which the locked lose, and other ways to log in, which are told."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.model.connection import Connection, Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from servers import ClickHouse
from servers.process import free_port
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_markers import GOOD, make
from tests.servers.available import available


@pytest.fixture(scope="module")
def native() -> Iterator[tuple[ClickHouseAdapter, int]]:
    """A server that takes logins that last, too."""
    port = free_port()
    with available(lambda: ClickHouse(options={"mysql_port": str(port)})) as server:
        adapter = ClickHouseAdapter(server)
        yield adapter, port
        adapter.close()


@contextmanager
def readers(adapter: ClickHouseAdapter, prefix: str, *users: str) -> Iterator[str]:
    """A role, quoted, that opens a table of the company's."""
    role, shared = quoted(f"{prefix}readers"), quoted(f"{prefix}shared")
    for statement in (
        f"CREATE DATABASE {shared}",
        f"CREATE TABLE {shared}.t (x String) ENGINE = MergeTree ORDER BY x",
        f"INSERT INTO {shared}.t VALUES ('company data')",
        f"CREATE ROLE {role}",
        f"GRANT SELECT, INSERT ON {shared}.* TO {role}",
        *(f"GRANT {role} TO {quoted(user)}" for user in users),
        *(f"ALTER USER {quoted(user)} DEFAULT ROLE ALL" for user in users),
    ):
        adapter._do(statement)
    yield role
    adapter._do(f"DROP ROLE {role}")


def lock(handler: Handler, user: str) -> str | None:
    (outcome,) = handler.perform_all([Action(Verb.LOCK_USER, user)])
    assert outcome.status is Status.DONE
    return outcome.note


def told(handler: Handler, what: str = "is locked, but still has") -> str:
    handler.get_existing_users()
    handler.get_existing_databases()
    return "\n".join(problem.text for problem in handler.warnings() if what in problem.text)


def given(adapter: ClickHouseAdapter, user: str) -> set[str]:
    return adapter._names(
        f"SELECT granted_role_name FROM system.role_grants WHERE user_name = '{user}'"
        " AND NOT startsWith(granted_role_name, 'dbroster:')"
    )


@pytest.mark.parametrize("days", [14, 0])
def test_a_session_that_is_open_loses_what_a_role_gives(
    native: tuple[ClickHouseAdapter, int], tmp_path: Path, days: int
) -> None:
    """J5: it went on reading and writing through all days of grace; what is for new sessions does not count for it."""
    (adapter, port), prefix = native, f"n{days}"
    connection = adapter.connection(tmp_path, prefix)._replace(removals=Removals(grace_days=days))
    with connect(connection) as handler:
        handler.prepare()
        bob = make(handler, f"{prefix}bob")
        with (
            readers(adapter, prefix, bob) as role,
            closing(pymysql.connect(host="127.0.0.1", port=port, user=bob, password=GOOD.reveal())) as session,
        ):
            cursor, table = session.cursor(), f"{quoted(f'{prefix}shared')}.t"
            cursor.execute(f"SELECT x FROM {table}")
            assert list(cursor.fetchall()) == [("company data",)]
            note = lock(handler, bob)
            for statement in (f"SELECT x FROM {table}", f"INSERT INTO {table} VALUES ('by the leaver')"):
                with pytest.raises(pymysql.MySQLError, match="Not enough privileges"):
                    cursor.execute(statement)
            assert f"GRANT {role} TO {quoted(bob)};" in (note or "")
            assert not told(handler)


def test_a_role_that_the_admin_can_not_take_is_told_in_each_run(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], prefix: str
) -> None:
    """J5: when the user is locked, and in every later run, until another administrator has taken it."""
    admin, bob = f"{prefix}adm", f"{prefix}bob"
    adapter.create_account_by_hand(admin, GOOD.reveal())
    limited = describe(username=admin, password=GOOD)
    with connect(limited) as weak:
        for statement in weak.missing_privileges(["web"]):
            adapter._do(statement.rstrip(";"))
    with connect(limited) as weak:
        make(weak, bob)
        with readers(adapter, prefix, bob) as role:
            assert not told(weak)
            revoke = f"REVOKE {role} FROM {quoted(bob)};"
            assert revoke in (lock(weak, bob) or "")
            assert weak.get_existing_users()[bob].lock is Lock.OURS
            for _ in range(2):
                assert revoke in told(weak)
            adapter._do(revoke.rstrip(";"))
            assert not told(weak)


def test_roles_that_can_be_taken_are_taken_beside_one_that_can_not(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], prefix: str
) -> None:
    """J5: an admin needs the role with admin option, or ROLE ADMIN; each role counts for itself."""
    admin, bob, mine = f"{prefix}adm", f"{prefix}bob", f"{prefix}mine"
    adapter.create_account_by_hand(admin, GOOD.reveal())
    limited = describe(username=admin, password=GOOD)
    with connect(limited) as weak:
        for statement in weak.missing_privileges(["web"]):
            adapter._do(statement.rstrip(";"))
    with connect(limited) as weak:
        make(weak, bob)
        with readers(adapter, prefix, bob) as role:
            adapter._do(f"CREATE ROLE {quoted(mine)}")
            adapter._do(f"GRANT {quoted(mine)} TO {quoted(admin)} WITH ADMIN OPTION")
            adapter._do(f"GRANT {quoted(mine)} TO {quoted(bob)} WITH ADMIN OPTION")
            note = lock(weak, bob) or ""
            assert given(adapter, bob) == {f"{prefix}readers"}
            assert f"REVOKE {role} FROM {quoted(bob)};" in note
            assert f"GRANT {quoted(mine)} TO {quoted(bob)};" in note
            adapter._do(f"DROP ROLE {quoted(mine)}")


def test_a_lock_of_a_dba_keeps_its_roles_in_days_of_grace(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], prefix: str
) -> None:
    """J5: it is left exactly as it is."""
    bob = f"{prefix}bob"
    with connect(describe(removals=Removals(grace_days=14))) as handler:
        handler.prepare()
        make(handler, bob)
        with readers(adapter, prefix, bob):
            adapter.lock_by_hand(bob)
            assert lock(handler, bob) is None
            assert given(adapter, bob) == {f"{prefix}readers"}


def test_a_second_password_is_told_in_each_run(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    """J8, B8: while the one in users.txt is right, nothing else shows it; the statement that is told ends it."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there is one method only
    bob, backdoor = make(handler, f"{prefix}bob"), "third-Password-3"
    user = User(bob, GOOD, 1)
    assert not told(handler, "ways")
    adapter._do(f"ALTER USER {quoted(bob)} ADD IDENTIFIED WITH plaintext_password BY '{backdoor}'")
    assert handler.check_passwords([user], handler.get_existing_users())[bob] is PasswordCheck.SAME
    for _ in range(2):
        text = told(handler, f"{bob} can log in in 2 ways (sha256_password, plaintext_password)")
    adapter._do(text.rpartition(": ")[2].rstrip(";"))
    assert not told(handler, "ways")
    assert handler.check_passwords([user], handler.get_existing_users())[bob] is PasswordCheck.DIFFERENT
    handler.update_user_password(bob, GOOD)
    assert not adapter.can_login(bob, backdoor)


def test_a_second_password_of_who_is_locked_is_told_no_more(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str
) -> None:
    """J8: HOST NONE counts for every way."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there is one method only
    bob, backdoor = make(handler, f"{prefix}bob"), "third-Password-3"
    adapter._do(f"ALTER USER {quoted(bob)} ADD IDENTIFIED WITH plaintext_password BY '{backdoor}'")
    lock(handler, bob)
    assert not told(handler, "ways")
    assert not adapter.can_login(bob, backdoor)
