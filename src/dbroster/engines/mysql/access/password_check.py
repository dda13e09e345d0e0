"""Whether accounts have the roster's passwords, by the verifiers that were read with them. Pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dbroster.engines.mysql.access.accounts import Account
from dbroster.engines.mysql.session import account
from dbroster.model.roster import User
from dbroster.model.state import ExistingUser, PasswordCheck
from dbroster.passwords.verifiers.algorithms import Algorithm, Check

SEVERAL = "several"
"""Stands in the place of a plugin where an account has several ways to log in."""

_KNOWN = frozenset({Algorithm.CACHING_SHA2, Algorithm.SHA256_PASSWORD, Algorithm.ED25519, Algorithm.MYSQL_NATIVE})


def check_passwords(
    users: Sequence[User], existing: Mapping[str, ExistingUser], hosts: Iterable[str]
) -> tuple[dict[str, PasswordCheck], dict[str, str]]:
    """Judge one password of each user for all of the accounts; and say why some can't be judged."""
    from dbroster.passwords.verifiers.batch import matches_many  # most runs remember all passwords

    asked = [user for user in users if user.name in existing]
    stored = [(user, verifier) for user in asked for verifier in existing[user.name].verifiers]
    known = [(user, verifier) for user, verifier in stored if _is_known(verifier.algorithm)]
    answers = matches_many([Check(Algorithm(v.algorithm), user.name, user.password, v.value) for user, v in known])
    found: defaultdict[str, list[PasswordCheck]] = defaultdict(list)
    doubts: dict[str, str] = {}
    for (user, _), answer in zip(known, answers, strict=True):
        # what a known plugin can't read is no password at all (empty, or `invalid`): it has to be set
        found[user.name].append(PasswordCheck.SAME if answer else PasswordCheck.DIFFERENT)
    for user, verifier in stored:
        if not _is_known(verifier.algorithm):
            found[user.name].append(PasswordCheck.UNKNOWN)
            accounts = [account(user.name, host) for host in hosts]
            doubts[user.name] = _doubt(verifier.algorithm, accounts)
    return {user.name: _strictest(found[user.name]) for user in users}, doubts


def _is_known(algorithm: str) -> bool:
    """Whether verifiers of this plugin can be checked here."""
    return algorithm in _KNOWN


def by_password(account: Account) -> bool:
    """Whether it logs in by a password that can be checked here, and not by a socket or a directory."""
    return account.verifier is not None and _is_known(account.verifier.algorithm)


def _doubt(algorithm: str, accounts: Iterable[str]) -> str:
    """Say why a password can't be checked. What can be checked and fits no password is set by the next run."""
    if algorithm == SEVERAL:
        one = ", ".join(f"{account} IDENTIFIED VIA mysql_native_password USING 'invalid'" for account in accounts)
        return f"the account has several ways to log in; to leave it the password of the next run: ALTER USER {one};"
    return f"the account logs in by the plugin {algorithm}, whose passwords dbroster can't check"


def _strictest(checks: Iterable[PasswordCheck]) -> PasswordCheck:
    """One word for all accounts of a user: different if any is, unknown if any is or there is none."""
    found = set(checks)
    if PasswordCheck.DIFFERENT in found:
        return PasswordCheck.DIFFERENT
    return PasswordCheck.SAME if found == {PasswordCheck.SAME} else PasswordCheck.UNKNOWN
