"""Whose a database is: what no hand makes by accident, and what its owner can't undo."""

import tracemalloc
from collections.abc import Callable

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.state import ExistingDatabase
from dbroster.passwords.secret import Secret

GOOD = Secret("Correct-horse-7")
LogIn = Callable[[str, str, str], psycopg.Connection]


def state(handler: Handler, database: str) -> ExistingDatabase:
    return handler.get_existing_databases()[database]


def refused(handler: Handler, user: str, database: str) -> None:
    """Nothing that dbroster does may touch it."""
    for change in (handler.create_database, handler.grant_privileges, handler.drop_database):
        with pytest.raises(OperationError, match="left alone"):
            change(user, database)
    assert database in handler.get_existing_databases()


@pytest.fixture
def database(handler: Handler, user: str) -> str:
    """A finished database of `user`."""
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    return f"{user}_web"


def test_renamed_database_is_foreign_and_stays(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str
) -> None:
    """A2: a database that a DBA renames is nobody's, before and after a fresh one of the old name was adopted."""
    server.admin(f"ALTER DATABASE {database} RENAME TO {database}_backup")
    renamed = state(handler, f"{database}_backup")
    assert (renamed.owner, renamed.marked_for, renamed.holder) == (None, database, user)
    refused(handler, user, f"{database}_backup")
    server.admin(f"CREATE DATABASE {database} OWNER {user} TEMPLATE template0")
    assert (state(handler, database).owner, state(handler, database).holder) == (None, user)
    refused(handler, user, database)
    handler.adopt_database(user, database)
    assert state(handler, database).granted
    assert state(handler, f"{database}_backup").owner is None
    refused(handler, user, f"{database}_backup")


def test_database_renamed_before_it_was_finished_is_foreign(
    server: servers.PostgreSQL, handler: Handler, user: str
) -> None:
    """A2, A3: what CREATE DATABASE leaves names itself, too."""
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    assert state(handler, f"{user}_web").owner == user
    server.admin(f"ALTER DATABASE {user}_web RENAME TO {user}_old")
    assert state(handler, f"{user}_old").owner is None
    refused(handler, user, f"{user}_old")


def test_copies_of_a_database_are_foreign(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str
) -> None:
    """A2: neither a copy by TEMPLATE nor one that was given the comment is its user's."""
    server.admin(f"CREATE DATABASE {database}_copy OWNER {user} TEMPLATE {database}")
    assert state(handler, f"{database}_copy").owner is None
    server.admin(f"COMMENT ON DATABASE {database}_copy IS 'dbroster/2 default {user} {database}'")
    assert (state(handler, f"{database}_copy").owner, state(handler, f"{database}_copy").marked_for) == (None, database)
    refused(handler, user, f"{database}_copy")


@pytest.mark.parametrize("limit", [-1, 0, 7])
def test_database_that_a_dba_has_frozen_is_foreign(
    server: servers.PostgreSQL, handler: Handler, user: str, limit: int
) -> None:
    """A3: made by hand for the user and closed, which is a conflict, and neither dropped nor opened."""
    handler.create_user(user, GOOD)
    server.admin(f"CREATE DATABASE {user}_legal OWNER {user} TEMPLATE template0")
    server.admin(f"ALTER DATABASE {user}_legal ALLOW_CONNECTIONS false CONNECTION LIMIT {limit}")
    found = state(handler, f"{user}_legal")
    assert (found.owner, found.holder, found.usable, found.protected) == (None, user, True, None)
    refused(handler, user, f"{user}_legal")


@pytest.mark.parametrize(
    "trick",
    [
        "COMMENT ON DATABASE {database} IS NULL",
        "COMMENT ON DATABASE {database} IS 'mine'",
        "COMMENT ON DATABASE {database} IS 'dbroster/2 default alice {database}'",
        "COMMENT ON DATABASE {database} IS 'dbroster/2 default {user} alice_web'",
        "COMMENT ON DATABASE {database} IS 'dbroster/2 team-b {user} {database}'",
        "ALTER DATABASE {database} IS_TEMPLATE true",
        "ALTER DATABASE {database} RESET ALL",
        "ALTER ROLE ALL IN DATABASE {database} RESET ALL",
        "REVOKE ALL ON DATABASE {database} FROM {user}",
        "ALTER DATABASE {database} CONNECTION LIMIT 0",
        "ALTER DATABASE {database} SET local_preload_libraries = 'nope'",
        "ALTER DATABASE {database} SET statement_timeout = '1ms'",
        "ALTER ROLE {user} SET role = 'none'",
        "DROP OWNED BY {user}",
    ],
)
def test_owner_can_neither_keep_his_database_nor_make_it_foreign(
    handler: Handler, user: str, database: str, log_in: LogIn, trick: str
) -> None:
    """A2, B4: he can change much about it, and none of that keeps the next run from mending it or dropping it."""
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(trick.format(user=user, database=database))
    found = state(handler, database)
    assert (found.owner, found.marked_for) == (user, None)
    handler.grant_privileges(user, database)
    assert state(handler, database).granted
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute(trick.format(user=user, database=database))
    handler.lock_user(user)
    handler.drop_database(user, database)
    handler.drop_user(user)
    assert database not in handler.get_existing_databases()


def test_owner_cannot_reach_what_marks_his_database(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str, log_in: LogIn
) -> None:
    """A2: the setting of the marker role is not his."""
    with log_in(user, GOOD.reveal(), database) as session:
        for change in ("RESET ALL", "RESET application_name", "SET application_name = 'mine'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f'ALTER ROLE "dbroster:default" IN DATABASE {database} {change}')
    assert state(handler, database).granted


def test_comment_of_any_length_costs_no_run_its_memory(
    handler: Handler, user: str, database: str, log_in: LogIn
) -> None:
    """X2: an owner may write a gigabyte, which each run has read."""
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(
            "DO $$ BEGIN EXECUTE"
            " format('COMMENT ON DATABASE %I IS %L', current_database(), repeat('x', 50000000)); END $$"
        )
    tracemalloc.start()
    try:
        found = handler.get_existing_databases()[database]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 25_000_000
    assert (found.owner, found.granted) == (user, False)
    handler.grant_privileges(user, database)
    assert handler.get_existing_databases()[database].granted


def test_comment_proves_where_the_marker_role_was_lost(
    server: servers.PostgreSQL, describe: Callable[..., Connection], user: str
) -> None:
    """A2: a DROP ROLE takes all settings with it; the comment still proves, and the next run writes them anew."""
    with connect(describe(roster="lost")) as handler:
        handler.create_user(user, GOOD)
        handler.create_database(user, f"{user}_web")
        handler.grant_privileges(user, f"{user}_web")
        server.admin('DROP ROLE "dbroster:lost"')
    with connect(describe(roster="lost")) as handler:
        assert state(handler, f"{user}_web").owner == user
        assert not state(handler, f"{user}_web").granted
        handler.prepare()
        handler.grant_privileges(user, f"{user}_web")
        assert state(handler, f"{user}_web").granted


def test_database_given_to_somebody_else_is_his(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str
) -> None:
    """A2: the marker counts only for the owner whom it names."""
    handler.create_user(f"{user}x", GOOD)
    server.admin(f"ALTER DATABASE {database} OWNER TO {user}x")
    found = state(handler, database)
    assert (found.owner, found.holder) == (None, f"{user}x")
    refused(handler, user, database)


def test_what_a_removed_user_has_left_is_known(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    """A10: the owner changed, the account went: the marker still says whose it was."""
    superuser.create_user(user, GOOD)
    superuser.create_database(user, f"{user}_web")
    superuser.grant_privileges(user, f"{user}_web")
    server.admin(f"REASSIGN OWNED BY {user} TO {server.admin_user}")
    server.admin(f"DROP OWNED BY {user}; DROP ROLE {user}")
    found = state(superuser, f"{user}_web")
    assert (found.owner, found.left_by, found.holder) == (None, user, server.admin_user)


def test_role_renamed_by_a_dba_is_named_and_left_alone(
    server: servers.PostgreSQL, superuser: Handler, user: str
) -> None:
    """A4: the marker names its account; the database that went along is nobody's, and its owner is named."""
    superuser.create_user(user, GOOD)
    superuser.create_database(user, f"{user}_web")
    superuser.grant_privileges(user, f"{user}_web")
    server.admin(f"ALTER ROLE {user} RENAME TO {user}robert")
    renamed = superuser.get_existing_users()[f"{user}robert"]
    assert (renamed.managed, renamed.marked_for, renamed.roster) == (False, user, None)
    found = state(superuser, f"{user}_web")
    assert (found.owner, found.holder) == (None, f"{user}robert")


def test_drop_that_was_broken_off_is_still_ours(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    """C1: also that of a database that was never finished, whose own mark the broken drop has overwritten."""
    handler.create_user(user, GOOD)
    for template in ("web", "old"):
        handler.create_database(user, f"{user}_{template}")
    server.admin(f"ALTER DATABASE {user}_old IS_TEMPLATE true")
    server.admin(f"ALTER DATABASE {user}_old IS_TEMPLATE false")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dbroster.engines.postgresql.statements.drop_database", lambda _: _nothing())
        for template in ("web", "old"):
            handler.drop_database(user, f"{user}_{template}")
    server.admin(f"UPDATE pg_database SET datconnlimit = -2 WHERE datname IN ('{user}_web', '{user}_old')")
    found = state(handler, f"{user}_web")
    assert (found.owner, found.usable) == (user, False)
    with pytest.raises(OperationError, match="only be dropped"):
        handler.grant_privileges(user, f"{user}_web")
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    assert state(handler, f"{user}_web").granted
    handler.drop_database(user, f"{user}_old")
    assert f"{user}_old" not in handler.get_existing_databases()


def _nothing() -> "psycopg.sql.Composable":
    return psycopg.sql.SQL("SELECT 1")


@pytest.fixture
def second_admin(server: servers.PostgreSQL, user: str) -> str:
    name = f"{user}admin"
    server.admin(f"CREATE ROLE {name} LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'")
    return name


def test_admin_who_has_not_made_the_marker_role_is_told(
    server: servers.PostgreSQL, describe: Callable[..., Connection], second_admin: str, user: str
) -> None:
    """A2, C7: since PostgreSQL 16 another admin needs the marker role; `missing_privileges` gives the statement."""
    with connect(describe(roster="shared")) as first:
        first.prepare()
    with connect(describe(second_admin, roster="shared")) as second:
        missing = second.missing_privileges(["web"])
        if second.server().product < "PostgreSQL 16":
            assert missing == []
        else:
            assert missing == [f'GRANT "dbroster:shared" TO "{second_admin}" WITH ADMIN OPTION;']
            server.admin(missing[0])
        assert second.missing_privileges(["web"]) == []
        second.create_user(user, GOOD)
        second.create_database(user, f"{user}_web")
        second.grant_privileges(user, f"{user}_web")
        assert state(second, f"{user}_web").granted


def test_marker_roles_are_no_accounts(handler: Handler, database: str) -> None:
    """A11: nobody sees them as users, however many rosters there are."""
    assert not [name for name in handler.get_existing_users() if name.startswith("dbroster:")]


def test_database_of_another_roster_is_protected(
    server: servers.PostgreSQL, describe: Callable[..., Connection], superuser: Handler, user: str
) -> None:
    """A2: also after it was given to somebody who is no user at all."""
    with connect(describe(roster="team-b")) as other:
        other.create_user(user, GOOD)
        other.create_database(user, f"{user}_web")
        other.grant_privileges(user, f"{user}_web")
    server.admin(f"ALTER DATABASE {user}_web OWNER TO {server.admin_user}")
    assert "team-b" in (state(superuser, f"{user}_web").protected or "")
