"""Checking passwords: by the stored hash where the server shows it, which few are configured to do, else by a login."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dbroster.engines.clickhouse.access.show_create_users import Shown
from dbroster.engines.clickhouse.http.connections import AT_ONCE
from dbroster.engines.clickhouse.session import Session
from dbroster.model.roster import User
from dbroster.model.state import ExistingUser, Lock, PasswordCheck
from dbroster.passwords.verifiers.digests import clickhouse_sha256_matches

LOGINS = 5
"""Logins that share a connection before another one is opened: a handshake costs as much as six of them."""

# What the columns of system.users say of a login besides the password; arrays in newer versions, else single values.
_SPECIAL = """
    SELECT name, has(host_ip, '::/0') AS anywhere, position(toString(auth_type), 'no_password') > 0 AS open,
        position(toString(auth_type), '_password') > 0 AS by_password, toString(auth_type) AS methods
    FROM system.users"""


def check_passwords(
    session: Session,
    users: Sequence[User],
    existing: Mapping[str, ExistingUser],
    shown: Mapping[str, Shown],
    doubts: dict[str, str],
) -> dict[str, PasswordCheck]:
    """Compare with the hashes that the server has shown, and log in as all the others; `doubts` gets why not."""
    alone = session.cluster is None or not session.cluster.urls  # else it is shown for one node of many
    hashes = {name: account.hash for name, account in shown.items() if account.hash and alone}
    answers: dict[str, PasswordCheck] = {}
    for user in users:
        if user.name in existing and user.name in hashes:
            same = clickhouse_sha256_matches(user.password.reveal(), hashes[user.name].reveal())
            if same is not None:
                answers[user.name] = PasswordCheck.SAME if same else PasswordCheck.DIFFERENT
    return answers | _check_logins(session, [user for user in users if user.name not in answers], existing, doubts)


def _check_logins(
    session: Session, users: Sequence[User], existing: Mapping[str, ExistingUser], doubts: dict[str, str]
) -> dict[str, PasswordCheck]:
    """Log in once as each user, several at a time; one query more for what makes a refusal mean something else.

    An account without a password accepts any, so it is DIFFERENT without a try. UNKNOWN is a locked account, one that
    has expired or that some other service authenticates, and a refusal of an account that may only log in from
    certain hosts: the server answers all of these like a wrong password.
    """
    answers = {user.name: PasswordCheck.UNKNOWN for user in users}
    open_ones = {name for name, account in existing.items() if account.lock is Lock.OPEN and not account.unusable}
    asked = [user for user in users if user.name in open_ones]
    if not asked:
        return answers
    special = [{name: facts for name, *facts in rows} for rows in session.everywhere(_SPECIAL)]

    def check(user: User) -> PasswordCheck:
        told = [node[user.name] for node in special if user.name in node]
        anywhere, by_password = all(facts[0] for facts in told), all(facts[2] for facts in told)
        methods = next((facts[3] for facts in told if not facts[2]), "nothing")
        if any(facts[1] for facts in told):
            return PasswordCheck.DIFFERENT
        accepted = session.login(user.name, user.password) if by_password else None
        if accepted:
            return PasswordCheck.SAME
        if accepted is False and anywhere:
            return PasswordCheck.DIFFERENT
        doubts[user.name] = _doubt(accepted, methods if not by_password else None)
        return PasswordCheck.UNKNOWN

    connections = min(AT_ONCE, -(-len(asked) // LOGINS))
    with ThreadPoolExecutor(connections) as pool:  # if one login is broken off, all that come after it are, at once
        return answers | dict(zip((user.name for user in asked), pool.map(check, asked), strict=True))


def _doubt(accepted: bool | None, methods: str | None) -> str:
    """Why a login has told nothing."""
    if methods is not None:
        return f"something else than a password lets the account in ({methods})"
    if accepted is False:
        return "the login was refused, and the account may only come from certain hosts (HOST), maybe not from this one"
    return "the server gave no clear answer to the login; it may have used up a quota, look at the server's log"
