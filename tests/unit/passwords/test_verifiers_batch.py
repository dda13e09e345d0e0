"""Thousands of checks at once, on all processors."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from dbroster.passwords import verifiers
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers import workers
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.passwords.verifiers.batch import caching_sha2_many, matches_many
from dbroster.passwords.verifiers.scram import scram_sha_256
from dbroster.passwords.verifiers.sha_crypt import caching_sha2_matches
from tests.unit.passwords.test_verifiers import MAKERS, USER, check, credentials


@cache  # a second for two hundred
def checks_of(kind: str, count: int) -> list[Check]:
    """Checks of which every third has a wrong password."""
    stored = [MAKERS[kind](f"pencil-{number}") for number in range(count)]
    return [check(kind, f"pencil-{number}" if number % 3 else "wrong", text) for number, text in enumerate(stored)]


@pytest.mark.parametrize("processors", [1, 2, None])
def test_matches_many_answers_in_order(processors: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    texts = [json.dumps(credentials("pencil")), json.dumps(credentials("old")), "", "[]", "{"]
    mongodb = [Check(Algorithm.MONGODB, USER, Secret("pencil"), Secret(text)) for text in texts]
    mixed = [*mongodb, *(one for kind in MAKERS for one in checks_of(kind, 30)), *mongodb]
    from_mongodb = [True, False, None, None, None]
    expected = [*from_mongodb, *(bool(number % 3) for _ in MAKERS for number in range(30)), *from_mongodb]
    assert matches_many(mixed) == expected
    assert matches_many([]) == []


def test_equal_checks_are_computed_once() -> None:
    slow = check("scram", "pencil", scram_sha_256("pencil", iterations=1_000_000))
    began = time.process_time()
    assert matches_many([slow] * 100) == [True] * 100
    assert time.process_time() - began < 15  # a hundred times would take at least 20 s


def test_a_check_shows_neither_password_nor_verifier() -> None:
    assert "pencil" not in repr(check("scram", "pencil-1", "SCRAM pencil"))


def children() -> set[int]:
    """Processes that this one has started."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended; its children are another one's then
            found |= set(map(int, path.read_text().split()))
    return found


def watched(work: Callable[[], object]) -> tuple[set[int], bytes]:
    """Do some work, and tell which processes it started, and what these showed to everybody."""
    before, seen, shown = children(), set(), b""
    run = threading.Thread(target=work)
    run.start()
    while run.is_alive():
        for number in children() - before:
            try:
                shown += b"".join(Path(f"/proc/{number}/{name}").read_bytes() for name in ("cmdline", "environ"))
                seen.add(number)
            except OSError:
                continue  # it has just ended
        time.sleep(0.005)
    return seen, shown


@pytest.fixture(autouse=True)
def no_helpers_from_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processors, whatever the machine has."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    workers.end_helpers()
    yield
    workers.end_helpers()


def test_processes_give_the_same_answers_and_show_no_password() -> None:
    checks = checks_of("caching_sha2_password", 201)
    answers: list[bool | None] = []
    seen, shown = watched(lambda: answers.extend(matches_many(checks)))
    assert answers == [bool(number % 3) for number in range(len(checks))]
    assert len(seen) == 2
    assert b"pencil" not in shown


def test_processes_make_verifiers_too() -> None:
    passwords = [Secret(f"pencil-{number}é") for number in range(60)]
    made: list[bytes] = []
    seen, shown = watched(lambda: made.extend(caching_sha2_many(passwords, 10_000)))
    assert seen
    assert b"pencil" not in shown
    assert len(set(made)) == 60
    assert all(caching_sha2_matches(p.bytes(), v) for p, v in zip(passwords, made, strict=True))


def test_few_checks_start_no_process() -> None:
    checks = checks_of("caching_sha2_password", 10)
    assert watched(lambda: matches_many(checks))[0] == set()


@pytest.mark.parametrize("program", ["/nonexistent", "/bin/true"])
def test_without_processes_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert workers.compute("caching_sha2", [], 10) == []
    checks = checks_of("caching_sha2_password", 101)
    assert matches_many(checks) == [bool(number % 3) for number in range(len(checks))]


def test_helpers_are_kept_for_the_next_computation() -> None:
    checks = checks_of("caching_sha2_password", 201)
    first, _ = watched(lambda: matches_many(checks))
    more, _ = watched(lambda: matches_many(checks))
    assert len(first) == 2
    assert more == set()
    assert first <= children()


def test_callers_from_several_threads_share_the_helpers() -> None:
    checks = checks_of("caching_sha2_password", 201)
    answers: list[list[bool | None]] = []
    with ThreadPoolExecutor(4) as pool:
        seen, _ = watched(lambda: answers.extend(pool.map(lambda _: matches_many(checks), range(4))))
    assert answers == [[bool(number % 3) for number in range(len(checks))]] * 4
    assert len(seen) == 2


def test_dead_helpers_are_replaced() -> None:
    checks = checks_of("caching_sha2_password", 201)
    wanted = [bool(number % 3) for number in range(len(checks))]
    seen, _ = watched(lambda: matches_many(checks))
    for number in seen:
        os.kill(number, signal.SIGKILL)
    assert matches_many(checks) == wanted
    again, _ = watched(lambda: matches_many(checks))
    assert len(again) == 2
    assert not again & seen


def test_a_helper_ends_when_nobody_feeds_it() -> None:
    helper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", workers._MAIN, workers._HERE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, _ = helper.communicate('["caching_sha2", [["pencil", 5000]]]\n', timeout=30)
    assert helper.returncode == 0
    (made,) = json.loads(out)
    assert caching_sha2_matches(b"pencil", bytes.fromhex(made))


def test_a_helper_imports_little() -> None:
    """Two of them start in the first run of a hundred users, and took as long as forty of their verifiers."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", workers._MAIN, workers._HERE]
    told = subprocess.run(command, input="", capture_output=True, text=True, check=True, timeout=30).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "dbroster.passwords.verifiers.sha_crypt" in imported
    ours = {"dbroster.passwords.secret", "dbroster.passwords.verifiers.ed25519"}
    assert not imported & {"dataclasses", "typing", "secrets", *ours}


ODD_CALLER = """
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.passwords.verifiers.batch import matches_many
from dbroster.passwords.verifiers.sha_crypt import caching_sha2
stored = Secret(caching_sha2(b'pencil', salt=b's' * 20).decode())
print(set(matches_many([Check(Algorithm.CACHING_SHA2, str(n), Secret('pencil'), stored) for n in range(300)])))
"""


def test_a_script_without_a_main_guard_may_ask(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(ODD_CALLER)
    environment = {"PYTHONPATH": str(Path(verifiers.__file__).parents[3])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{True}\n", "")
