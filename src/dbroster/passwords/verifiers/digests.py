"""Verifiers that are plain digests: mysql_native_password, and ClickHouse's salted SHA-256."""

import hashlib
import hmac
import re
import secrets

_NATIVE = re.compile(r"\*([0-9A-Fa-f]{40})")
_CLICKHOUSE = re.compile(r"sha256_hash BY '([0-9A-Fa-f]{64})'(?: SALT '([0-9A-Za-z]*)')?")


def mysql_native(password: bytes) -> str:
    """Return `*` and SHA1(SHA1(password)) in upper-case hex, 41 characters.

    Unsalted: equal passwords have equal verifiers. Raises ValueError for an empty password.
    Source: MariaDB documentation, "Authentication Plugin - mysql_native_password".
    """
    if not password:
        raise ValueError("a password must not be empty")
    return "*" + _double_sha1(password)


def mysql_native_matches(password: bytes, stored: str) -> bool | None:
    """Say whether a mysql_native_password authentication_string is of this password."""
    if (found := _NATIVE.fullmatch(stored)) is None:
        return None
    return hmac.compare_digest(_double_sha1(password), found[1].upper())


def clickhouse_sha256(password: str, salt: str) -> str:
    """Return the 64 hex digits for `IDENTIFIED WITH sha256_hash BY '...' SALT '<salt>'`: SHA-256(password + salt).

    Raises ValueError for an empty password or salt.
    Source: ClickHouse documentation, "CREATE USER".
    """
    if not password or not salt:
        raise ValueError("neither password nor salt may be empty")
    return hashlib.sha256((password + salt).encode()).hexdigest().upper()


def clickhouse_sha256_matches(password: str, stored: str) -> bool | None:
    """Say whether `sha256_hash BY '...'`, with a SALT or without, as SHOW CREATE USERS tells it, is of this password.

    Source: ClickHouse documentation, "CREATE USER", and its setting format_display_secrets_in_show_and_select.
    """
    if (found := _CLICKHOUSE.fullmatch(stored)) is None:
        return None
    computed = hashlib.sha256((password + (found[2] or "")).encode()).hexdigest().upper()
    return hmac.compare_digest(computed, found[1].upper())


def clickhouse_salt() -> str:
    """Return a new salt: 64 hex digits, as the server itself makes them."""
    return secrets.token_hex(32).upper()


def _double_sha1(password: bytes) -> str:
    # the servers define it so; told to hashlib for FIPS systems
    once = hashlib.sha1(password, usedforsecurity=False).digest()
    return hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()
