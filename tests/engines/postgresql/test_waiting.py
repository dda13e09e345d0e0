"""Every wait ends, and nothing in the environment decides where dbroster goes."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql import session as postgresql_session
from dbroster.engines.postgresql.connection import NOWHERE
from dbroster.errors import ConnectError, DbrosterError, Stalled, UnsupportedServer
from dbroster.model.connection import Connection, Tls
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.support.bounded import within
from tests.support.proxy import Proxy

GOOD = Secret("Correct-horse-7")
Describe = Callable[..., Connection]
LogIn = Callable[[str, str, str], psycopg.Connection]
LIMITS = {"connect_timeout": 2, "timeout": 2}


def session_of(handler: Handler) -> postgresql_session.Session:
    return handler._session  # type: ignore[attr-defined, no-any-return]


@contextmanager
def stopped(*processes: int) -> Iterator[None]:
    """Stop processes for the time of the block."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def work(handler: Handler, user: str) -> None:
    handler.get_existing_users()
    handler.prepare()
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    handler.lock_user(user)
    handler.drop_database(user, f"{user}_web")
    handler.drop_user(user)


def messages(describe: Describe, server: servers.PostgreSQL, user: str) -> int:
    with Proxy(server.host, server.port, None) as proxy, connect(describe(port=proxy.port)) as handler:
        work(handler, user)
        return proxy.messages


@pytest.mark.parametrize("tls", [False, True])
def test_server_that_stops_answering_at_any_moment_ends_the_wait(
    describe: Describe, server: servers.PostgreSQL, user: str, tls: bool
) -> None:
    """C1: before the greeting, within TLS, after the login, and all over a run; the server is named."""
    fields = {} if tls else {"tls": Tls("disable")}
    total = messages(lambda **more: describe(**fields, **more), server, user)
    for moment in [0, 1, 2, 3, 5, *range(7, total, 30 if tls else 9)]:  # after the login TLS makes no difference
        while not (error := error_of(describe(**LIMITS, **fields), user, moment)):
            moment -= 1  # this run needed fewer messages than the one that was counted
        assert re.search(r"127\.0\.0\.1:\d+ did not .* within 2 s, the `(connect_)?timeout`", str(error)), moment
    with connect(describe()) as handler:
        work(handler, user)


def error_of(connection: Connection, user: str, moment: int) -> Stalled | None:
    """Let a server fall silent after so many messages of a run; no error if the run was over before."""
    with Proxy(connection.host, connection.port, moment, stalls=True) as proxy, within(9):
        try:
            with connect(connection._replace(port=proxy.port)) as handler:
                work(handler, user)
        except Stalled as error:
            return error
    return None


def test_server_process_that_stands_still_ends_the_wait(describe: Describe, server: servers.PostgreSQL) -> None:
    """C1: the kernel takes the connection, and nobody answers."""
    assert server.process
    with stopped(server.process.pid), within(5), pytest.raises(Stalled, match="connect_timeout"):
        connect(describe(**LIMITS))


def test_own_session_that_stands_still_ends_the_wait(describe: Describe) -> None:
    """C1: in the middle of a run."""
    with connect(describe(**LIMITS)) as handler:
        process = session_of(handler).raw.info.backend_pid
        with stopped(process), within(6), pytest.raises(Stalled, match="`timeout`"):
            handler.get_existing_users()


def test_drop_behind_a_server_process_that_stands_still_ends_and_converges(
    describe: Describe, user: str, log_in: LogIn
) -> None:
    """C1: the action fails, names the key, and the next run drops what it has left; a second one ends the run."""
    with connect(describe(timeout=2)) as handler:
        for template in ("web", "old"):
            handler.create_user(user, GOOD)
            handler.create_database(user, f"{user}_{template}")
            handler.grant_privileges(user, f"{user}_{template}")
        with log_in(handler.connection.username, handler.connection.password.reveal(), "postgres") as idle:  # type: ignore[union-attr]
            actions = [Action(Verb.DROP_DATABASE, user, f"{user}_web"), Action(Verb.DROP_DATABASE, user, f"{user}_old")]
            with stopped(idle.info.backend_pid), within(12), suppress(Stalled):
                (outcome,) = handler.perform_all(actions[:1])
                if outcome.status is Status.FAILED:  # before PostgreSQL 15 nothing waits for other processes
                    assert "the `timeout` in connections.yaml" in (outcome.error or "")
                    with pytest.raises(Stalled, match="for the second time"):
                        handler.perform_all(actions[1:])
    with connect(describe()) as handler:
        assert {outcome.status for outcome in handler.perform_all(actions)} == {Status.DONE}
        assert not [name for name in handler.get_existing_databases() if name.startswith(user)]


def test_abort_breaks_a_wait(describe: Describe) -> None:
    """C1: from another thread, at once, and for every later statement."""
    with connect(describe()) as handler, within(5):
        threading.Timer(0.5, handler.abort).start()
        with pytest.raises(ConnectError, match="stopped"):
            session_of(handler).rows("SELECT pg_sleep(60)")
        with pytest.raises(DbrosterError):
            handler.get_existing_users()


def test_login_checks_end_when_the_server_stops_answering(
    describe: Describe, server: servers.PostgreSQL, user: str
) -> None:
    """C1: many users, one timeout; not one for each of them."""
    users = [User(f"{user}x{number}", GOOD, 1) for number in range(40)]
    with (
        Proxy(server.host, server.port, None, stalls=True) as proxy,
        connect(describe("weak", port=proxy.port, **LIMITS)) as weak,
    ):
        existing = dict.fromkeys((user.name for user in users), weak.get_existing_users()["postgres"])
        proxy.arm(2)
        with within(10), pytest.raises(Stalled, match="connect_timeout"):
            weak.check_passwords(users, existing)


# --- nothing but connections.yaml -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"PGHOSTADDR": "127.0.0.9"},
        {"PGHOST": "127.0.0.9", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "nowhere", "PGPASSWORD": "wrong"},
        {"PGSERVICE": "nowhere"},
        {"PGSERVICE": "elsewhere", "PGSERVICEFILE": "service.conf"},
        {"PGSSLMODE": "disable", "PGREQUIRESSL": "0", "PGSSLROOTCERT": "none", "PGSSLCERT": "none", "PGSSLKEY": "none"},
        {"PGOPTIONS": "-c search_path=public", "PGCLIENTENCODING": "LATIN1", "PGAPPNAME": "other"},
        {"PGTZ": "Nowhere/Land", "PGDATESTYLE": "nonsense", "PGGEQO": "perhaps"},
        {"PGTARGETSESSIONATTRS": "standby", "PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none"},
        {"PGCONNECT_TIMEOUT": "nonsense", "PGGSSENCMODE": "require", "PGLOADBALANCEHOSTS": "nonsense"},
        {"PGMINPROTOCOLVERSION": "9.9", "PGMAXPROTOCOLVERSION": "9.9", "PGSSLMINPROTOCOLVERSION": "nonsense"},
    ],
    ids=lambda variables: "-".join(variables),
)
def test_environment_decides_nothing(
    describe: Describe, server: servers.PostgreSQL, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:  # fmt: skip
    """C4: none of libpq's variables, nor a service file; for the session and for logins of users."""
    (tmp_path / "service.conf").write_text("[elsewhere]\nhostaddr=127.0.0.9\nuser=nobody\noptions=-c work_mem=1\n")
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with connect(describe("weak")) as weak:
        info = session_of(weak).raw.info
        assert (info.hostaddr, info.port, info.user, info.dbname) == (server.host, server.port, "weak", "postgres")
        assert info.pgconn.ssl_in_use == bool(server.ca)
        assert session_of(weak).rows("SHOW search_path") == [("pg_catalog",)]
        weak.create_user(user, GOOD)
        answers = weak.check_passwords([User(user, GOOD, 1)], weak.get_existing_users())
        assert answers[user] is PasswordCheck.SAME


def test_files_in_the_home_directory_decide_nothing(
    describe: Describe, server: servers.PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: a password file does not log in whom connections.yaml gives no password; nor is a certificate taken."""
    (tmp_path / ".pgpass").write_text(f"*:*:*:*:{server.admin_password}\n")
    (tmp_path / ".pgpass").chmod(0o600)
    (tmp_path / ".postgresql").mkdir()
    for name in ("postgresql.crt", "postgresql.key", "root.crt"):
        (tmp_path / ".postgresql" / name).write_text("nonsense")
        (tmp_path / ".postgresql" / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / ".pgpass"))
    connect(describe(tls=Tls())).close()
    with pytest.raises(ConnectError, match="password"):
        connect(describe(password=None, tls=Tls()))
    assert not Path(NOWHERE).exists()


def test_old_library_is_refused_by_name_and_version(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    """C5: psycopg may stand on a libpq that its makers have given up."""
    monkeypatch.setattr(psycopg.pq, "version", lambda: 110022)
    with pytest.raises(UnsupportedServer, match=r"libpq 11\.22, .* 13 or newer.*psycopg\[binary\]"):
        connect(describe())
