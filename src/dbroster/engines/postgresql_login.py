"""Checking passwords by logging in, for admins who may not read the stored verifiers."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import psycopg
from psycopg import pq

from dbroster.config import Connection
from dbroster.engines.postgresql_session import LIBPQ_16, Session, login_parameters
from dbroster.model import PasswordCheck, User

THREADS = 4

_WHERE_TO = """
    SELECT r.rolname, min(d.datname::text), coalesce(r.rolvaliduntil < now(), false)
    FROM pg_roles r LEFT JOIN pg_database d ON d.datdba = r.oid AND d.datallowconn
    WHERE r.rolname = ANY(%s) GROUP BY r.rolname, r.rolvaliduntil"""


def check_logins(session: Session, connection: Connection, users: Sequence[User]) -> dict[str, PasswordCheck]:
    """Try to log in as each user, into an own database where there is one, a few at a time.

    SAME is a login that needed the password. DIFFERENT is a refusal in exactly the words in which this server refuses
    a name that can't exist: PostgreSQL gives libpq no code for it, and its words depend on the server's language.
    All else is UNKNOWN: an expired password looks like a wrong one, and a locked account lets nobody in.
    """
    facts = {
        name: (database, expired) for name, database, expired in session.rows(_WHERE_TO, [[u.name for u in users]])
    }
    base = _parameters(session, connection)

    @cache
    def refusal() -> tuple[str, str]:
        return _refusal(base)

    def check(user: User) -> PasswordCheck:
        database, expired = facts.get(user.name, (None, True))
        if expired:
            return PasswordCheck.UNKNOWN
        into = {"dbname": database} if database else {}
        return _check({**base, **into}, user, refusal)

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip([user.name for user in users], pool.map(check, users), strict=True))


def _check(base: Mapping[str, Any], user: User, refusal: Callable[[], tuple[str, str]]) -> PasswordCheck:
    said = _login({**base, "user": user.name, "password": user.password.reveal()})
    if said is None:
        return PasswordCheck.SAME
    nobody, words = refusal()
    return PasswordCheck.DIFFERENT if said == words.replace(nobody, user.name) else PasswordCheck.UNKNOWN


def _refusal(base: Mapping[str, Any]) -> tuple[str, str]:
    """Return a name that nobody has, and how the server refuses it."""
    nobody = f"dbroster-nobody-{secrets.token_hex(8)}"
    return nobody, _login({**base, "user": nobody, "password": secrets.token_hex(8)}) or ""


def _login(parameters: Mapping[str, Any]) -> str | None:
    """Log in and out: None when the password was asked for and accepted, else what was said."""
    try:
        with psycopg.connect(**parameters) as raw:
            return None if raw.pgconn.used_password else "no password was asked for"
    except psycopg.Error as error:
        return str(error)


def _parameters(session: Session, connection: Connection) -> dict[str, Any]:
    """Go where the admin's session has gone, with or without TLS as it has: with `prefer` libpq would try twice."""
    parameters = login_parameters(connection)
    info = session.raw.info
    parameters |= {"host": connection.host, "port": info.port, "application_name": "dbroster password check"}
    parameters |= {"gssencmode": "disable", "options": "-c search_path=pg_catalog"}
    if info.hostaddr:
        parameters["hostaddr"] = info.hostaddr
    if connection.tls.mode is None:
        parameters["sslmode"] = "require" if info.pgconn.ssl_in_use else "disable"
    if pq.version() >= LIBPQ_16:
        # a server that trusts everybody, or wants the plain password, proves nothing
        parameters["require_auth"] = "scram-sha-256,md5"
    return parameters
