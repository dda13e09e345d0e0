"""By which mechanisms the server lets people log in, and which accounts nobody can log in to because of that."""

from collections.abc import Collection, Mapping

from dbroster.engines.mongodb.session import Session
from dbroster.engines.mongodb.state import Account

_INTERNAL = ("local", "__system")
"""The account of a set's members, which has a password for every mechanism."""


def refused_mechanisms(session: Session, accounts: Mapping[str, Account], wanted: Collection[str]) -> frozenset[str]:
    """Name the mechanisms that somebody has, or shall have, a password for, but that the server does not offer.

    The server tells it of one account at a time, and only of mechanisms that the account has a password for (manual,
    "hello": saslSupportedMechs). What no account can tell counts as offered.
    """
    untold = set(wanted).union(*(account.mechanisms for account in accounts.values()))
    refused: set[str] = set()
    while untold:
        name = max(accounts, key=lambda name: len(untold & accounts[name].mechanisms), default=None)
        told = untold & accounts[name].mechanisms if name else frozenset()
        if not told:
            internal = session.offered_mechanisms(*_INTERNAL)
            return frozenset(refused | (untold - internal if internal else set()))
        refused |= told - session.offered_mechanisms(session.auth_database, name or "")
        untold -= told
    return frozenset(refused)


def refusal(wanted: Collection[str], refused: Collection[str]) -> str | None:
    """Say why no password can be set, when the server would refuse one of the mechanisms that it is meant for."""
    missing = [mechanism for mechanism in wanted if mechanism in refused]
    if not missing:
        return None
    rest = [mechanism for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1") if mechanism not in refused]
    text = f"the server does not offer {' and '.join(missing)} (its parameter authenticationMechanisms): "
    return text + (f"set mechanisms: [{', '.join(rest)}] in connections.yaml" if rest else "start mongod with it")


def unusable(account: Account, refused: Collection[str]) -> str | None:
    """Say why nobody can log in to an account whose credentials have been read."""
    if not account.mechanisms:
        return "the account has no password"
    if account.mechanisms <= set(refused):
        kept = " and ".join(sorted(account.mechanisms))
        return (
            f"the password is kept for {kept}, which the server does not offer (its parameter authenticationMechanisms)"
        )
    return None
