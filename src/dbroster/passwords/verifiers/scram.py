"""SCRAM verifiers (RFC 5802, RFC 7677) as PostgreSQL and MongoDB store them, and PostgreSQL's old md5."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from typing import NamedTuple

from dbroster.passwords.verifiers.saslprep import postgresql_prepared, saslprep

_MAX_ITERATIONS = 10_000_000  # about 3 s; more than any server's default by far, so a damaged or hostile verifier
_POSTGRESQL_SCRAM = re.compile(r"SCRAM-SHA-256\$([0-9]{1,8}):([^$:]+)\$([^$:]+):([^$:]+)")
_POSTGRESQL_MD5 = re.compile(r"md5([0-9a-f]{32})")


class _Scram(NamedTuple):
    """What a server keeps of a password."""

    hash_name: str
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


def scram_sha_256(password: str, salt: bytes | None = None, iterations: int = 4096) -> str:
    """Return PostgreSQL's verifier, `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, ready for PASSWORD '...'.

    The salt is 16 random bytes unless given. Raises ValueError for an empty password or salt, and fewer than one
    iteration.
    """
    if not password or salt == b"" or not 0 < iterations <= _MAX_ITERATIONS:
        raise ValueError("SCRAM needs a password, a salt, and a sensible number of iterations")
    salt = secrets.token_bytes(16) if salt is None else salt
    stored_key, server_key = scram_keys("sha256", postgresql_prepared(password), salt, iterations)
    return f"SCRAM-SHA-256${iterations}:{_encoded(salt)}${_encoded(stored_key)}:{_encoded(server_key)}"


def postgresql_matches(password: str, user: str, stored: str) -> bool | None:
    """Say whether pg_authid.rolpassword is of this password: SCRAM-SHA-256, or md5, which the user name salts."""
    if found := _POSTGRESQL_MD5.fullmatch(stored):
        return hmac.compare_digest(_md5_hex(password + user), found[1])
    if found := _POSTGRESQL_SCRAM.fullmatch(stored):
        scram = _parsed("sha256", int(found[1]), *found.groups()[1:])
        return None if scram is None else _is_of(scram, postgresql_prepared(password))
    return None


def mongodb_matches(password: str, user: str, stored: str) -> bool | None:
    """Say whether `credentials` of usersInfo with showCredentials, as JSON, is of this password.

    True when every SCRAM mechanism in it is: an old password that still opens one of them is a different password.
    None when there is none, or one can't be read.
    """
    try:
        credentials = json.loads(stored)
    except ValueError:
        return None
    if not isinstance(credentials, dict):
        return None
    known = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
    mechanisms = [_mongodb_entry(known[name], entry) for name, entry in credentials.items() if name in known]
    scrams = [scram for scram in mechanisms if scram is not None]
    if not scrams or len(scrams) < len(mechanisms):
        return None
    return all(_is_of(scram, _mongodb_prepared(scram.hash_name, password, user)) for scram in scrams)


def scram_keys(hash_name: str, password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey (RFC 5802 section 3) of an already prepared password."""
    salted = hashlib.pbkdf2_hmac(hash_name, password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return hashlib.new(hash_name, client_key).digest(), hmac.digest(salted, b"Server Key", hash_name)


def _is_of(scram: _Scram, prepared: bytes | None) -> bool:
    """Compare both keys: with a wrong ServerKey a client refuses the server."""
    if prepared is None:
        return False
    stored_key, server_key = scram_keys(scram.hash_name, prepared, scram.salt, scram.iterations)
    return hmac.compare_digest(stored_key + server_key, scram.stored_key + scram.server_key)


def _parsed(hash_name: str, iterations: int, salt: str, stored_key: str, server_key: str) -> _Scram | None:
    size = hashlib.new(hash_name).digest_size
    try:
        decoded = [base64.b64decode(text, validate=True) for text in (salt, stored_key, server_key)]
    except (binascii.Error, ValueError):
        return None
    if not 0 < iterations <= _MAX_ITERATIONS or not decoded[0] or {len(key) for key in decoded[1:]} != {size}:
        return None
    return _Scram(hash_name, iterations, *decoded)


def _mongodb_entry(hash_name: str, entry: object) -> _Scram | None:
    match entry:
        case {
            "iterationCount": int(iterations),
            "salt": str(salt),
            "storedKey": str(stored_key),
            "serverKey": str(server_key),
        }:
            return _parsed(hash_name, iterations, salt, stored_key, server_key)
    return None


def _mongodb_prepared(hash_name: str, password: str, user: str) -> bytes | None:
    """The bytes that each mechanism hashes; None for a password that it can't carry, so never has."""
    if hash_name == "sha1":
        return _md5_hex(f"{user}:mongo:{password}").encode()
    try:
        return saslprep(password).encode()
    except ValueError:
        return None


def _md5_hex(text: str) -> str:
    # both servers define it so; it protects nothing here, which hashlib wants to hear on FIPS systems
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
