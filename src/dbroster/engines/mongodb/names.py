"""Names and passwords that MongoDB can carry."""

from collections.abc import Collection

from dbroster.passwords.policy import unprintable
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.saslprep import saslprep_offender

DATABASE_BYTES = 63
"""Longer names are refused by the server (manual, "MongoDB Limits and Thresholds")."""

USER_BYTES = DATABASE_BYTES - 2
"""The server takes longer names, but their databases, with `_` and at least one letter more, would be too long."""


def refuse_name(kind: str, name: str, limit: int) -> str | None:
    """Say why no database can have this name, or one that begins with it."""
    if "." in name:
        return f"the {kind} name {name!r} contains a dot, which MongoDB does not allow in names of databases"
    size = len(name.encode())
    return f"the {kind} name {name!r} has {size} bytes; at most {limit} will do with MongoDB" if size > limit else None


def refuse_password(password: Secret, mechanisms: Collection[str]) -> str | None:
    """Say why a password can't be sent, or not be carried by SCRAM-SHA-256 (RFC 7677: prepared as RFC 4013 says)."""
    if not password.reveal():
        return "the password is empty"
    offender = saslprep_offender(password.reveal()) if "SCRAM-SHA-256" in mechanisms else None
    carried = f"the password contains {offender}, which SCRAM-SHA-256 can't carry" if offender else None
    return unprintable(password) or carried
