"""Checking thousands of passwords, on all processors."""

import json
import os
from collections.abc import Sequence
from itertools import chain

from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers import workers
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.passwords.verifiers.digests import mysql_native_matches
from dbroster.passwords.verifiers.ed25519 import ed25519_matches, sodium
from dbroster.passwords.verifiers.scram import mongodb_matches, postgresql_matches
from dbroster.passwords.verifiers.sha_crypt import rounds_of

# these hold the interpreter's lock while they compute, so that threads gain nothing; seconds per round
_HOLDING = {Algorithm.CACHING_SHA2: 4e-7, Algorithm.SHA256_PASSWORD: 4e-7, Algorithm.ED25519: 3e-4}


_Job = tuple[Algorithm, str, str, str]  # a check with its secrets in clear; what the pipe to a process carries


def matches_many(checks: Sequence[Check], processors: int | None = None) -> list[bool | None]:
    """Answer each check, in their order: True, False, or None where the stored format is unknown.

    Equal checks are computed once. Where the computation holds the interpreter's lock it is done by helper processes.
    """
    jobs = [_job(check) for check in checks]
    unique = list(dict.fromkeys(jobs))
    heavy = [job for job in unique if _holds(job[0])]
    light = [job for job in unique if not _holds(job[0])]
    seconds = sum(_HOLDING[job[0]] * rounds_of(job[3]) for job in heavy)
    answers: dict[_Job, bool | None] = dict(
        zip(heavy, workers.compute("matches", [_heavy(*job) for job in heavy], seconds, processors), strict=True)
    )
    answers |= zip(light, _by_threads(light, processors or os.cpu_count() or 1), strict=True)
    return [answers[job] for job in jobs]


def _holds(algorithm: Algorithm) -> bool:
    return algorithm in _HOLDING and not (algorithm is Algorithm.ED25519 and sodium())


def caching_sha2_many(passwords: Sequence[Secret], rounds: int) -> list[bytes]:
    """Make the verifier of each password, as `caching_sha2` does."""
    jobs = [(password.reveal(), rounds) for password in passwords]
    seconds = _HOLDING[Algorithm.CACHING_SHA2] * rounds * len(jobs)
    return [bytes.fromhex(text) for text in workers.compute("caching_sha2", jobs, seconds)]


def _job(check: Check) -> _Job:
    return check.algorithm, check.user, check.password.reveal(), check.stored.reveal()


def _heavy(algorithm: Algorithm, user: str, password: str, stored: str) -> tuple[str, str, str]:  # noqa: ARG001 - salted
    return algorithm, password, stored


def _by_threads(jobs: list[_Job], count: int) -> list[bool | None]:
    """PBKDF2 of hashlib runs outside the interpreter's lock."""
    from concurrent.futures import ThreadPoolExecutor  # here, since few runs have anything to check

    size = max(1, len(jobs) // (16 * count))
    parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    with ThreadPoolExecutor(count) as pool:
        return list(chain.from_iterable(pool.map(lambda part: [_light(*job) for job in part], parts)))


def _light(algorithm: str, user: str, password: str, stored: str) -> bool | None:
    match algorithm:
        case Algorithm.POSTGRESQL:
            return postgresql_matches(password, user, stored)
        case Algorithm.MONGODB:
            return _mongodb(password, user, stored)
        case Algorithm.MYSQL_NATIVE:
            return mysql_native_matches(password.encode(), stored)
        case Algorithm.ED25519:
            return ed25519_matches(password.encode(), stored)
    raise ValueError(f"there is no algorithm {algorithm}")


def _mongodb(password: str, user: str, stored: str) -> bool | None:
    try:
        credentials = json.loads(stored)
    except ValueError:
        return None
    return mongodb_matches(password, user, credentials) if isinstance(credentials, dict) else None
