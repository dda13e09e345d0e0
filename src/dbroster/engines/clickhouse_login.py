"""Checking passwords by logging in: ClickHouse shows stored hashes to nobody, unless it is configured to."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dbroster.engines.clickhouse_session import LOGINS_AT_ONCE, Session
from dbroster.model import ExistingUser, Lock, PasswordCheck, User

# What the columns of system.users say of a login besides the password; arrays in newer versions, else single values.
_SPECIAL = """
    SELECT name, has(host_ip, '::/0'), position(toString(auth_type), 'no_password') > 0,
        position(toString(auth_type), '_password') > 0
    FROM system.users"""


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
