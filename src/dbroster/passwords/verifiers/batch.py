"""Checking thousands of passwords, on all processors."""

import os
from collections.abc import Sequence

from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers import workers
from dbroster.passwords.verifiers.algorithms import QUICK, Algorithm, Check
from dbroster.passwords.verifiers.ed25519 import sodium
from dbroster.passwords.verifiers.heavy import matches
from dbroster.passwords.verifiers.sha_crypt import rounds_of

# these hold the interpreter's lock while they compute, so that threads gain nothing; seconds per round
_HOLDING = {Algorithm.CACHING_SHA2: 4e-7, Algorithm.SHA256_PASSWORD: 4e-7, Algorithm.ED25519: 3e-4}


_Job = tuple[Algorithm, str, str, str]  # a check with its secrets in clear; what the pipe to a process carries


def matches_many(checks: Sequence[Check]) -> list[bool | None]:
    """Answer each check, in their order: True, False, or None where the stored format is unknown.

    Equal checks are computed once. Quick ones are computed here. Where the computation holds the interpreter's lock it
    is done by helper processes, else by threads: PBKDF2 of hashlib runs outside that lock.
    """
    jobs: list[_Job] = [(c.algorithm, c.user, c.password.reveal(), c.stored.reveal()) for c in checks]
    answers = {job: matches(*job) for job in jobs if job[0] in QUICK}
    unique = dict.fromkeys(job for job in jobs if job[0] not in QUICK)
    heavy = [job for job in unique if _holds(job[0])]
    light = [job for job in unique if not _holds(job[0])]
    seconds = sum(_HOLDING[job[0]] * rounds_of(job[3]) for job in heavy)
    answers |= zip(heavy, workers.compute("matches", heavy, seconds), strict=True)
    if light:
        by_threads = workers.in_parts(lambda part: [matches(*job) for job in part], light, os.cpu_count() or 1)
        answers |= zip(light, by_threads, strict=True)
    return [answers[job] for job in jobs]


def _holds(algorithm: Algorithm) -> bool:
    return algorithm in _HOLDING and not (algorithm is Algorithm.ED25519 and sodium())


def caching_sha2_many(passwords: Sequence[Secret], rounds: int) -> list[bytes]:
    """Make the verifier of each password, as `caching_sha2` does."""
    jobs = [(password.reveal(), rounds) for password in passwords]
    seconds = _HOLDING[Algorithm.CACHING_SHA2] * rounds * len(jobs)
    return [bytes.fromhex(text) for text in workers.compute("caching_sha2", jobs, seconds)]
