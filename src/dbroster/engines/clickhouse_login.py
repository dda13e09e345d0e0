"""Checking passwords: by the stored hash where the server shows it, which few are configured to do, else by a login."""

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dbroster.engines.clickhouse_session import DENIED, FIXED_SETTING, LOGINS_AT_ONCE, Session
from dbroster.errors import OperationError
from dbroster.model import ExistingUser, Lock, PasswordCheck, User
from dbroster.secret import Secret
from dbroster.verifiers import clickhouse_sha256_matches

# What the columns of system.users say of a login besides the password; arrays in newer versions, else single values.
_SPECIAL = """
    SELECT name, has(host_ip, '::/0'), position(toString(auth_type), 'no_password') > 0,
        position(toString(auth_type), '_password') > 0
    FROM system.users"""

SHOW = "SHOW CREATE USERS"
# Only what dbroster itself writes: one method, no end of validity, a name that needs no escapes.
_SHOWN = re.compile(
    r"CREATE USER (`?)([\w.-]+)\1 IDENTIFIED WITH (sha256_hash BY '\w+'(?: SALT '\w*')?)"
    r"(?= (?!SALT )[A-Z]|$)(?!.* VALID UNTIL )",
    re.ASCII,
)


def check_passwords(
    session: Session, users: Sequence[User], existing: Mapping[str, ExistingUser]
) -> dict[str, PasswordCheck]:
    """Compare with the hashes that the server shows, and log in as all the others."""
    hashes = stored_hashes(session) if users else {}
    answers: dict[str, PasswordCheck] = {}
    for user in users:
        if user.name in existing and user.name in hashes:
            same = clickhouse_sha256_matches(user.password.reveal(), hashes[user.name].reveal())
            if same is not None:
                answers[user.name] = PasswordCheck.SAME if same else PasswordCheck.DIFFERENT
    return answers | check_logins(session, [user for user in users if user.name not in answers], existing)


def stored_hashes(session: Session) -> dict[str, Secret]:
    """The hashes of all accounts, in one query; none where server or privileges keep them secret, as by default.

    The statement takes no FORMAT and no SETTINGS: both would be read as names of users.
    Source: ClickHouse documentation, display_secrets_in_show_and_select.
    """
    try:
        return hashes_in(session.lines(SHOW, format_display_secrets_in_show_and_select="1"))
    except OperationError as error:
        if error.code not in (DENIED, FIXED_SETTING):
            session.notes.append(f"passwords are checked by logins, since the server does not show its hashes: {error}")
        return {}


def hashes_in(lines: Iterable[str]) -> dict[str, Secret]:
    """Find `sha256_hash BY '...' SALT '...'` by user in what SHOW CREATE USERS says, one account on each line."""
    return {found[2]: Secret(found[3]) for line in lines if (found := _SHOWN.match(line))}


def check_logins(
    session: Session, users: Sequence[User], existing: Mapping[str, ExistingUser]
) -> dict[str, PasswordCheck]:
    """Log in once as each user, several at a time; one query more for what makes a refusal mean something else.

    An account without a password accepts any, so it is DIFFERENT without a try. UNKNOWN is a locked account, one that
    some other service authenticates, and a refusal of an account that may only log in from certain hosts:
    the server answers all of these like a wrong password.
    """
    answers = {user.name: PasswordCheck.UNKNOWN for user in users}
    asked = [user for user in users if user.name in existing and existing[user.name].lock is Lock.OPEN]
    if not asked:
        return answers
    special = {name: facts for name, *facts in session.rows(_SPECIAL)}

    def check(user: User) -> PasswordCheck:
        anywhere, open_to_all, by_password = special.get(user.name, (False, False, False))
        if open_to_all:
            return PasswordCheck.DIFFERENT
        if not by_password:
            return PasswordCheck.UNKNOWN
        accepted = session.login(user.name, user.password)
        if accepted:
            return PasswordCheck.SAME
        return PasswordCheck.DIFFERENT if accepted is False and anywhere else PasswordCheck.UNKNOWN

    with ThreadPoolExecutor(LOGINS_AT_ONCE) as pool:
        return answers | dict(zip((user.name for user in asked), pool.map(check, asked), strict=True))
