"""Databases: who owns them, who gets in, and what interrupted runs leave behind."""

from collections.abc import Callable

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.state import ExistingDatabase
from dbroster.passwords.secret import Secret

GOOD = Secret("Correct-horse-7")
LogIn = Callable[[str, str, str], psycopg.Connection]


def state(handler: Handler, database: str) -> ExistingDatabase:
    return handler.get_existing_databases()[database]


@pytest.fixture
def database(handler: Handler, user: str) -> str:
    """A finished database of `user`."""
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    return f"{user}_web"


def test_create_grant_and_drop_with_every_kind_of_admin(handler: Handler, user: str, log_in: LogIn) -> None:
    name = f"{user}_web"
    handler.create_user(user, GOOD)
    handler.create_database(user, name)
    handler.create_database(user, name)
    found = state(handler, name)
    assert (found.owner, found.granted, found.holder) == (user, False, user)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        log_in(user, GOOD.reveal(), name)
    handler.grant_privileges(user, name)
    handler.grant_privileges(user, name)
    assert state(handler, name) == ExistingDatabase(name, owner=user, granted=True, holder=user)
    with log_in(user, GOOD.reveal(), name) as session:
        session.execute("CREATE TABLE t (n int); CREATE SCHEMA s; CREATE TEMP TABLE u (n int)")
        handler.drop_database(user, name)  # while somebody is connected
    handler.drop_database(user, name)
    assert name not in handler.get_existing_databases()


def test_other_users_do_not_get_in(handler: Handler, user: str, database: str, log_in: LogIn) -> None:
    handler.create_user(f"{user}x", GOOD)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        log_in(f"{user}x", GOOD.reveal(), database)


def test_owner_cannot_open_the_database_for_others_for_long(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str, log_in: LogIn
) -> None:
    friend = f"{user}x"
    handler.create_user(friend, GOOD)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
        session.execute(f"GRANT CREATE ON DATABASE {database} TO {friend} WITH GRANT OPTION")
    assert not state(handler, database).granted
    handler.grant_privileges(user, database)
    assert state(handler, database).granted
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        log_in(friend, GOOD.reveal(), database)


def test_role_that_has_lent_itself_is_taken_back(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str
) -> None:
    friend = f"{user}x"
    handler.create_user(friend, GOOD)
    # what a role of PostgreSQL 13 and 14 can do by itself; 15 lets a superuser do it in its name, 16 nobody
    lent = server.client(
        server.admin_user, server.admin_password, "postgres", f"GRANT {user} TO {friend} GRANTED BY {user}"
    )
    if lent.returncode:
        assert "ADMIN option" in lent.stderr
        return
    assert not state(handler, database).granted
    handler.grant_privileges(user, database)
    assert state(handler, database).granted


@pytest.mark.parametrize(
    "damage",
    [
        "REVOKE CREATE ON DATABASE {database} FROM {user}",
        "ALTER DATABASE {database} CONNECTION LIMIT 3",
        "ALTER DATABASE {database} ALLOW_CONNECTIONS false",
    ],
)
def test_grant_mends_what_somebody_has_changed(
    server: servers.PostgreSQL, handler: Handler, user: str, database: str, damage: str
) -> None:
    server.admin(damage.format(user=user, database=database))
    assert not state(handler, database).granted
    assert state(handler, database).owner == user
    handler.grant_privileges(user, database)
    assert state(handler, database).granted


@pytest.mark.parametrize("name", ["{user}web", "other_{user}", "{user}"])
def test_forged_marker_on_a_database_of_another_name_proves_nothing(
    server: servers.PostgreSQL, superuser: Handler, user: str, name: str
) -> None:
    superuser.create_user(user, GOOD)
    database = name.format(user=user)
    server.admin(f"CREATE DATABASE {database} OWNER {user} TEMPLATE template0")
    server.admin(f"COMMENT ON DATABASE {database} IS 'dbroster/2 default {user} {database}'")
    assert state(superuser, database).owner is None
    with pytest.raises(OperationError, match="left alone"):
        superuser.drop_database(user, database)


def test_foreign_database_of_our_name_is_not_touched(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    handler.create_user(user, GOOD)
    server.admin(f"CREATE DATABASE {user}_web TEMPLATE template0")
    for change in (handler.create_database, handler.grant_privileges, handler.drop_database):
        with pytest.raises(OperationError, match="left alone"):
            change(user, f"{user}_web")


def test_adopting_a_database(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    superuser.create_user(user, GOOD)
    server.admin(f"CREATE DATABASE {user}_web TEMPLATE template0")
    superuser.adopt_database(user, f"{user}_web")
    assert state(superuser, f"{user}_web") == ExistingDatabase(f"{user}_web", owner=user, granted=True, holder=user)
    for name, reason in (("postgres", "system"), ("template1", "template"), (f"{user}_gone", "no database")):
        with pytest.raises(OperationError, match=reason):
            superuser.adopt_database(user, name)


def test_databases_that_may_never_be_adopted(
    describe: Callable[..., Connection], superuser: Handler, user: str
) -> None:
    with connect(describe(roster="team-b")) as other:
        other.create_user(user, GOOD)
        other.create_database(user, f"{user}_web")
    found = superuser.get_existing_databases()
    assert "team-b" in (found[f"{user}_web"].protected or "")
    assert all(found[name].protected for name in ("postgres", "template0", "template1"))
    with connect(describe(protected=frozenset({f"{user}_web"}), roster="team-b")) as other:
        assert other.get_existing_databases()[f"{user}_web"].protected


def test_interrupted_drop_is_made_good_again(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    superuser.create_user(user, GOOD)
    for name in (f"{user}_web", f"{user}_old"):
        superuser.create_database(user, name)
        superuser.grant_privileges(user, name)
        server.admin(f"UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{name}'")
        assert not state(superuser, name).usable
        assert state(superuser, name).owner == user
    superuser.drop_database(user, f"{user}_old")
    superuser.create_database(user, f"{user}_web")
    superuser.grant_privileges(user, f"{user}_web")
    assert state(superuser, f"{user}_web").granted
    assert f"{user}_old" not in superuser.get_existing_databases()


def test_options_of_a_database(server: servers.PostgreSQL, describe: Callable[..., Connection], user: str) -> None:
    options = {"connection_limit": 7, "encoding": "LATIN1", "locale": "C"}
    with connect(describe(options=options)) as handler:
        handler.create_user(user, GOOD)
        handler.create_database(user, f"{user}_web")
        handler.grant_privileges(user, f"{user}_web")
        assert state(handler, f"{user}_web").granted
    columns = "pg_encoding_to_char(encoding) || ' ' || datcollate || ' ' || datconnlimit"
    assert "LATIN1 C 7" in server.admin(f"SELECT {columns} FROM pg_database WHERE datname = '{user}_web'")


def test_one_bad_database_in_a_batch_fails_alone(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    handler.create_user(user, GOOD)
    names = [f"{user}_{number}" for number in range(3)]
    for name in names:
        handler.create_database(user, name)
    server.admin(f"ALTER DATABASE {names[1]} OWNER TO {server.admin_user}")
    outcomes = handler.perform_all([Action(Verb.GRANT_PRIVILEGES, user, name) for name in names])
    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED, Status.DONE]
    assert state(handler, names[2]).granted


def test_no_session_ever_enters_a_users_database(
    handler: Handler, user: str, database: str, logged: Callable[[], str]
) -> None:
    handler.drop_database(user, database)
    assert "database=postgres" in logged() or "statement:" in logged()
    assert f"database={database}" not in logged()


def test_every_kind_of_admin_learns_how_large_the_databases_are(handler: Handler, user: str, database: str) -> None:
    assert handler.database_sizes([database, f"{user}_gone"]).keys() == {database}
    handler.lock_user(user)
    handler.archiver().close(user, database)
    assert handler.database_sizes([database])[database] > 1_000_000
