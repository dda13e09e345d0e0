"""How verifiers are checked, and what is asked about one."""

from enum import StrEnum
from typing import NamedTuple

from dbroster.passwords.secret import Secret


class Algorithm(StrEnum):
    """How a stored verifier is checked. MySQL's and MariaDB's have the names of their plugins."""

    POSTGRESQL = "postgresql"
    MONGODB = "mongodb"
    CACHING_SHA2 = "caching_sha2_password"
    SHA256_PASSWORD = "sha256_password"  # noqa: S105 - a plugin
    ED25519 = "ed25519"
    MYSQL_NATIVE = "mysql_native_password"


QUICK = {Algorithm.MYSQL_NATIVE}
"""Checked in a microsecond or two: not worth remembering."""


class Check(NamedTuple):
    """One question: whether `stored`, kept by a server for `user`, is the verifier of `password`.

    `stored` is the text as the server gives it; for MongoDB the JSON text of the `credentials` document.
    """

    algorithm: Algorithm
    user: str
    password: Secret
    stored: Secret
