"""Checking passwords by logging in, for admins who may not read the stored verifiers."""

import secrets
from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, pq

from dbroster.engines.postgresql.connection import Patient
from dbroster.engines.postgresql.session import LIBPQ_16, Session, login_parameters, quoted
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import scrub

THREADS = 4
_UNASKED = "server did not complete authentication"
"""What libpq says of a server that lets a user in unasked, where `require_auth` forbids it."""
_TRUSTED = "it asks this user for no password (pg_hba.conf)"

_WHERE_TO = """
    SELECT r.rolname, min(d.datname::text),
        CASE WHEN r.rolvaliduntil < now() THEN r.rolvaliduntil::timestamptz(0)::text END
    FROM pg_roles r LEFT JOIN pg_database d ON d.datdba = r.oid AND d.datallowconn
    WHERE r.rolname = ANY(%s) GROUP BY r.rolname, r.rolvaliduntil"""


def check_logins(
    session: Session, connection: Connection, users: Sequence[User], doubts: MutableMapping[str, str]
) -> dict[str, PasswordCheck]:
    """Try to log in as each user, into an own database where there is one, a few at a time.

    SAME is a login that needed the password. DIFFERENT is a refusal that came after the server had asked for it, and
    in exactly the words in which it refuses a name that can't exist, of which it had asked for one, too: PostgreSQL
    gives libpq no code for it, and its words depend on the server's language. All else is UNKNOWN, with the reason in
    `doubts`: an expired password looks like a wrong one, and a full server refuses everybody alike.
    """
    facts = {
        name: (database, expired) for name, database, expired in session.rows(_WHERE_TO, [[u.name for u in users]])
    }
    logins = _Logins(session, connection, facts)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(logins.check, users))
    grant = f"GRANT SELECT (rolname, rolpassword) ON pg_authid TO {quoted(session.admin)};"
    for user, (_, doubt) in zip(users, answers, strict=True):
        if doubt:
            doubts[user.name] = f"{doubt} (or let dbroster check it without a login: {grant})"
    return {user.name: answer for user, (answer, _) in zip(users, answers, strict=True)}


class _Refusal(NamedTuple):
    """What a server says, and whether it had asked for a password before."""

    words: str
    judged: bool


class _Logins:
    """Logins that go where the admin's session has gone."""

    def __init__(
        self, session: Session, connection: Connection, facts: Mapping[str, tuple[str | None, str | None]]
    ) -> None:
        self._session = session
        self._facts = facts
        self._seconds = connection.connect_timeout
        self._parameters = _parameters(session, connection)
        self._mutex = Lock()
        self._dead: ConnectError | None = None

    def check(self, user: User) -> tuple[PasswordCheck, str | None]:
        """Judge one password, or say why it can't be judged."""
        database, expired = self._facts.get(user.name, (None, None))
        if expired:
            end = f"ALTER ROLE {quoted(user.name)} VALID UNTIL 'infinity';"
            return PasswordCheck.UNKNOWN, f"the account expired at {expired} (VALID UNTIL): {end}"
        into = {"dbname": database} if database else {}
        refusal = self._log_in({"user": user.name, "password": user.password.reveal(), **into})
        if refusal is None:
            return PasswordCheck.SAME, None
        nobody, example = self._nobody
        if refusal.judged and example.judged and refusal.words == example.words.replace(nobody, user.name):
            return PasswordCheck.DIFFERENT, None
        words = " ".join(scrub(refusal.words, [user.password.reveal()]).split()).rpartition(" failed: ")[2]
        return PasswordCheck.UNKNOWN, f"the server says: {words}"

    @cached_property
    def _nobody(self) -> tuple[str, _Refusal]:
        """A name that nobody has, and how the server refuses it."""
        nobody = f"dbroster-nobody-{secrets.token_hex(8)}"
        said = self._log_in({"user": nobody, "password": secrets.token_hex(8)})
        return nobody, said or _Refusal("", judged=False)

    def _log_in(self, who: Mapping[str, str]) -> _Refusal | None:
        """Log in and out: None when the password was asked for and accepted. Raises ConnectError for a dead server."""
        if self._dead:
            raise self._dead
        if self._session.raw.patience.aborted:
            raise ConnectError(f"the run was stopped while it waited for {self._session.raw.patience.address}")
        try:
            raw = Patient.to({**self._parameters, **who}, self._session.raw.patience)
        except errors.ConnectionTimeout:
            self._assert_answering()
            return _Refusal(f"the login was not over within {self._seconds} s (connect_timeout)", judged=False)
        except psycopg.Error as error:
            if _UNASKED in str(error):
                return _Refusal(_TRUSTED, judged=False)
            return _Refusal(str(error), judged=error.pgconn is not None and error.pgconn.used_password)
        used = raw.pgconn.used_password
        raw.close()
        return None if used else _Refusal(_TRUSTED, judged=False)

    def _assert_answering(self) -> None:
        """Ask whether it is the server that is slow, or one user's login. Raises what it raised before, if it has."""
        with self._mutex:
            if self._dead is None:
                try:
                    self._session.answers(self._seconds)
                except ConnectError as error:
                    self._dead = error
            if self._dead:
                raise self._dead


def _parameters(session: Session, connection: Connection) -> dict[str, Any]:
    """Go where the admin's session has gone, with or without TLS as it has: with `prefer` libpq would try twice."""
    parameters = login_parameters(connection)
    info = session.raw.info
    parameters |= {"host": connection.host, "port": info.port, "application_name": "dbroster password check"}
    parameters |= {"options": "-c search_path=pg_catalog"}
    if info.hostaddr:
        parameters["hostaddr"] = info.hostaddr
    if connection.tls.mode is None:
        parameters["sslmode"] = "require" if info.pgconn.ssl_in_use else "disable"
    if pq.version() >= LIBPQ_16:
        # a server that trusts everybody, or wants the plain password, proves nothing
        parameters["require_auth"] = "scram-sha-256,md5"
    return parameters
