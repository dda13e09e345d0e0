"""What a plan asks for and the server must refuse is told before it is tried, with what mends it."""

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
from dbroster.passwords.secret import Secret

GOOD = Secret("Correct-horse-7")
Describe = Callable[..., Connection]
LogIn = Callable[[str, str, str], psycopg.Connection]


def make(handler: Handler, user: str) -> str:
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    return f"{user}_web"


def removal(user: str) -> list[Action]:
    database = f"{user}_web"
    return [Action(Verb.LOCK_USER, user), Action(Verb.DROP_DATABASE, user, database), Action(Verb.DROP_USER, user)]


def statement(text: str, after: str) -> str:
    return text.partition(after)[2].partition(" Until")[0]


def done(handler: Handler, actions: list[Action]) -> None:
    """It was nothing but what was foreseen."""
    assert handler.foresee(actions) == [None] * len(actions)
    for action in actions:
        (outcome,) = handler.perform_all([action])
        assert outcome.status is Status.DONE, outcome.error


def test_plan_without_obstacles(handler: Handler, user: str, log_in: LogIn) -> None:
    """C7: privileges that the plan itself takes back, and what ends with a session, are no obstacles."""
    database, friend = make(handler, user), f"{user}x"
    own = make(handler, friend)
    with log_in(friend, GOOD.reveal(), own) as session:
        session.execute(f"GRANT CONNECT ON DATABASE {own} TO {user}")
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute("CREATE TEMP TABLE passing (n int)")
        grant = Action(Verb.GRANT_PRIVILEGES, friend, own)
        done(handler, [grant, *removal(user)])
        session.close()
    assert database not in handler.get_existing_databases()


def test_role_that_owns_something_elsewhere(
    server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn
) -> None:
    """C7, C8: the object, its database and the statements are named; before, and by the drop itself."""
    make(handler, user)
    server.admin(f"CREATE DATABASE shared_{user}")
    tables = "; ".join(f"CREATE TABLE public.t{n} (); ALTER TABLE t{n} OWNER TO {user}" for n in range(5))
    server.admin(f"{tables}; CREATE TABLE lent (); GRANT SELECT ON lent TO {user}", f"shared_{user}")
    lock, drop, last = handler.foresee(removal(user))
    assert (lock, drop) == (None, None)
    assert last
    for shown in (
        "table public.t0, table public.t1",
        "and 3 more in",
        f"connect to shared_{user} and run DROP OWNED BY",
    ):
        assert shown in last
    handler.lock_user(user)
    handler.drop_database(user, f"{user}_web")
    with pytest.raises(OperationError, match=f"table public.t0.* in shared_{user}.*REASSIGN OWNED"):
        handler.drop_user(user)
    server.admin(statement(last, " and run ").partition(" or, ")[0], f"shared_{user}")
    done(handler, [Action(Verb.DROP_USER, user)])


def test_role_that_has_another_database(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    """C7: one that it owns, and one that it has privileges on."""
    make(handler, user)
    server.admin(f"CREATE DATABASE {user}_hand OWNER {user}")
    server.admin(f"CREATE DATABASE lent_{user}")
    server.admin(f"GRANT CONNECT ON DATABASE lent_{user} TO {user}")
    *_, last = handler.foresee(removal(user))
    assert last
    assert f"database {user}_hand" in last
    assert f"privileges on database lent_{user}" in last
    for each in statement(last, ": it still has ").partition(": ")[2].split("; "):
        server.admin(each)
    done(handler, removal(user))


def test_role_that_has_something_of_the_server_itself(
    server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn
) -> None:
    """C7: privileges on a tablespace and a parameter, and a membership that it has given, are no defect but named."""
    make(handler, user)
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        named = ["privileges on tablespace pg_default"]
        dba.execute(f"GRANT CREATE ON TABLESPACE pg_default TO {user}")
        if dba.info.server_version >= 150000:
            dba.execute(f"GRANT SET ON PARAMETER work_mem TO {user}")
            named.append("privileges on parameter work_mem")
        dba.execute(f"CREATE ROLE team_{user}; CREATE ROLE mate_{user}; GRANT team_{user} TO {user} WITH ADMIN OPTION")
        dba.execute(f"SET ROLE {user}; GRANT team_{user} TO mate_{user}; RESET ROLE")
        if dba.info.server_version >= 160000:
            named.append(f"privileges on membership of role mate_{user} in role team_{user}")
        *others, last = handler.foresee(removal(user))
        assert others == [None, None]
        assert last
        for each in named:
            assert each in last
        handler.lock_user(user)
        handler.drop_database(user, f"{user}_web")
        with pytest.raises(OperationError) as refused:
            handler.drop_user(user)
        assert all(each in str(refused.value) for each in named)
        dba.execute("DROP OWNED BY" + statement(last, ": DROP OWNED BY"))
        done(handler, [Action(Verb.DROP_USER, user)])


def test_database_that_a_dba_holds(server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn) -> None:
    """C7: by a prepared transaction; the template flag and the users' own ones are no obstacle."""
    database = make(handler, user)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(f"ALTER DATABASE {database} IS_TEMPLATE true")
        session.execute(f"BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'own {database}'")
    with log_in(server.admin_user, server.admin_password, database) as session:
        session.execute(f"BEGIN; CREATE TABLE u (n int); PREPARE TRANSACTION 'dba {database}'")
        _, drop, _ = handler.foresee(removal(user))
        assert drop
        assert "own" not in drop
        session.execute(statement(drop, "roll it back there: "))
    done(handler, removal(user))


def test_adoption_that_this_admin_may_not_do(
    server: servers.PostgreSQL, describe: Describe, user: str, log_in: LogIn
) -> None:
    """C7: of a superuser's database, and since PostgreSQL 16 of an account; each with what a superuser has to run."""
    server.admin(f"CREATE DATABASE {user}_web TEMPLATE template0")
    server.admin(f"CREATE ROLE {user} LOGIN")
    with connect(describe("weak")) as weak, connect(describe()) as superuser:
        actions = [Action(Verb.ADOPT, user, None, GOOD), Action(Verb.ADOPT, user, f"{user}_web")]
        assert superuser.foresee(actions) == [None, None]
        for _ in range(2):
            for reason in weak.foresee(actions):
                if reason:
                    assert "superuser runs: " in reason
                    server.admin(statement(reason, "superuser runs: "))
        done(weak, actions)
        assert weak.get_existing_databases()[f"{user}_web"].granted


def test_account_out_of_reach(server: servers.PostgreSQL, describe: Describe, user: str) -> None:
    """C7: since PostgreSQL 16 a change of what another admin has created; before, there is no such thing."""
    with connect(describe()) as superuser:
        make(superuser, user)
    actions = [Action(Verb.UPDATE_PASSWORD, user, None, GOOD), *removal(user)]
    with connect(describe("weak")) as weak:
        reasons = weak.foresee(actions)
        if weak.server().product >= "PostgreSQL 16":
            assert all(reason and reason.startswith(f"this admin may not change {user}") for reason in reasons)
            server.admin(statement(reasons[0] or "", "runs: "))
        done(weak, actions)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoding": "UTF-9"}, "no encoding 'UTF-9'"),
        ({"encoding": "SJIS"}, "no encoding 'SJIS'"),
        ({"locale": "tlh_QO.UTF-8"}, "no locale 'tlh_QO.UTF-8'"),
        ({"encoding": "LATIN1", "locale": "C.UTF-8"}, "does not fit"),
        ({"encoding": "LATIN1"}, "does not fit the locale"),
        ({"encoding": "LATIN1", "locale": "C"}, None),
        ({"encoding": "utf-8", "locale": "C.UTF-8"}, None),
        ({}, None),
    ],
)
def test_encoding_and_locale(
    server: servers.PostgreSQL, describe: Describe, user: str, options: dict[str, str], said: str | None
) -> None:
    """C7: what CREATE DATABASE would refuse, and nothing else."""
    with connect(describe(options=options)) as handler:
        handler.create_user(user, GOOD)
        action = Action(Verb.CREATE_DATABASE, user, f"{user}_web")
        (reason,) = handler.foresee([action])
        if said:
            assert said in (reason or "")
            with pytest.raises(OperationError):
                handler.create_database(user, f"{user}_web")
        else:
            done(handler, [action])


def test_admin_with_one_connection_is_told_at_the_start(
    server: servers.PostgreSQL, describe: Describe, user: str
) -> None:
    """C8: at the start, by a statement; who has a few gets no more parallel sessions than that."""
    server.admin(f"CREATE ROLE {user} LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}' CONNECTION LIMIT 1")
    server.admin(f'GRANT "dbroster:default" TO {user} WITH ADMIN OPTION')
    with connect(describe(user)) as handler:
        (missing,) = handler.missing_privileges(["web"])
        assert missing == f'ALTER ROLE "{user}" CONNECTION LIMIT 6;'
    server.admin(f"ALTER ROLE {user} CONNECTION LIMIT 3")
    with connect(describe(user)) as handler:
        assert handler.missing_privileges(["web"]) == []
        assert handler.jobs() == 2
    server.admin(missing)
    with connect(describe(user)) as handler:
        assert (handler.missing_privileges(["web"]), handler.jobs()) == ([], 4)
