"""Whether accounts have the roster's passwords, by what the server stores of them."""

import json
from collections.abc import Collection, Mapping, Sequence

from dbroster.model.roster import User
from dbroster.model.state import ExistingUser, PasswordCheck
from dbroster.passwords.verifiers.algorithms import Algorithm, Check


def check_passwords(
    users: Sequence[User], existing: Mapping[str, ExistingUser], wanted: Collection[str]
) -> tuple[dict[str, PasswordCheck], dict[str, str]]:
    """Judge each user; a right password that is kept for other mechanisms than wanted is in doubt, with the reason."""
    from dbroster.passwords.verifiers.batch import matches_many  # most runs remember all passwords

    stored = {user.name: v.value for user in users if user.name in existing for v in existing[user.name].verifiers}
    checks = [
        Check(Algorithm.MONGODB, user.name, user.password, stored[user.name]) for user in users if user.name in stored
    ]
    found, doubts = {user.name: PasswordCheck.UNKNOWN for user in users}, {}
    for check, matches in zip(checks, matches_many(checks), strict=True):
        found[check.user] = PasswordCheck.of(matches)
        if matches and (kept := set(json.loads(check.stored.reveal()))) != set(wanted):
            found[check.user], doubts[check.user] = PasswordCheck.DIFFERENT, _other_mechanisms(kept, wanted)
    return found, doubts


def _other_mechanisms(kept: Collection[str], wanted: Collection[str]) -> str:
    """Say that a password is right, but kept for other ways to log in than connections.yaml asks for."""
    return f"the password is kept for {' and '.join(sorted(kept))}, not for {' and '.join(sorted(wanted))}"
