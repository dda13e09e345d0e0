"""Bad input: bytes of any kind in the three files, bombs, and sizes; through the command line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbroster.files.read import MAX_SETTINGS
from tests.support.bad_input import ANN, Target
from tests.support.measured import measured

PIECES = st.sampled_from([
    b"ann:", b"ANN:x", b"bob:Correct-horse-7\n", b"bob:other\n", b"root:x\n", b"\n", b"\r\n", b":", b"#", b"\0",
    b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"web", b"Web", b"web_ann", b"..", b"-", b" ", b"\t", "é".encode(),
    b"a" * 300,
])  # fmt: skip
YAML = st.sampled_from([
    b"postgresql:", b"\n  ", b"\n", b"host: ", b"username: u", b"password: ", b"protected: ", b"removals: ", b"tls: ",
    b"&a ", b"*a", b"<<: ", b"[", b"]", b"{", b"}", b", ", b"- ", b"? ", b": ", b"!!int ", b"!!binary ", b"!!set ",
    b"!!python/name:os.system ", b"!!timestamp ", b"'", b'"', b"|", b"0x", b"1:1", b"1e999", b".nan", b"${HOME}",
    b"${}", b"\0", b"\xff", b"%YAML 9.9\n", b"---\n", b"...\n", b"roster: ",
])  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("config"))


def text(pieces: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(pieces | st.binary(max_size=8), max_size=30).map(b"".join)


bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@bounded
@given(data=text(PIECES))
def test_no_users_file_takes_anything_from_who_is_on_a_good_line(target: Target, data: bytes) -> None:
    target.attack("users", data)


@bounded
@given(data=text(PIECES))
def test_no_template_list_takes_a_listed_database(target: Target, data: bytes) -> None:
    target.attack("templates", data)


@bounded
@given(data=text(YAML))
def test_no_connections_file_breaks_the_command(target: Target, data: bytes) -> None:
    target.attack("connections", data)


# --- bombs ------------------------------------------------------------------------------------------------------------


def merges(levels: int, step: str) -> str:
    lines = [f"k{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], x{n}: 1}}\n" for n in range(1, levels)]
    return "k0: &a0 {x: 1}\n" + "".join(lines) + step


def aliases(levels: int, step: str) -> str:
    lines = [f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels)]
    return "k0: &a0 [x]\n" + "".join(lines) + step


BOMBS = {
    "aliases": aliases(30, "postgresql: {host: *a29, username: *a29, protected: *a29, tls: *a29}\n"),
    "aliases as a key": aliases(30, "? *a29\n: 1\n"),
    "aliases in a set": aliases(30, "k: !!set {? *a29 }\n"),
    "merged mappings": merges(30, "postgresql: *a29\n"),
    "a mapping merged into itself": "postgresql: &a {<<: *a, host: h}\n",
    "two mappings merged into each other": "k: &a {<<: &b {<<: *a}}\npostgresql: *b\n",
    "a section inside itself": "postgresql: &a {host: *a, tls: *a, removals: *a, protected: [*a]}\n",
    "deep lists": "[" * 60_000,
    "deep mappings": "{a: " * 30_000,
    "deep keys": "? " * 60_000,
    "base 60": "roster: 1" + ":1" * 60_000,
    "a huge number": "roster: 1" + "0" * 100_000,
    "a huge exponent": "roster: !!float 1e" + "9" * 100_000,
    "many unknown keys": "postgresql:\n" + "".join(f" k{n}: 1\n" for n in range(10_000)),
    "one long key": "postgresql: {? " + "host" * 25_000 + " : 1}",
    "many servers": "postgresql:\n" + "".join(f"- {{name: k{n}}}\n" for n in range(6_000)),
    "python": "postgresql: !!python/object/apply:os.system [exit]\n",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_no_yaml_takes_long_or_much_memory(bomb: str, tmp_path: Path) -> None:
    assert len(bomb) <= MAX_SETTINGS  # so that it is parsed
    run = measured(tmp_path, ANN, connections=bomb.encode())
    assert run.code == 2
    assert "a defect in dbroster" not in run.said
    assert run.megabytes < 200


def test_merge_keys_are_counted_before_they_are_copied(tmp_path: Path) -> None:
    run = measured(tmp_path, ANN, connections=merges(30, "postgresql: *a29\n").encode())
    assert "connections.yaml line 6: not valid YAML: a mapping has too many merged keys" in run.said


def test_merge_keys_serve_for_what_servers_have_in_common(tmp_path: Path) -> None:
    common = "- &a {name: a, host: h, username: u, password_env: HOME, tls: {mode: require}}\n"
    run = measured(tmp_path, ANN, connections=f"postgresql:\n{common}- {{<<: *a, name: b}}\n".encode())
    assert run.code == 0
    assert "postgresql b" in run.said


def test_more_servers_than_a_run_can_serve(tmp_path: Path) -> None:
    run = measured(tmp_path, ANN, connections=BOMBS["many servers"].encode())
    assert "postgresql: 6000 servers, more than the 100 that one run can serve" in run.said


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_hundred_megabytes_are_refused_unread(tmp_path: Path) -> None:
    run = measured(tmp_path, b"ann:" + b"x" * 100_000_000)
    assert run.code == 2
    assert "has 100000004 bytes" in run.said
    assert run.megabytes < 60


@pytest.mark.timeout(120)
def test_a_line_of_ten_megabytes_is_a_password_like_any_other(tmp_path: Path) -> None:
    run = measured(tmp_path, b"bob:" + b"x" * 10_000_000 + b"\n" + ANN)
    assert run.code == 1
    assert "users.txt line 1: bob: the password has 1 of the four kinds" in run.said
    assert len(run.said) < 1000
    assert run.megabytes < 150


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("line", "code"), [(b"u%05d:Correct-horse-7\n", 0), (b"x%05d\n", 1), (b"u%05d:short\n", 1), (b"same:%05d\n", 1)],
    ids=["good lines", "no colon", "bad passwords", "one user"],
)  # fmt: skip
def test_a_hundred_thousand_lines(line: bytes, code: int, tmp_path: Path) -> None:
    run = measured(tmp_path, b"".join(line % number for number in range(100_000)))
    assert run.code == code
    assert len(run.said) < 200_000
    assert run.megabytes < 200


@pytest.mark.parametrize("file", ["templates", "connections"])
def test_what_is_written_by_hand_has_a_limit(file: str, tmp_path: Path) -> None:
    files = {file: b"#" * (MAX_SETTINGS + 1)}
    run = measured(tmp_path, **files)
    assert run.code == 2
    assert f"more than the {MAX_SETTINGS}" in run.said


def test_the_lines_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    run = measured(tmp_path, ANN + b"broken\n" * 1500)
    assert "so it is with 500 more lines, 500 of which can't be used" in run.said
    assert "and 1480 lines more" in run.said
