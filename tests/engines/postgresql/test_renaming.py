"""A role and its databases get other names in one transaction."""

from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

import servers
from dbroster.engines.base import Handler
from dbroster.engines.postgresql.renaming import PostgreSQLRenamer
from dbroster.errors import OperationError
from dbroster.model.state import ExistingDatabase, Lock
from dbroster.passwords.secret import Secret

GOOD, OTHER = Secret("Correct-horse-7"), Secret("Another-staple-8")
LogIn = Callable[[str, str, str], psycopg.Connection]


@pytest.fixture
def database(handler: Handler, user: str) -> str:
    """A finished database of `user`."""
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    return f"{user}_web"


def _is(handler: Handler, name: str, old: str) -> bool:
    """Whether an account and its database are in step under a name, and nothing is left of the other one."""
    users, databases = handler.get_existing_users(), handler.get_existing_databases()
    found = databases[f"{name}_web"]._replace(shared=False)  # with whom a DBA shares it
    there = found == ExistingDatabase(f"{name}_web", owner=name, granted=True, holder=name)
    open_account = users[name].managed and users[name].lock is Lock.OPEN
    return there and open_account and old not in users and f"{old}_web" not in databases


def test_everything_stays_but_the_names(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str, log_in: LogIn
) -> None:
    """A12: by every kind of admin, while bob is in his database; what a DBA has given stays."""
    new = f"{user}r"
    server.admin(f"CREATE ROLE {user}monitor LOGIN; GRANT CONNECT ON DATABASE {database} TO {user}monitor")
    server.admin(f"ALTER ROLE {user} IN DATABASE {database} SET work_mem = '5MB'; GRANT pg_monitor TO {user}")
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        handler.renamer().rename(user, new, OTHER)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert _is(handler, new, user)
    with log_in(new, OTHER.reveal(), f"{new}_web") as session:
        assert session.execute("SELECT n, current_setting('work_mem') FROM t").fetchall() == [(7, "5MB")]
    enters = f"has_database_privilege('{user}monitor', '{new}_web', 'CONNECT')"
    with log_in(new, OTHER.reveal(), f"{new}_web") as session:
        asked = f"SELECT {enters} AND pg_has_role('{new}', 'pg_monitor', 'MEMBER')"
        assert session.execute(asked).fetchone() == (True,)
    handler.drop_database(new, f"{new}_web")
    handler.drop_user(new)


def test_broken_off_before_the_names_change(handler: Handler, user: str, database: str) -> None:
    """A12: it is locked, and closed; a sync opens it again, and so does the second try under the new name."""
    renamer = handler.renamer()
    assert isinstance(renamer, PostgreSQLRenamer)
    renamer.keep_out(user, [database])
    found = handler.get_existing_users()[user], handler.get_existing_databases()[database]
    assert (found[0].lock, found[1].owner, found[1].granted) == (Lock.OURS, user, False)
    handler.update_user_password(user, GOOD)
    handler.grant_privileges(user, database)
    assert _is(handler, user, f"{user}r")
    renamer.keep_out(user, [database])
    handler.renamer().rename(user, f"{user}r", GOOD)
    assert _is(handler, f"{user}r", user)


def test_a_name_that_is_there_changes_nothing(handler: Handler, user: str, database: str) -> None:
    """A12: neither role nor databases; all or nothing."""
    taken = f"{user}r"
    handler.create_user(taken, GOOD)
    with pytest.raises(OperationError):
        handler.renamer().rename(user, taken, GOOD)
    handler.update_user_password(user, GOOD)
    handler.grant_privileges(user, database)
    assert handler.get_existing_databases()[database].granted


def test_what_is_prepared_is_told_beforehand(handler: Handler, user: str, database: str, log_in: LogIn) -> None:
    """A12: dbroster does not decide what becomes of it."""
    assert list(handler.renamer().obstacles(user, [database])) == []
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute("BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'one'")
        (reason,) = handler.renamer().obstacles(user, [database])
        assert f"{user} has prepared a transaction in {database}" in reason
        assert "COMMIT PREPARED 'one'; or ROLLBACK" in reason
        session.execute("ROLLBACK PREPARED 'one'")
    with suppress(OperationError):
        handler.renamer().rename(user, f"{user}r", GOOD)
    assert _is(handler, f"{user}r", user)
