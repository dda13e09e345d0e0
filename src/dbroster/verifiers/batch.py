"""Checking thousands of passwords, on all processors."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from dbroster.secret import Secret
from dbroster.verifiers.curve25519 import ed25519_matches
from dbroster.verifiers.digests import mysql_native_matches
from dbroster.verifiers.scram import mongodb_matches, postgresql_matches
from dbroster.verifiers.sha_crypt import caching_sha2_matches, sha256_password_matches

PROCESSES_FROM = 200  # checks; for fewer, starting processes takes longer than they save


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

# these hold the interpreter's lock while they compute, so that threads gain nothing
_FOR_PROCESSES = {Algorithm.CACHING_SHA2, Algorithm.SHA256_PASSWORD, Algorithm.ED25519}


@dataclass(frozen=True, slots=True)
class Check:
    """One question: whether `stored`, kept by a server for `user`, is the verifier of `password`.

    `stored` is the text as the server gives it; for MongoDB the JSON text of the `credentials` document.
    """

    algorithm: Algorithm
    user: str
    password: Secret
    stored: Secret


_Job = tuple[Algorithm, str, str, str]  # a check with its secrets in clear; what the pipe to a process carries


def matches_many(checks: Sequence[Check], workers: int | None = None) -> list[bool | None]:
    """Answer each check, in their order: True, False, or None where the stored format is unknown.

    Equal checks are computed once. `workers` is the number of threads or processes, by default one per processor.
    Processes are started afresh, so a calling script must guard its start by `if __name__ == "__main__"`; passwords
    reach them through a pipe, never as arguments or environment.
    """
    workers = workers or os.cpu_count() or 1
    jobs = [_job(check) for check in checks]
    unique = list(dict.fromkeys(jobs))
    heavy = [job for job in unique if job[0] in _FOR_PROCESSES]
    light = [job for job in unique if job[0] not in _FOR_PROCESSES]
    answers = dict(zip(heavy, _by_processes(heavy, workers), strict=True))
    answers |= zip(light, _by_threads(light, workers), strict=True)
    return [answers[job] for job in jobs]


def _job(check: Check) -> _Job:
    return check.algorithm, check.user, check.password.reveal(), check.stored.reveal()


def _by_threads(jobs: list[_Job], workers: int) -> list[bool | None]:
    """PBKDF2 of hashlib runs outside the interpreter's lock."""
    with ThreadPoolExecutor(workers) as pool:
        return _spread(pool, jobs, workers)


def _by_processes(jobs: list[_Job], workers: int) -> list[bool | None]:
    if workers == 1 or len(jobs) < PROCESSES_FROM:
        return _answer_all(jobs)
    # spawn: a fork would take over threads' locks and open server connections
    context = multiprocessing.get_context("spawn")
    try:
        # Ctrl-C reaches the whole process group; the parent alone decides what it means
        with ProcessPoolExecutor(workers, context, _ignore_interrupts) as pool:
            return _spread(pool, jobs, workers)
    except (BrokenProcessPool, OSError):
        # no processes to be had (limits, a main module that can't be imported again): slower, same answers
        return _answer_all(jobs)


def _spread(pool: Executor, jobs: list[_Job], workers: int) -> list[bool | None]:
    """Hand out parts large enough to make the handing out cheap, small enough to keep every worker busy to the end."""
    size = max(1, len(jobs) // (16 * workers))
    parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    return list(chain.from_iterable(pool.map(_answer_all, parts)))


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _answer_all(jobs: list[_Job]) -> list[bool | None]:
    return [_answer(job) for job in jobs]


def _answer(job: _Job) -> bool | None:
    algorithm, user, password, stored = job
    match algorithm:
        case Algorithm.POSTGRESQL:
            return postgresql_matches(password, user, stored)
        case Algorithm.MONGODB:
            return _mongodb(password, user, stored)
        case Algorithm.CACHING_SHA2:
            return caching_sha2_matches(password.encode(), stored.encode())
        case Algorithm.SHA256_PASSWORD:
            return sha256_password_matches(password.encode(), stored.encode())
        case Algorithm.ED25519:
            return ed25519_matches(password.encode(), stored)
        case Algorithm.MYSQL_NATIVE:
            return mysql_native_matches(password.encode(), stored)


def _mongodb(password: str, user: str, stored: str) -> bool | None:
    try:
        credentials = json.loads(stored)
    except ValueError:
        return None
    return mongodb_matches(password, user, credentials) if isinstance(credentials, dict) else None
