"""Roles: what marks them, what opens and shuts them, what never gets out, and what is never touched."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql.session import open_session
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import ExistingUser, Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.postgresql.conftest import ADMINS

GOOD = Secret("Correct-horse-7")
HOSTILE = [
    "'; DROP ROLE x; --",
    "back\\slash\\'",
    '"double"',
    "$$dollar$$",
    "%s %(x)s {}",
    "пароль 🐘",
    "ﬁ\u00ad\u2168 ",
    "x" * 2000,
]


@pytest.fixture(params=ADMINS)
def handler(request: pytest.FixtureRequest, describe: Callable[..., Connection]) -> Iterator[Handler]:
    """A session of each kind of admin: all-powerful, least privileges with pg_authid, least privileges without."""
    with connect(describe(request.param)) as opened:
        yield opened


def role(handler: Handler, user: str) -> ExistingUser:
    return handler.get_existing_users()[user]


def check(handler: Handler, user: str, password: str) -> PasswordCheck:
    return handler.check_passwords([User(user, Secret(password), 1)], handler.get_existing_users())[user]


def test_create_update_lock_open_and_drop_with_every_kind_of_admin(handler: Handler, user: str) -> None:
    handler.create_user(user, GOOD)
    handler.create_user(user, GOOD)
    assert role(handler, user).managed
    assert role(handler, user).lock is Lock.OPEN
    assert check(handler, user, GOOD.reveal()) is PasswordCheck.SAME
    assert check(handler, user, "another one") is PasswordCheck.DIFFERENT
    handler.lock_user(user)
    handler.lock_user(user)
    assert role(handler, user).managed
    assert role(handler, user).lock is Lock.OURS
    assert check(handler, user, "another one") is PasswordCheck.DIFFERENT
    handler.update_user_password(user, Secret("another one"))
    assert role(handler, user).lock is Lock.OPEN
    assert check(handler, user, "another one") is PasswordCheck.SAME
    handler.lock_user(user)
    handler.drop_user(user)
    handler.drop_user(user)
    handler.lock_user(user)
    assert user not in handler.get_existing_users()


@pytest.mark.parametrize("password", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_password_logs_in_and_stays_out_of_the_log(
    password: str, superuser: Handler, user: str, log_in: Callable[..., psycopg.Connection], logged: Callable[[], str]
) -> None:
    superuser.create_user(user, Secret(password))
    log_in(user, password, "postgres").close()
    assert check(superuser, user, password) is PasswordCheck.SAME
    assert check(superuser, user, password + "x") is PasswordCheck.DIFFERENT
    verifier = role(superuser, user).verifiers[0].value.reveal()
    superuser.update_user_password(user, Secret(password))
    text = logged()
    assert "SET \"log_statement\" = 'none'" in text
    assert password not in text
    assert verifier not in text
    assert "SCRAM-SHA-256$" not in text


def test_failed_creation_leaves_no_role_and_no_verifier_in_the_log(
    superuser: Handler, user: str, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = "dbroster.engines.postgresql.statements.mark_role"
    with monkeypatch.context() as patch:
        patch.setattr(failing, lambda _: sql.SQL("SELECT 1/0"))
        with pytest.raises(OperationError, match="division by zero"):
            superuser.create_user(user, GOOD)
    assert user not in superuser.get_existing_users()
    assert "SCRAM-SHA-256$" not in logged()
    superuser.create_user(user, GOOD)


def test_error_text_that_quotes_a_secret_is_scrubbed(describe: Callable[..., Connection]) -> None:
    session = open_session(describe())
    with pytest.raises(OperationError) as caught:
        session.run([sql.SQL('SELECT 1 "very-secret-verifier" "very-secret-verifier"')], ["very-secret-verifier"])
    session.close()
    assert "[secret]" in str(caught.value)
    assert "very-secret" not in repr(caught.value)


def test_logging_is_switched_off_for_verifiers_only(superuser: Handler, user: str, logged: Callable[[], str]) -> None:
    superuser.create_user(user, GOOD)
    superuser.lock_user(user)
    assert "CREATE ROLE" not in logged()
    assert f'ALTER ROLE "{user}" NOLOGIN' in logged()


def test_admin_who_cannot_hide_verifiers_is_told_so(
    server: servers.PostgreSQL, describe: Callable[..., Connection], user: str
) -> None:
    """C6: every setting that records a statement, with its value, and the GRANT that lets dbroster switch it off."""
    server.admin(f"CREATE ROLE {user} LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'")
    for setting in ("log_min_duration_statement = 0", "log_transaction_sample_rate = 0.5"):
        server.admin(f"ALTER ROLE {user} SET {setting}")
    with connect(describe(user)) as admin, connect(describe()) as superuser:
        (told,) = [problem.text for problem in admin.warnings() if "verifiers" in problem.text]
        for shown in ("log_statement is all", "log_min_duration_statement is 0", "log_transaction_sample_rate is 0.5",
            "log_min_error_statement is error"):  # fmt: skip
            assert shown in told
        assert not [problem for problem in superuser.warnings() if "verifiers" in problem.text]
        if admin.server().product < "PostgreSQL 15":
            assert "only a superuser" in told
            return
    server.admin(told[told.index("GRANT SET") :])
    with connect(describe(user)) as admin:
        assert not [problem for problem in admin.warnings() if "verifiers" in problem.text]


def test_lock_of_the_dba_stays(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    handler.create_user(user, GOOD)
    server.admin(f"ALTER ROLE {user} NOLOGIN")
    assert role(handler, user).lock is Lock.FOREIGN
    handler.update_user_password(user, Secret("another one"))
    handler.lock_user(user)
    assert role(handler, user).lock is Lock.FOREIGN
    assert role(handler, user).managed


def test_locking_ends_sessions(handler: Handler, user: str, log_in: Callable[..., psycopg.Connection]) -> None:
    handler.create_user(user, GOOD)
    session = log_in(user, GOOD.reveal(), "postgres")
    handler.lock_user(user)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()


def test_role_cannot_forge_its_marker(superuser: Handler, user: str, log_in: Callable[..., psycopg.Connection]) -> None:
    superuser.create_user(user, GOOD)
    with log_in(user, GOOD.reveal(), "postgres") as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(f"COMMENT ON ROLE {user} IS NULL")


@pytest.mark.parametrize(
    "comment", [None, "dbroster/2 default somebody_else", "dbroster/2 default {} plus a note", "{}"]
)
def test_role_without_exact_marker_is_foreign(
    server: servers.PostgreSQL, superuser: Handler, user: str, comment: str | None
) -> None:
    superuser.create_user(user, GOOD)
    text = "NULL" if comment is None else f"'{comment.format(user)}'"
    server.admin(f"COMMENT ON ROLE {user} IS {text}")
    assert not role(superuser, user).managed
    for change in (superuser.lock_user, superuser.drop_user):
        with pytest.raises(OperationError, match="left alone"):
            change(user)
    with pytest.raises(OperationError, match="left alone"):
        superuser.create_user(user, GOOD)


@pytest.mark.parametrize("power", ["SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS"])
def test_powerful_role_is_protected_even_with_our_marker(
    server: servers.PostgreSQL, superuser: Handler, user: str, power: str
) -> None:
    superuser.create_user(user, GOOD)
    server.admin(f"ALTER ROLE {user} {power}")
    assert power in (role(superuser, user).protected or "")
    for act in (superuser.lock_user, superuser.drop_user):
        with pytest.raises(OperationError, match=power):
            act(user)
    for act_with_password in (superuser.update_user_password, superuser.adopt_user):
        with pytest.raises(OperationError, match=power):
            act_with_password(user, GOOD)


def test_admin_system_and_listed_roles_are_protected(describe: Callable[..., Connection], user: str) -> None:
    with connect(describe("weak", protected=frozenset({user}))) as weak:
        weak.create_user(user, GOOD)
        found = weak.get_existing_users()
    assert all(found[name].protected for name in ("weak", "postgres", "pg_monitor", user))
    assert not found[user].managed


def test_two_rosters_do_not_touch_each_other(
    describe: Callable[..., Connection], superuser: Handler, user: str
) -> None:
    with connect(describe(roster="team-b")) as other:
        other.create_user(user, GOOD)
        assert role(other, user).managed
    assert role(superuser, user).roster == "team-b"
    with pytest.raises(OperationError, match="left alone"):
        superuser.drop_user(user)
    with pytest.raises(OperationError, match="team-b"):
        superuser.adopt_user(user, GOOD)


def test_adopting_a_role_keeps_its_lock(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    server.admin(f"CREATE ROLE {user} NOLOGIN")
    superuser.adopt_user(user, GOOD)
    assert role(superuser, user).managed
    assert role(superuser, user).lock is Lock.FOREIGN
    assert check(superuser, user, GOOD.reveal()) is PasswordCheck.SAME
    with pytest.raises(OperationError, match="there is none"):
        superuser.adopt_user("nobody-here", GOOD)


def test_account_without_password_is_different(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    superuser.create_user(user, GOOD)
    server.admin(f"ALTER ROLE {user} PASSWORD NULL")
    assert check(superuser, user, GOOD.reveal()) is PasswordCheck.DIFFERENT


def test_md5_verifier_is_checked_and_reported(server: servers.PostgreSQL, superuser: Handler, user: str) -> None:
    superuser.create_user(user, GOOD)
    server.admin(f"SET password_encryption = md5; ALTER ROLE {user} PASSWORD '{GOOD.reveal()}'")
    assert check(superuser, user, GOOD.reveal()) is PasswordCheck.SAME
    assert any(user in problem.text for problem in superuser.warnings())
    superuser.update_user_password(user, GOOD)
    assert not any("md5" in problem.text for problem in superuser.warnings())


def test_role_that_still_owns_something_stays_locked_and_the_error_says_where(
    server: servers.PostgreSQL, handler: Handler, user: str
) -> None:
    handler.create_user(user, GOOD)
    server.admin(f"CREATE DATABASE shared_{user}")
    server.admin(
        f"CREATE TABLE public.left_behind (); ALTER TABLE public.left_behind OWNER TO {user}", f"shared_{user}"
    )
    handler.lock_user(user)
    with pytest.raises(OperationError, match=f"shared_{user}.*REASSIGN OWNED") as caught:
        handler.drop_user(user)
    assert caught.value.code == "2BP01"
    assert role(handler, user).managed
    assert role(handler, user).lock is Lock.OURS
    server.admin(f"DROP DATABASE shared_{user}")
    handler.drop_user(user)


def test_one_bad_action_in_a_batch_fails_alone(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    names = [f"{user}-{number}" for number in range(9)]
    server.admin(f'CREATE ROLE "{names[4]}"')
    rest = [name for name in names if name != names[4]]

    def perform(verb: Verb, password: Secret | None = None) -> list[Status]:
        return [
            outcome.status for outcome in handler.perform_all([Action(verb, name, None, password) for name in names])
        ]

    alone = [Status.FAILED if name == names[4] else Status.DONE for name in names]
    assert perform(Verb.CREATE_USER, GOOD) == alone
    assert perform(Verb.UPDATE_PASSWORD, Secret("another one")) == alone
    users = [User(name, Secret("another one"), 1) for name in rest]
    assert set(handler.check_passwords(users, handler.get_existing_users()).values()) == {PasswordCheck.SAME}
    assert perform(Verb.LOCK_USER) == alone
    assert {role(handler, name).lock for name in rest} == {Lock.OURS}
    assert perform(Verb.DROP_USER) == alone
    assert set(names) & set(handler.get_existing_users()) == {names[4]}


def test_batch_is_one_transaction_of_few_messages(superuser: Handler, user: str, logged: Callable[[], str]) -> None:
    actions = [Action(Verb.CREATE_USER, f"{user}-{number}", None, GOOD) for number in range(50)]
    assert {outcome.status for outcome in superuser.perform_all(actions)} == {Status.DONE}
    assert logged().count("LOG:  statement:") + logged().count("LOG:  execute") <= 3


def test_names_at_the_limit(superuser: Handler, user: str) -> None:
    longest = user.ljust(63, "x")
    assert superuser.refuse_user(longest) is None
    superuser.create_user(longest, GOOD)
    assert role(superuser, longest).managed
    assert "64 bytes" in (superuser.refuse_user(longest + "x") or "")
    assert "64 bytes" in (superuser.refuse_database("ö" * 32) or "")
    assert superuser.refuse_database("ö" * 31) is None
    assert superuser.refuse_user("pg_bob")
    assert superuser.refuse_password(Secret(""))
    assert superuser.refuse_password(Secret("a\0b"))
    assert superuser.refuse_password(GOOD) is None
