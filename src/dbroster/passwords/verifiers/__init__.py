"""What servers store instead of passwords: making it, and checking a password against it, without any server.

Pure functions on the standard library. `…_matches` functions return None for a stored text whose format they don't
know; they never raise for one. They compare in constant time. Makers raise ValueError for an empty password, since
some servers take its verifier for "no password". Passwords are `str` where the algorithm normalises Unicode or
mixes in other text, and `bytes` (UTF-8) where it does not.
"""

from dbroster.passwords.verifiers.batch import QUICK, Algorithm, Check, caching_sha2_many, matches_many
from dbroster.passwords.verifiers.digests import (
    clickhouse_salt,
    clickhouse_sha256,
    clickhouse_sha256_matches,
    mysql_native,
    mysql_native_matches,
)
from dbroster.passwords.verifiers.ed25519 import ed25519, ed25519_matches
from dbroster.passwords.verifiers.saslprep import postgresql_prepared, saslprep, saslprep_offender
from dbroster.passwords.verifiers.scram import mongodb_matches, postgresql_matches, scram_sha_256
from dbroster.passwords.verifiers.sha_crypt import caching_sha2, caching_sha2_matches, sha256_password_matches

__all__ = [
    "QUICK",
    "Algorithm",
    "Check",
    "caching_sha2",
    "caching_sha2_many",
    "caching_sha2_matches",
    "clickhouse_salt",
    "clickhouse_sha256",
    "clickhouse_sha256_matches",
    "ed25519",
    "ed25519_matches",
    "matches_many",
    "mongodb_matches",
    "mysql_native",
    "mysql_native_matches",
    "postgresql_matches",
    "postgresql_prepared",
    "saslprep",
    "saslprep_offender",
    "scram_sha_256",
    "sha256_password_matches",
]
