"""What holds the interpreter's lock while it computes, and so is left to helpers, whose whole program this is.

It imports next to nothing: a helper that started with the rest of dbroster would need twice as long for it.
"""

import json
import sys
from collections.abc import Callable

from dbroster.passwords.verifiers.sha_crypt import caching_sha2, caching_sha2_matches, sha256_password_matches


def matches(algorithm: str, password: str, stored: str) -> bool | None:
    """Answer one check of a heavy algorithm."""
    secret = password.encode()
    if algorithm == "ed25519":
        from dbroster.passwords.verifiers.ed25519 import ed25519_matches  # which most servers' accounts don't need

        return ed25519_matches(secret, stored)
    check = {"caching_sha2_password": caching_sha2_matches, "sha256_password": sha256_password_matches}[algorithm]
    return check(secret, stored.encode())


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
