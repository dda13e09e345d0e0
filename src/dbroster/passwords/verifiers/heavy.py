"""One check, or one verifier, as a task; and the whole program of a helper, to which the heavy ones are left.

It imports next to nothing by itself: a helper that started with the rest of dbroster would need twice as long for it.
"""

import json
import sys
from collections.abc import Callable

from dbroster.passwords.verifiers.sha_crypt import caching_sha2, caching_sha2_matches, sha256_password_matches


def matches(algorithm: str, user: str, password: str, stored: str) -> bool | None:
    """Answer one check of an `Algorithm`; imports only what that one needs."""
    match algorithm:
        case "caching_sha2_password":
            return caching_sha2_matches(password.encode(), stored.encode())
        case "sha256_password":
            return sha256_password_matches(password.encode(), stored.encode())
        case "ed25519":
            from dbroster.passwords.verifiers.ed25519 import ed25519_matches

            return ed25519_matches(password.encode(), stored)
        case "mysql_native_password":
            from dbroster.passwords.verifiers.digests import mysql_native_matches

            return mysql_native_matches(password.encode(), stored)
    from dbroster.passwords.verifiers import scram

    check = {"postgresql": scram.postgresql_matches, "mongodb": scram.mongodb_matches}[algorithm]
    return check(password, user, stored)


def caching_sha2_hex(password: str, rounds: int) -> str:
    """Make one verifier, for a pipe."""
    return caching_sha2(password.encode(), rounds=rounds).hex()


TASKS: dict[str, Callable[..., object]] = {"matches": matches, "caching_sha2": caching_sha2_hex}


def serve() -> None:
    """Be a helper: answer lines until there are no more."""
    for line in sys.stdin:
        task, jobs = json.loads(line)
        sys.stdout.write(json.dumps([TASKS[task](*job) for job in jobs]) + "\n")
        sys.stdout.flush()
