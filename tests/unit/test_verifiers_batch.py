"""Thousands of checks at once, on all processors."""

import json
import subprocess
import sys
import threading
import time
from multiprocessing import active_children
from pathlib import Path

from dbroster import verifiers
from dbroster.secret import Secret
from dbroster.verifiers import Algorithm, Check, matches_many
from dbroster.verifiers.batch import PROCESSES_FROM
from tests.unit.test_verifiers import MAKERS, USER, check, credentials


def checks_of(kind: str, count: int) -> list[Check]:
    """Checks of which every third has a wrong password."""
    stored = [MAKERS[kind](f"pencil-{number}") for number in range(count)]
    return [check(kind, f"pencil-{number}" if number % 3 else "wrong", text) for number, text in enumerate(stored)]


def test_matches_many_answers_in_order() -> None:
    texts = [json.dumps(credentials("pencil")), json.dumps(credentials("old")), "", "[]", "{"]
    mongodb = [Check(Algorithm.MONGODB, USER, Secret("pencil"), Secret(text)) for text in texts]
    mixed = [*mongodb, *(one for kind in MAKERS for one in checks_of(kind, 30)), *mongodb]
    from_mongodb = [True, False, None, None, None]
    expected = [*from_mongodb, *(bool(number % 3) for _ in MAKERS for number in range(30)), *from_mongodb]
    assert matches_many(mixed) == matches_many(mixed, workers=1) == expected
    assert matches_many([]) == []


def test_equal_checks_are_computed_once() -> None:
    slow = check("scram", "pencil", verifiers.scram_sha_256("pencil", iterations=1_000_000))
    began = time.perf_counter()
    assert matches_many([slow] * 100, workers=1) == [True] * 100
    assert time.perf_counter() - began < 15  # a hundred times would take at least 20 s


def test_a_check_shows_neither_password_nor_verifier() -> None:
    assert "pencil" not in repr(check("scram", "pencil-1", "SCRAM pencil"))


def test_processes_give_the_same_answers_and_show_no_password() -> None:
    checks = checks_of("caching_sha2_password", PROCESSES_FROM + 1)
    answers: list[bool | None] = []
    run = threading.Thread(target=lambda: answers.extend(matches_many(checks, workers=2)))
    run.start()
    seen, shown = set(), b""
    while run.is_alive():
        for process in active_children():
            try:
                shown += b"".join(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                seen.add(process.pid)
            except OSError:
                continue  # it has just ended
        time.sleep(0.01)
    assert answers == [bool(number % 3) for number in range(len(checks))]
    assert len(seen) == 2
    assert b"pencil" not in shown


UNGUARDED = """
from dbroster.secret import Secret
from dbroster.verifiers import Algorithm, Check, ed25519, matches_many
stored = Secret(ed25519(b'pencil'))
print(set(matches_many([Check(Algorithm.ED25519, str(n), Secret('pencil'), stored) for n in range(300)], workers=2)))
"""


def test_without_processes_the_answers_are_the_same(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"  # imported again by its processes, it would start more: they refuse and end
    script.write_text(UNGUARDED)
    environment = {"PYTHONPATH": str(Path(verifiers.__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, "BrokenProcessPool" in done.stderr) == ("{True}\n", False)
